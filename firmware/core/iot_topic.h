/* Topics: {device}/{api} down, server/{device}/{api} up. */
#ifndef IOT_TOPIC_H
#define IOT_TOPIC_H

#include <stdbool.h>
#include <stddef.h>

#define IOT_API_MAX 64                               /* characters of an api's name */
#define IOT_DEVICE_MAX 64                            /* characters of a device id; the portal's have 32 */
#define IOT_TOPIC_MAX (7 + IOT_DEVICE_MAX + 1 + IOT_API_MAX)

/* Read the api of the command topic of `device`. False: another's topic, several levels, or a name that is none. */
bool iot_topic_read(const char *device, const char *topic, size_t length, char api[IOT_API_MAX + 1]);

/* Write server/{device}/{api}. */
void iot_topic_answer(const char *device, const char *api, char topic[IOT_TOPIC_MAX + 1]);

/* Write {device}/#, which a device subscribes to. */
void iot_topic_filter(const char *device, char filter[IOT_DEVICE_MAX + 3]);

#endif
