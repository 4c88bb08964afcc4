#include "iot_topic.h"

#include <string.h>

static bool in_name(char letter, bool first)
{
    return (letter >= 'a' && letter <= 'z') || (!first && ((letter >= '0' && letter <= '9') || letter == '_'));
}

bool iot_topic_read(const char *device, const char *topic, size_t length, char api[IOT_API_MAX + 1])
{
    size_t own = strlen(device), at;

    if (length <= own + 1 || length - own - 1 > IOT_API_MAX || memcmp(topic, device, own) != 0 || topic[own] != '/') {
        return false;
    }
    topic += own + 1;
    length -= own + 1;
    for (at = 0; at < length; at++) {
        if (!in_name(topic[at], at == 0)) {
            return false;
        }
    }
    memcpy(api, topic, length);
    api[length] = '\0';
    return true;
}

static char *append(char *at, const char *text, size_t most)
{
    size_t length = strlen(text);

    length = length < most ? length : most;
    memcpy(at, text, length);
    at[length] = '\0';
    return at + length;
}

void iot_topic_answer(const char *device, const char *api, char topic[IOT_TOPIC_MAX + 1])
{
    char *at = append(topic, "server/", 7);

    at = append(at, device, IOT_DEVICE_MAX);
    at = append(at, "/", 1);
    append(at, api, IOT_API_MAX);
}

void iot_topic_filter(const char *device, char filter[IOT_DEVICE_MAX + 3])
{
    append(append(filter, device, IOT_DEVICE_MAX), "/#", 2);
}
