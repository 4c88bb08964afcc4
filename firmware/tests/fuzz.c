/* Whatever comes in, the device answers with one JSON object or not at all, and never outgrows its buffers: seeds, mutated the
 * same way in every run. The sanitizers are the judges of the rest. */
#include "harness.h"

static const char *const COMMANDS[] = {
    "{}", "{\"number\": 10}", "{\"number\": 10, \"id\": \"0193a0c4\", \"value\": 1}", "{\"value\": \"restart\"}",
    "{\"id\": \"0193a0c6\", \"recipient\": \"+15550100\", \"message\": \"ALARM \\u00e9 \\ud83d\\ude00 \\\"\"}",
    "{\"recipient\": \"" DEVICE "\", \"message\": \"hi\"}", "{\"value\": \"00:c0:ca:90:61:05\"}", "{\"value\": [[[[{\"a\": -1.5e+9}]]]]}",
    "{\"a\": true, \"b\": null, \"value\": \"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 ALARM\"}",
};
static const char *const APIS[] = {
    "get_status", "set_status", "get_gpio", "set_gpio", "get_rtc", "set_rtc", "get_mac", "set_mac", "get_ip", "write_uart",
    "trigger_notification", "get_soil",
};
static const char *const LINES[] = {
    "iot set message \"a \\\" b\" recipient \"r\"", "iot send message \"x\"", "iot gpio 7 enable dir in pull up edge both",
    "iot gpio 7 write 1", "iot gpio 7 disable",
};

static uint64_t chance = 88172645463325252u;

/* xorshift64 (Marsaglia, 2003): the same numbers everywhere. */
static size_t pick(size_t below)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (size_t)((chance >> 11) % below);
}

static void mutate_once(char *text, size_t *length, size_t room)
{
    static const char telling[] = "{}[]\",:\\u0019eE+-. \n\t\xc3\xff";
    size_t at = pick(*length + 1), many = 1 + pick(8);

    switch (pick(5)) {
    case 0: /* another byte */
        if (at < *length) {
            text[at] = (char)pick(256);
        }
        break;
    case 1: /* one more, that means something */
        if (*length < room) {
            memmove(text + at + 1, text + at, *length - at);
            text[at] = telling[pick(sizeof telling)];
            ++*length;
        }
        break;
    case 2: /* a piece gone */
        many = many < *length - at ? many : *length - at;
        memmove(text + at, text + at + many, *length - at - many);
        *length -= many;
        break;
    case 3: /* a piece twice */
        many = many < *length - at ? many : *length - at;
        if (*length + many <= room) {
            memmove(text + at + many, text + at, *length - at);
            *length += many;
        }
        break;
    default: /* cut off */
        *length = at;
    }
}

static size_t mutate(const char *seed, char *text, size_t room)
{
    size_t length = strlen(seed), times = pick(6);

    memcpy(text, seed, length);
    while (times-- > 0) {
        mutate_once(text, &length, room);
    }
    return length;
}

static void check_answers(const struct bench *bench)
{
    int at;

    for (at = 0; at < bench->said_count; at++) {
        if (!iot_json_is_object(bench->said[at].payload, strlen(bench->said[at].payload))) {
            printf("no JSON object: %s\n", bench->said[at].payload);
            exit(1);
        }
    }
}

static void one_command(struct bench *bench)
{
    char topic[256], payload[IOT_PAYLOAD_MAX + 200];
    size_t length;

    length = (size_t)snprintf(topic, 128, "%s/%s", DEVICE, APIS[pick(COUNT_OF(APIS))]);
    if (pick(16) == 0) {
        mutate_once(topic, &length, sizeof topic - 1);
    }
    topic[length] = '\0';
    length = mutate(COMMANDS[pick(COUNT_OF(COMMANDS))], payload, sizeof payload);
    if (pick(64) == 0) {
        memset(payload + length, "[9 \"a"[pick(5)], sizeof payload - length);
        length = pick(sizeof payload) + 1;
    }
    bench_receive(bench, topic, payload, length);
}

static void one_line(struct bench *bench)
{
    char line[IOT_LINE_MAX + 64];
    size_t length = mutate(LINES[pick(COUNT_OF(LINES))], line, sizeof line), at;

    for (at = 0; at < length; at++) {
        iot_typed(&bench->iot, line[at]);
    }
    iot_typed(&bench->iot, '\r');
    iot_edge(&bench->iot, (uint8_t)pick(10));
    bench->now_ms += (uint32_t)pick(100);
    iot_poll(&bench->iot);
}

int main(int count, char **words)
{
    static struct bench bench;
    long rounds = count > 1 ? strtol(words[1], NULL, 10) : 100000, round, answers = 0;

    bench_connect(&bench, IOT_MODERN);
    for (round = 0; round < rounds; round++) {
        if (bench.iot.restart_wanted || bench.iot.state != IOT_LISTENING) {
            bench_connect(&bench, round % 2 ? IOT_MODERN : 0);
        }
        bench.said_count = 0;
        bench.uart[0] = '\0';
        if (pick(4) > 0) {
            one_command(&bench);
        } else {
            one_line(&bench);
        }
        answers += bench.said_count;
        check_answers(&bench);
    }
    printf("fuzz: %ld rounds, %ld answers, each one JSON object\n", rounds, answers);
    return answers == 0;
}
