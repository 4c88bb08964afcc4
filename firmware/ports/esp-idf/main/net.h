/* struct iot_net by esp-mqtt. Its events come in a task of its own; they are queued, and told to the core by the main task. */
#ifndef NET_H
#define NET_H

#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "iot.h"
#include "mqtt_client.h"

struct net {
    struct iot *iot;
    QueueHandle_t happened;
    esp_mqtt_client_handle_t client;
    esp_transport_handle_t transport;
    uintptr_t generation; /* of the client: what an earlier one told is old */
};

/* What the portal's iot_config.h says of the device. */
extern const char *const net_device_id, *const net_profile;

/* Make the queue. */
void net_start(struct net *net, struct iot *iot);

/* Return what the core calls. */
struct iot_net net_functions(struct net *net);

/* Wait for something to happen, at most so long, and tell the core of it. */
void net_wait(struct net *net, uint32_t most_ms);

#endif
