#include "link.h"

#include <stdio.h>
#include <string.h>

#include "iot_config.h"
#include "lwip/altcp.h"
#include "lwip/altcp_tls.h"
#include "lwip/apps/altcp_tls_mbedtls_opts.h"
#include "lwip/apps/mqtt.h"
#include "lwip/apps/mqtt_priv.h"
#include "lwip/dns.h"
#include "mbedtls/ssl.h"

#if !LWIP_ALTCP_TLS || !LWIP_TCPIP_CORE_LOCKING || ALTCP_MBEDTLS_AUTHMODE != MBEDTLS_SSL_VERIFY_REQUIRED
#error "include iot_lwipopts.h at the end of lwipopts.h"
#endif

#define KEEPALIVE_S 30

const char *const link_device_id = IOT_DEVICE_ID, *const link_profile = IOT_PROFILE;

static struct iot *the_iot;
static struct altcp_tls_config *tls;
static mqtt_client_t client;
static struct mqtt_connect_client_info_t info;
static bool live; /* there is a connection, or one is being made */
static unsigned attempt, taken, delivered;

/* The message that is coming in: lwIP tells of it in parts. */
static char topic[IOT_TOPIC_MAX + 1], payload[IOT_PAYLOAD_MAX];
static size_t total, length;

/* --- what lwIP tells, in its task ------------------------------------------------------------------------------------------------- */

static void lose(const char *why, int code)
{
    if (live) {
        live = false;
        printf("disconnected: %s (%d)\r\n", why, code);
        iot_disconnected(the_iot);
    }
}

static void receive(void)
{
    iot_received(the_iot, topic, strlen(topic), payload, total);
}

static void on_publish(void *arg, const char *name, u32_t total_length)
{
    (void)arg;
    snprintf(topic, sizeof topic, "%s", strlen(name) < sizeof topic ? name : ""); /* longer than any of ours: nobody's */
    total = total_length;
    length = 0;
    if (total == 0) {
        receive();
    }
}

static void on_data(void *arg, const u8_t *data, u16_t count, u8_t flags)
{
    size_t room = sizeof payload - length, kept = count < room ? count : room;

    (void)arg;
    memcpy(payload + length, data, kept);
    length += kept;
    if (flags & MQTT_DATA_FLAG_LAST) {
        receive();
    }
}

static void on_subscribed(void *arg, err_t code)
{
    (void)arg;
    if (code != ERR_OK) {
        lose("the broker refused the subscription", code);
        mqtt_disconnect(&client);
        return;
    }
    printf("listening as %s\r\n", link_device_id);
    iot_subscribed(the_iot);
}

static void on_connection(mqtt_client_t *told, void *arg, mqtt_connection_status_t status)
{
    (void)arg;
    if (status != MQTT_CONNECT_ACCEPTED) {
        lose(status == MQTT_CONNECT_DISCONNECTED ? "the connection is gone" : "the broker refused", (int)status);
        return;
    }
    printf("connected to %s port %d\r\n", IOT_HOST, IOT_PORT);
    mqtt_set_inpub_callback(told, on_publish, on_data, NULL);
    iot_connected(the_iot);
}

static void on_delivered(void *arg, err_t code)
{
    (void)arg;
    delivered += code == ERR_OK;
}

/* --- opening ------------------------------------------------------------------------------------------------------------------------ */

static bool connect_to(const ip_addr_t *address)
{
    if (mqtt_client_connect(&client, address, IOT_PORT, on_connection, NULL, &info) != ERR_OK) {
        return false;
    }
    /* The handshake begins when TCP stands, which cannot be before the lock is given back. */
    if (mbedtls_ssl_set_hostname(altcp_tls_context(client.conn), IOT_HOST) != 0) {
        mqtt_disconnect(&client);
        return false;
    }
    altcp_nagle_disable(client.conn); /* an answer must not wait for the acknowledgement of what went before it */
    return true;
}

static void on_found(const char *name, const ip_addr_t *address, void *arg)
{
    (void)name;
    if (!live || (unsigned)(uintptr_t)arg != attempt) {
        return; /* of an attempt that was given up */
    }
    if (address == NULL) {
        lose("no such host", 0);
    } else if (!connect_to(address)) {
        lose("cannot connect", 0);
    }
}

static bool open_connection(void *context, const struct iot_session *session)
{
    ip_addr_t address;
    err_t code;

    (void)context;
    memset(&info, 0, sizeof info);
    info.client_id = session->client_id;
    info.keep_alive = KEEPALIVE_S;
    info.will_topic = session->will_topic;
    info.will_msg = session->will_payload;
    info.will_qos = 1;
    info.tls_config = tls;
    taken = delivered = 0;
    attempt++;
    live = true;
    code = dns_gethostbyname(IOT_HOST, &address, on_found, (void *)(uintptr_t)attempt);
    if (code != ERR_INPROGRESS && (code != ERR_OK || !connect_to(&address))) {
        live = false;
    }
    return live;
}

static void close_connection(void *context)
{
    (void)context;
    live = false;
    mqtt_disconnect(&client);
}

static bool subscribe(void *context, const char *filter)
{
    (void)context;
    return mqtt_subscribe(&client, filter, 1, on_subscribed, NULL) == ERR_OK;
}

static bool publish(void *context, const char *to, const char *text, size_t size)
{
    (void)context;
    if (!live || mqtt_publish(&client, to, text, (u16_t)size, 1, 0, on_delivered, NULL) != ERR_OK) {
        return false;
    }
    taken++;
    return true;
}

static bool is_idle(void *context)
{
    (void)context;
    return taken == delivered;
}

struct iot_net link_functions(void)
{
    struct iot_net functions = {NULL, open_connection, close_connection, subscribe, publish, is_idle};

    return functions;
}

bool link_start(struct iot *iot)
{
    the_iot = iot;
    /* The NUL at the end of each counts: so mbedTLS knows that it is PEM. */
    tls = altcp_tls_create_config_client_2wayauth((const u8_t *)iot_root_ca, sizeof iot_root_ca, (const u8_t *)iot_private_key,
                                                  sizeof iot_private_key, NULL, 0, (const u8_t *)iot_certificate,
                                                  sizeof iot_certificate);
    if (tls == NULL) {
        printf("cannot be used: a certificate or the key of iot_config.h, or there is too little memory\r\n");
    }
    return tls != NULL;
}
