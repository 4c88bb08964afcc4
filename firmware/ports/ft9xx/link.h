/* struct iot_net by lwIP's MQTT client over mbedTLS. lwIP's task and the program's own both run the core, under lwIP's core lock. */
#ifndef LINK_H
#define LINK_H

#include "iot.h"

/* What the portal's iot_config.h says of the device. */
extern const char *const link_device_id, *const link_profile;

/* Read the certificates. False, with a line on the UART: they are no good. lwIP is up. */
bool link_start(struct iot *iot);

/* Return what the core calls. */
struct iot_net link_functions(void);

#endif
