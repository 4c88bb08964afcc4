/* The connection: made, lost, made again. */
#include <string.h>

#include "iot_private.h"

static const char ONLINE[] = "{\"value\": \"online\"}", OFFLINE[] = "{\"value\": \"offline\"}";

static uint32_t now(const struct iot *iot)
{
    return iot->hal->millis(iot->hal->context);
}

static void enter(struct iot *iot, enum iot_state state)
{
    iot->state = state;
    iot->since_ms = now(iot);
}

/* Wait before the next try: three quarters to all of a time that doubles, so that a fleet does not come back in one instant. */
static void wait_to_retry(struct iot *iot)
{
    uint32_t spread = iot->retry_ms / 4;

    iot->wait_ms = iot->retry_ms;
    if (iot->hal->random != NULL && spread > 0) {
        iot->wait_ms -= iot->hal->random(iot->hal->context) % spread;
    }
    iot->retry_ms = iot->retry_ms >= IOT_RETRY_MOST_MS / 2 ? IOT_RETRY_MOST_MS : iot->retry_ms * 2;
    enter(iot, IOT_WAITING);
}

void iot_start(struct iot *iot, const struct iot_config *config, const struct iot_hal *hal, const struct iot_net *net)
{
    memset(iot, 0, sizeof *iot);
    iot->config = config;
    iot->hal = hal;
    iot->net = net;
    iot->retry_ms = IOT_RETRY_FIRST_MS;
    iot_keep_text(iot->message, config->message != NULL ? config->message : "Something happened here");
    iot_keep_text(iot->recipient, config->recipient != NULL ? config->recipient : "");
    iot_topic_answer(config->device_id, "presence", iot->will_topic);
    enter(iot, IOT_WAITING);
}

static void open_connection(struct iot *iot)
{
    struct iot_session session = {NULL, NULL, NULL};

    session.client_id = iot->config->device_id;
    if (iot->config->features & IOT_PRESENCE) {
        session.will_topic = iot->will_topic;
        session.will_payload = OFFLINE;
    }
    /* Entered before it is opened: a port may tell of the connection at once. */
    enter(iot, IOT_CONNECTING);
    if (!iot->net->open(iot->net->context, &session) && iot->state == IOT_CONNECTING) {
        wait_to_retry(iot);
    }
}

static void tell_presence(struct iot *iot, const char *payload)
{
    if (iot->config->features & IOT_PRESENCE) {
        iot->net->publish(iot->net->context, iot->will_topic, payload, strlen(payload));
    }
}

static void give_up(struct iot *iot)
{
    iot->net->close(iot->net->context);
    wait_to_retry(iot);
}

void iot_connected(struct iot *iot)
{
    char filter[IOT_DEVICE_MAX + 3];

    if (iot->state != IOT_CONNECTING) {
        return;
    }
    iot_topic_filter(iot->config->device_id, filter);
    enter(iot, IOT_SUBSCRIBING);
    if (!iot->net->subscribe(iot->net->context, filter)) {
        give_up(iot);
    }
}

void iot_subscribed(struct iot *iot)
{
    if (iot->state != IOT_SUBSCRIBING) {
        return;
    }
    enter(iot, IOT_LISTENING);
    tell_presence(iot, ONLINE);
}

/* One that is put out again at once, say by another device with its certificate, must not come back every second. */
void iot_disconnected(struct iot *iot)
{
    if (iot->state == IOT_LISTENING && now(iot) - iot->since_ms >= IOT_SETTLED_MS) {
        iot->retry_ms = IOT_RETRY_FIRST_MS;
    }
    if (iot->state == IOT_CONNECTING || iot->state == IOT_SUBSCRIBING || iot->state == IOT_LISTENING) {
        wait_to_retry(iot);
    }
}

void iot_received(struct iot *iot, const char *topic, size_t topic_length, const char *payload, size_t length)
{
    char api[IOT_API_MAX + 1];
    bool whole = length <= IOT_PAYLOAD_MAX;

    /* Messages may come before the subscription is acknowledged (MQTT 3.1.1, 3.8.4). */
    if (iot->state != IOT_LISTENING && iot->state != IOT_SUBSCRIBING) {
        return;
    }
    if (iot_topic_read(iot->config->device_id, topic, topic_length, api)) {
        iot_obey(iot, api, payload, whole ? length : IOT_PAYLOAD_MAX, whole);
    }
}

bool iot_say(struct iot *iot, const char *api, const struct iot_json_writer *writer)
{
    if (writer->overflowed || (iot->state != IOT_LISTENING && iot->state != IOT_SUBSCRIBING)) {
        return false;
    }
    iot_topic_answer(iot->config->device_id, api, iot->topic);
    return iot->net->publish(iot->net->context, iot->topic, writer->out, writer->used);
}

static bool everything_left(const struct iot *iot)
{
    return iot->net->idle != NULL && iot->net->idle(iot->net->context);
}

/* Reboot once the answer has left. It is tried to the end even where the connection is gone meanwhile. */
static uint32_t poll_restart(struct iot *iot, uint32_t passed)
{
    if (!everything_left(iot) && passed < IOT_RESTART_MS) {
        return 10;
    }
    iot->net->close(iot->net->context);
    enter(iot, IOT_STOPPED);
    iot->hal->restart(iot->hal->context);
    return IOT_IDLE_MS;
}

static uint32_t at_most(uint32_t ms)
{
    return ms < IOT_IDLE_MS ? ms : IOT_IDLE_MS;
}

static uint32_t poll_connection(struct iot *iot, uint32_t passed)
{
    switch (iot->state) {
    case IOT_WAITING:
        if (passed < iot->wait_ms) {
            return at_most(iot->wait_ms - passed);
        }
        open_connection(iot);
        return 0;
    case IOT_CONNECTING:
    case IOT_SUBSCRIBING:
        if (passed < IOT_CONNECT_MS) {
            return at_most(IOT_CONNECT_MS - passed);
        }
        give_up(iot);
        return 0;
    case IOT_RESTARTING:
        return poll_restart(iot, passed);
    default:
        return IOT_IDLE_MS;
    }
}

uint32_t iot_poll(struct iot *iot)
{
    if (iot->restart_wanted && iot->state != IOT_RESTARTING && iot->state != IOT_STOPPED) {
        tell_presence(iot, OFFLINE);
        enter(iot, IOT_RESTARTING);
    }
    if (iot->state == IOT_LISTENING) {
        iot_poll_edges(iot);
    }
    return poll_connection(iot, now(iot) - iot->since_ms);
}

void iot_stop(struct iot *iot)
{
    if (iot->state == IOT_LISTENING) {
        tell_presence(iot, OFFLINE);
    }
    if (iot->state != IOT_WAITING && iot->state != IOT_STOPPED) {
        iot->net->close(iot->net->context);
    }
    enter(iot, IOT_STOPPED);
}
