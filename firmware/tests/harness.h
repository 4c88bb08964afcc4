/* A test harness in one header, and a board and network that only remember: for the tests of the core. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iot.h"

#define DEVICE "0123456789abcdef0123456789abcdef"
#define SAID_MAX 32

static int checks, failures;

#define CHECK(what) check((what), #what, __FILE__, __LINE__)
#define CHECK_TEXT(is, wanted) check_text((is), (wanted), __FILE__, __LINE__)
#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static inline void check(bool holds, const char *what, const char *file, int line)
{
    checks++;
    if (!holds) {
        failures++;
        printf("%s:%d: does not hold: %s\n", file, line, what);
    }
}

static inline void check_text(const char *is, const char *wanted, const char *file, int line)
{
    checks++;
    if (strcmp(is, wanted) != 0) {
        failures++;
        printf("%s:%d: is     %s\n%*swanted %s\n", file, line, is, (int)strlen(file) + 6, "", wanted);
    }
}

static inline int report(const char *name)
{
    printf("%s: %d checks, %d failed\n", name, checks, failures);
    return failures > 0;
}

/* --- a board and a network that only remember ------------------------------------------------------------------------------------ */

struct bench {
    struct iot iot;
    struct iot_config config;
    struct iot_hal hal;
    struct iot_net net;
    uint32_t now_ms, epoch_s;
    uint8_t levels[256];
    struct iot_pin setup; /* the last one */
    char mac[IOT_ADDRESS_MAX + 1];
    char uart[4096];
    char shown[IOT_PAYLOAD_MAX + 1];
    char stored[256];
    int restarts, opened, closed, said_count;
    bool refuse_open, refuse_subscribe, refuse_publish, connected, is_idle;
    struct iot_session session;
    char filter[IOT_TOPIC_MAX + 1];
    struct {
        char topic[IOT_TOPIC_MAX + 1];
        char payload[1024];
    } said[SAID_MAX];
};

static inline uint32_t bench_millis(void *context)
{
    return ((struct bench *)context)->now_ms;
}

static inline bool bench_gpio_read(void *context, uint8_t pin, uint8_t *level)
{
    *level = ((struct bench *)context)->levels[pin];
    return true;
}

static inline bool bench_gpio_write(void *context, uint8_t pin, uint8_t level)
{
    ((struct bench *)context)->levels[pin] = level;
    return true;
}

static inline bool bench_gpio_setup(void *context, const struct iot_pin *pin)
{
    ((struct bench *)context)->setup = *pin;
    return true;
}

static inline bool bench_rtc_read(void *context, uint32_t *epoch_s)
{
    *epoch_s = ((struct bench *)context)->epoch_s;
    return true;
}

static inline bool bench_rtc_write(void *context, uint32_t epoch_s)
{
    ((struct bench *)context)->epoch_s = epoch_s;
    return true;
}

static inline bool bench_ethernet_read(void *context, enum iot_address which, char text[IOT_ADDRESS_MAX + 1])
{
    static const char *const others[] = {"", "192.168.100.5", "255.255.255.0", "192.168.100.1"};

    strcpy(text, which == IOT_MAC ? ((struct bench *)context)->mac : others[which]);
    return true;
}

static inline bool bench_mac_write(void *context, const char *mac)
{
    strcpy(((struct bench *)context)->mac, mac);
    return true;
}

static inline void bench_uart_write(void *context, const char *text, size_t length)
{
    struct bench *bench = context;

    if (strlen(bench->uart) + length < sizeof bench->uart) {
        strncat(bench->uart, text, length);
    }
}

static inline void bench_notify(void *context, const char *message)
{
    strcpy(((struct bench *)context)->shown, message);
}

static inline bool bench_store(void *context, const char *message, const char *recipient)
{
    struct bench *bench = context;

    snprintf(bench->stored, sizeof bench->stored, "%s|%s", message, recipient);
    return true;
}

static inline void bench_restart(void *context)
{
    ((struct bench *)context)->restarts++;
}

static inline bool bench_open(void *context, const struct iot_session *session)
{
    struct bench *bench = context;

    bench->opened++;
    bench->session = *session;
    return !bench->refuse_open;
}

static inline void bench_close(void *context)
{
    ((struct bench *)context)->closed++;
}

static inline bool bench_subscribe(void *context, const char *filter)
{
    strcpy(((struct bench *)context)->filter, filter);
    return !((struct bench *)context)->refuse_subscribe;
}

static inline bool bench_publish(void *context, const char *topic, const char *payload, size_t length)
{
    struct bench *bench = context;

    if (bench->refuse_publish || bench->said_count == SAID_MAX || length >= sizeof bench->said[0].payload) {
        return false;
    }
    strcpy(bench->said[bench->said_count].topic, topic);
    memcpy(bench->said[bench->said_count].payload, payload, length);
    bench->said[bench->said_count++].payload[length] = '\0';
    return true;
}

static inline bool bench_idle(void *context)
{
    return ((struct bench *)context)->is_idle;
}

/* Start a device; it is not connected yet. */
static inline void bench_start(struct bench *bench, unsigned features)
{
    memset(bench, 0, sizeof *bench);
    bench->config.device_id = DEVICE;
    bench->config.features = features;
    bench->config.keyword = "ALARM";
    bench->config.recipient = "ann@example.com";
    bench->epoch_s = 1574000000;
    strcpy(bench->mac, "00:c0:ca:90:61:05");
    bench->hal = (struct iot_hal){
        bench, bench_millis, NULL, bench_gpio_read, bench_gpio_write, bench_gpio_setup, bench_rtc_read, bench_rtc_write,
        bench_ethernet_read, bench_mac_write, bench_uart_write, bench_notify, bench_store, bench_restart,
    };
    bench->net = (struct iot_net){bench, bench_open, bench_close, bench_subscribe, bench_publish, bench_idle};
    iot_start(&bench->iot, &bench->config, &bench->hal, &bench->net);
}

/* Start a device and connect it; what it said until then is forgotten. */
static inline void bench_connect(struct bench *bench, unsigned features)
{
    bench_start(bench, features);
    iot_poll(&bench->iot);
    iot_connected(&bench->iot);
    iot_subscribed(&bench->iot);
    bench->said_count = 0;
}

/* Give a command to the device. The copies end where the message ends, so that a sanitizer sees one who reads on. */
static inline void bench_receive(struct bench *bench, const char *topic, const char *payload, size_t length)
{
    size_t topic_length = strlen(topic);
    char *own_topic = malloc(topic_length + 1), *own = malloc(length + 1);

    if (own_topic == NULL || own == NULL) {
        abort();
    }
    own_topic[0] = own[0] = 'x';
    memcpy(own_topic + 1, topic, topic_length);
    memcpy(own + 1, payload, length);
    iot_received(&bench->iot, own_topic + 1, topic_length, own + 1, length);
    free(own_topic);
    free(own);
}

static inline void bench_command(struct bench *bench, const char *api, const char *payload)
{
    char topic[IOT_TOPIC_MAX + 1];

    snprintf(topic, sizeof topic, "%s/%s", DEVICE, api);
    bench_receive(bench, topic, payload, strlen(payload));
}

/* Give a command and return the only answer; "" where it was silent. */
static inline const char *bench_ask(struct bench *bench, const char *api, const char *payload)
{
    bench->said_count = 0;
    bench_command(bench, api, payload);
    return bench->said_count == 1 ? bench->said[0].payload : bench->said_count == 0 ? "" : "several answers";
}

/* Type a line on the device's UART and return what it printed. */
static inline const char *bench_type(struct bench *bench, const char *line)
{
    bench->uart[0] = '\0';
    for (; *line != '\0'; line++) {
        iot_typed(&bench->iot, *line);
    }
    iot_typed(&bench->iot, '\n');
    return bench->uart;
}

#endif
