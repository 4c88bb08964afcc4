/* See ../../../README.md. */
#ifndef LWIP_APPS_MQTT_H
#define LWIP_APPS_MQTT_H
#include "lwip/altcp_tls.h"
typedef struct mqtt_client_s mqtt_client_t;
struct mqtt_connect_client_info_t {
    const char *client_id, *client_user, *client_pass;
    u16_t keep_alive;
    const char *will_topic, *will_msg;
    u8_t will_msg_len, will_qos, will_retain;
    struct altcp_tls_config *tls_config;
};
typedef enum { MQTT_CONNECT_ACCEPTED = 0, MQTT_CONNECT_DISCONNECTED = 256, MQTT_CONNECT_TIMEOUT = 257 } mqtt_connection_status_t;
enum { MQTT_DATA_FLAG_LAST = 1 };
typedef void (*mqtt_connection_cb_t)(mqtt_client_t *client, void *arg, mqtt_connection_status_t status);
typedef void (*mqtt_incoming_data_cb_t)(void *arg, const u8_t *data, u16_t len, u8_t flags);
typedef void (*mqtt_incoming_publish_cb_t)(void *arg, const char *topic, u32_t tot_len);
typedef void (*mqtt_request_cb_t)(void *arg, err_t err);
err_t mqtt_client_connect(mqtt_client_t *client, const ip_addr_t *ipaddr, u16_t port, mqtt_connection_cb_t cb, void *arg,
                          const struct mqtt_connect_client_info_t *client_info);
void mqtt_disconnect(mqtt_client_t *client);
void mqtt_set_inpub_callback(mqtt_client_t *client, mqtt_incoming_publish_cb_t pub_cb, mqtt_incoming_data_cb_t data_cb, void *arg);
err_t mqtt_sub_unsub(mqtt_client_t *client, const char *topic, u8_t qos, mqtt_request_cb_t cb, void *arg, u8_t sub);
#define mqtt_subscribe(client, topic, qos, cb, arg) mqtt_sub_unsub(client, topic, qos, cb, arg, 1)
err_t mqtt_publish(mqtt_client_t *client, const char *topic, const void *payload, u16_t payload_length, u8_t qos, u8_t retain,
                   mqtt_request_cb_t cb, void *arg);
#endif
