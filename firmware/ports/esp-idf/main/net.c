#include "net.h"

#include <string.h>

#include "esp_log.h"
#include "esp_transport.h"
#include "iot_config.h"
#include "lwip/sockets.h"

#define KEEPALIVE_S 30
#define QUEUE_LENGTH 6
#define SUBSCRIPTION_REFUSED 0x80 /* in a SUBACK (MQTT 3.1.1, 3.9.3) */
#define TAG "iot"

enum kind { CONNECTED, SUBSCRIBED, GONE, MESSAGE };

struct happening {
    uintptr_t generation;
    enum kind kind;
    size_t topic_length, length; /* `length` is more than IOT_PAYLOAD_MAX where the message was longer than is kept */
    char topic[IOT_TOPIC_MAX];
    char payload[IOT_PAYLOAD_MAX];
};

const char *const net_device_id = IOT_DEVICE_ID, *const net_profile = IOT_PROFILE;
static struct net *the_net; /* esp-mqtt gives its handler one pointer, and that is the generation */

/* --- in esp-mqtt's task ------------------------------------------------------------------------------------------------------------ */

/* Without it an answer waits up to 40 ms for the broker's delayed acknowledgement of the PUBACK before it. */
static void send_at_once(void)
{
    int socket = the_net->transport == NULL ? -1 : esp_transport_get_socket(the_net->transport), yes = 1;

    if (socket < 0 || setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) != 0) {
        ESP_LOGW(TAG, "TCP_NODELAY could not be set: answers take 40 ms longer");
    }
}

/* A message that comes in parts is longer than a command may be: its first part tells so, the others are dropped. */
static bool read_message(const esp_mqtt_event_t *event, struct happening *what)
{
    size_t kept = (size_t)event->data_len;

    if (event->current_data_offset > 0 || (size_t)event->topic_len > sizeof what->topic) {
        return false;
    }
    kept = kept < sizeof what->payload ? kept : sizeof what->payload;
    what->topic_length = (size_t)event->topic_len;
    what->length = (size_t)event->total_data_len;
    memcpy(what->topic, event->topic, what->topic_length);
    memcpy(what->payload, event->data, kept);
    return kept == what->length || what->length > sizeof what->payload;
}

static bool read_event(const esp_mqtt_event_t *event, struct happening *what)
{
    switch (event->event_id) {
    case MQTT_EVENT_BEFORE_CONNECT:
        the_net->transport = esp_mqtt_client_get_transport(event->client, "mqtts");
        return false;
    case MQTT_EVENT_CONNECTED:
        send_at_once();
        what->kind = CONNECTED;
        return true;
    case MQTT_EVENT_SUBSCRIBED:
        what->kind = event->data_len > 0 && (unsigned char)event->data[0] == SUBSCRIPTION_REFUSED ? GONE : SUBSCRIBED;
        return true;
    case MQTT_EVENT_DISCONNECTED:
        what->kind = GONE;
        return true;
    case MQTT_EVENT_DATA:
        what->kind = MESSAGE;
        return read_message(event, what);
    default:
        return false;
    }
}

static void on_event(void *generation, esp_event_base_t base, int32_t id, void *data)
{
    static struct happening what; /* esp-mqtt has one task: too large for its stack */

    (void)base;
    (void)id;
    what.generation = (uintptr_t)generation;
    if (read_event(data, &what) && xQueueSend(the_net->happened, &what, pdMS_TO_TICKS(1000)) != pdTRUE) {
        ESP_LOGW(TAG, "too much at once: something that the broker sent was dropped");
    }
}

/* --- in the main task, by the core ------------------------------------------------------------------------------------------------ */

static void close_connection(void *context)
{
    struct net *net = context;

    net->generation++;
    if (net->client != NULL) {
        esp_mqtt_client_disconnect(net->client);
        esp_mqtt_client_destroy(net->client);
        net->client = NULL;
    }
}

static void configure(esp_mqtt_client_config_t *config, const struct iot_session *session)
{
    memset(config, 0, sizeof *config);
    config->broker.address.hostname = IOT_HOST;
    config->broker.address.port = IOT_PORT;
    config->broker.address.transport = MQTT_TRANSPORT_OVER_SSL;
    config->broker.verification.certificate = iot_root_ca; /* and the certificate has to be for IOT_HOST */
    config->credentials.client_id = session->client_id;
    config->credentials.authentication.certificate = iot_certificate;
    config->credentials.authentication.key = iot_private_key;
    config->session.protocol_ver = MQTT_PROTOCOL_V_3_1_1;
    config->session.keepalive = KEEPALIVE_S;
    config->session.last_will.topic = session->will_topic;
    config->session.last_will.msg = session->will_payload;
    config->session.last_will.qos = 1;
    config->network.disable_auto_reconnect = true; /* the core does it */
    config->network.timeout_ms = 5000;
    config->buffer.size = IOT_TOPIC_MAX + IOT_PAYLOAD_MAX + 128;
}

static bool open_connection(void *context, const struct iot_session *session)
{
    struct net *net = context;
    esp_mqtt_client_config_t config;

    close_connection(net);
    configure(&config, session);
    net->client = esp_mqtt_client_init(&config);
    if (net->client == NULL) {
        return false;
    }
    ESP_LOGI(TAG, "connecting to %s port %d", IOT_HOST, IOT_PORT);
    return esp_mqtt_client_register_event(net->client, MQTT_EVENT_ANY, on_event, (void *)net->generation) == ESP_OK &&
           esp_mqtt_client_start(net->client) == ESP_OK;
}

static bool subscribe(void *context, const char *filter)
{
    return esp_mqtt_client_subscribe_single(((struct net *)context)->client, filter, 1) >= 0;
}

/* esp_mqtt_client_enqueue would not block, but leaves the message for up to a second. */
static bool publish(void *context, const char *topic, const char *payload, size_t length)
{
    return esp_mqtt_client_publish(((struct net *)context)->client, topic, payload, (int)length, 1, 0) >= 0;
}

static bool is_idle(void *context)
{
    return esp_mqtt_client_get_outbox_size(((struct net *)context)->client) == 0;
}

struct iot_net net_functions(struct net *net)
{
    struct iot_net functions = {net, open_connection, close_connection, subscribe, publish, is_idle};

    return functions;
}

void net_start(struct net *net, struct iot *iot)
{
    memset(net, 0, sizeof *net);
    net->iot = iot;
    net->happened = xQueueCreate(QUEUE_LENGTH, sizeof(struct happening));
    the_net = net;
}

static void tell(struct net *net, const struct happening *what)
{
    switch (what->kind) {
    case CONNECTED:
        iot_connected(net->iot);
        break;
    case SUBSCRIBED:
        ESP_LOGI(TAG, "listening as %s", net_device_id);
        iot_subscribed(net->iot);
        break;
    case GONE:
        ESP_LOGW(TAG, "disconnected");
        iot_disconnected(net->iot);
        break;
    default:
        iot_received(net->iot, what->topic, what->topic_length, what->payload, what->length);
    }
}

void net_wait(struct net *net, uint32_t most_ms)
{
    static struct happening what; /* too large for a stack */

    if (xQueueReceive(net->happened, &what, pdMS_TO_TICKS(most_ms)) == pdTRUE && what.generation == net->generation) {
        tell(net, &what);
    }
}
