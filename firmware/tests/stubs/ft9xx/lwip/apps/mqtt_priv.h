/* See ../../../README.md. */
#ifndef LWIP_APPS_MQTT_PRIV_H
#define LWIP_APPS_MQTT_PRIV_H
#include "lwip/apps/mqtt.h"
struct mqtt_client_s {
    struct altcp_pcb *conn;
};
#endif
