/* The core under clang's libFuzzer, which looks for inputs that reach new code: `make libfuzzer`. An input is a life of the device:
 * records of a kind, a length and so many bytes, each of them a command, a typed line, a topic, or time that passes. */
#include "harness.h"

static const char *const APIS[] = {
    "get_status", "set_status", "get_gpio", "set_gpio", "get_rtc", "set_rtc", "get_mac", "set_mac", "get_ip", "get_subnet",
    "get_gateway", "write_uart", "trigger_notification", "get_soil",
};

static void check_answers(struct bench *bench)
{
    int at;

    for (at = 0; at < bench->said_count; at++) {
        if (!iot_json_is_object(bench->said[at].payload, strlen(bench->said[at].payload))) {
            abort();
        }
    }
    bench->said_count = 0;
    bench->uart[0] = '\0';
}

static void obey(struct bench *bench, size_t which, const char *bytes, size_t length)
{
    char topic[IOT_TOPIC_MAX + 1];

    if (which == COUNT_OF(APIS)) { /* the bytes are a topic */
        snprintf(topic, sizeof topic, "%s/%.*s", DEVICE, (int)(length < IOT_API_MAX ? length : IOT_API_MAX), bytes);
    } else {
        snprintf(topic, sizeof topic, "%s/%s", DEVICE, APIS[which]);
    }
    bench_receive(bench, topic, bytes, length);
}

static void happen(struct bench *bench, unsigned kind, const char *bytes, size_t length)
{
    size_t at;

    switch (kind % 24) {
    case 15:
        for (at = 0; at < length; at++) {
            iot_typed(&bench->iot, bytes[at]);
        }
        iot_typed(&bench->iot, '\n');
        break;
    case 16:
        iot_edge(&bench->iot, (uint8_t)length);
        break;
    case 17:
        bench->now_ms += (uint32_t)length << 8;
        break;
    case 18:
        iot_connected(&bench->iot);
        break;
    case 19:
        iot_subscribed(&bench->iot);
        break;
    case 20:
        iot_disconnected(&bench->iot);
        break;
    case 21:
        bench->refuse_open = bench->refuse_publish = bench->refuse_subscribe = length % 2;
        break;
    case 22:
        bench->is_idle = length % 2;
        break;
    case 23:
        iot_stop(&bench->iot);
        break;
    default:
        obey(bench, kind % 24, bytes, length);
    }
    if (iot_poll(&bench->iot) > IOT_IDLE_MS) {
        abort();
    }
    check_answers(bench);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct bench bench;
    size_t at = 0;

    if (size == 0) {
        return 0;
    }
    bench_connect(&bench, data[at++] % 2 ? IOT_MODERN : 0);
    while (at + 3 <= size) {
        unsigned kind = data[at];
        size_t length = (size_t)data[at + 1] | (size_t)(data[at + 2] & 3) << 8, left = size - at - 3;
        length = length < left ? length : left;
        happen(&bench, kind, (const char *)data + at + 3, length);
        at += 3 + length;
    }
    return 0;
}
