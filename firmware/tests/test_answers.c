/* Commands in, answers out, byte for byte: the commands are those of the portal's own tests. */
#include "harness.h"

#define ID "0193a0c4-7b1e-7d9e-8f00-1234567890ab"
#define WITH_ID "\"id\": \"" ID "\""

static struct bench bench;

struct golden {
    const char *api, *command, *answer;
};

static void check_all(unsigned features, const struct golden *rows, size_t count)
{
    char topic[IOT_TOPIC_MAX + 1];

    while (count-- > 0) {
        bench_connect(&bench, features);
        bench.levels[10] = 0;
        CHECK_TEXT(bench_ask(&bench, rows[count].api, rows[count].command), rows[count].answer);
        snprintf(topic, sizeof topic, "server/%s/%s", DEVICE, rows[count].api);
        CHECK_TEXT(bench.said[0].topic, topic);
    }
}

static void each_command_has_exactly_its_answer(void)
{
    static const struct golden rows[] = {
        {"get_status", "{}", "{\"value\": \"running\"}"},
        {"set_status", "{\"value\": \"restart\"}", "{\"value\": \"restarting\"}"},
        {"get_gpio", "{\"number\": 10}", "{\"number\": 10, \"value\": 0}"},
        {"set_gpio", "{\"number\": 10, \"value\": 1}", "{\"number\": 10, \"value\": 1}"},
        {"get_rtc", "{}", "{\"value\": 1574000000}"},
        {"set_rtc", "{\"value\": 1574000000}", "{\"value\": 1574000000}"},
        {"get_mac", "{}", "{\"value\": \"00:c0:ca:90:61:05\"}"},
        {"set_mac", "{\"value\": \"00:c0:ca:90:61:05\"}", "{\"value\": \"00:c0:ca:90:61:05\"}"},
        {"get_ip", "{}", "{\"value\": \"192.168.100.5\"}"},
        {"get_subnet", "{}", "{\"value\": \"255.255.255.0\"}"},
        {"get_gateway", "{}", "{\"value\": \"192.168.100.1\"}"},
        {"write_uart", "{\"value\": \"hello world\"}", "{\"value\": \"hello world\"}"},
        {"trigger_notification", "{\"recipient\": \"+15550100\", \"message\": \"hello\"}",
         "{\"recipient\": \"+15550100\", \"message\": \"hello\"}"},
    };

    check_all(0, rows, COUNT_OF(rows));
}

static void each_command_with_an_id_has_it_in_its_answer(void)
{
    static const struct golden rows[] = {
        {"get_status", "{" WITH_ID "}", "{" WITH_ID ", \"value\": \"running\"}"},
        {"set_status", "{" WITH_ID ", \"value\": \"restart\"}", "{" WITH_ID ", \"value\": \"restarting\"}"},
        {"get_gpio", "{\"number\": 10, " WITH_ID "}", "{\"number\": 10, " WITH_ID ", \"value\": 0}"},
        {"set_gpio", "{\"number\": 10, " WITH_ID ", \"value\": 1}", "{\"number\": 10, " WITH_ID ", \"value\": 1}"},
        {"get_rtc", "{" WITH_ID "}", "{" WITH_ID ", \"value\": 1574000000}"},
        {"set_rtc", "{" WITH_ID ", \"value\": 1574000000}", "{" WITH_ID ", \"value\": 1574000000}"},
        {"get_mac", "{" WITH_ID "}", "{" WITH_ID ", \"value\": \"00:c0:ca:90:61:05\"}"},
        {"set_mac", "{" WITH_ID ", \"value\": \"00:c0:ca:90:61:05\"}", "{" WITH_ID ", \"value\": \"00:c0:ca:90:61:05\"}"},
        {"get_ip", "{" WITH_ID "}", "{" WITH_ID ", \"value\": \"192.168.100.5\"}"},
        {"get_subnet", "{" WITH_ID "}", "{" WITH_ID ", \"value\": \"255.255.255.0\"}"},
        {"get_gateway", "{" WITH_ID "}", "{" WITH_ID ", \"value\": \"192.168.100.1\"}"},
        {"write_uart", "{" WITH_ID ", \"value\": \"hello world\"}", "{" WITH_ID ", \"value\": \"hello world\"}"},
        {"trigger_notification", "{" WITH_ID ", \"recipient\": \"+15550100\", \"message\": \"hello\"}",
         "{" WITH_ID ", \"recipient\": \"+15550100\", \"message\": \"hello\"}"},
    };

    check_all(IOT_MODERN, rows, COUNT_OF(rows));
}

static void a_text_comes_back_as_it_went_and_is_printed_as_it_was_meant(void)
{
    bench_connect(&bench, 0);
    CHECK_TEXT(bench_ask(&bench, "write_uart", "{\"value\": \"say \\\"hi\\\" \\\\ \\u00e9 \\ud83d\\ude00\"}"),
               "{\"value\": \"say \\\"hi\\\" \\\\ \\u00e9 \\ud83d\\ude00\"}");
    CHECK_TEXT(bench.uart, "say \"hi\" \\ \xc3\xa9 \xf0\x9f\x98\x80\n");
}

static void a_keyword_in_a_text_raises_the_stored_notification(void)
{
    bench_connect(&bench, IOT_MODERN);
    bench_command(&bench, "write_uart", "{\"id\": \"x\", \"value\": \"an ALARM here\"}");
    CHECK(bench.said_count == 2);
    CHECK_TEXT(bench.said[0].payload, "{\"id\": \"x\", \"value\": \"an ALARM here\"}");
    CHECK_TEXT(bench.said[1].topic, "server/" DEVICE "/trigger_notification");
    CHECK_TEXT(bench.said[1].payload, "{\"recipient\": \"ann@example.com\", \"message\": \"Something happened here\"}");
}

static void a_notification_for_this_device_is_shown_and_not_answered(void)
{
    bench_connect(&bench, IOT_MODERN);
    CHECK_TEXT(bench_ask(&bench, "trigger_notification", "{\"recipient\": \"" DEVICE "\", \"message\": \"come\"}"), "");
    CHECK_TEXT(bench.shown, "come");
}

static void what_is_wrong_is_said_in_words_by_a_device_with_errors(void)
{
    static const struct golden rows[] = {
        {"get_gpio", "{\"number\": 256, \"id\": \"a\"}",
         "{\"number\": 256, \"id\": \"a\", \"error\": {\"code\": \"bad_request\", \"message\": \"number must be a pin from 0 to 255\"}}"},
        {"get_gpio", "{}", "{\"error\": {\"code\": \"bad_request\", \"message\": \"number must be a pin from 0 to 255\"}}"},
        {"set_gpio", "{\"number\": 1, \"value\": 2}",
         "{\"number\": 1, \"error\": {\"code\": \"bad_request\", \"message\": \"value must be 0 or 1\"}}"},
        {"get_soil", "{\"id\": \"a\"}",
         "{\"id\": \"a\", \"error\": {\"code\": \"unknown_api\", \"message\": \"this device has no api named get_soil\"}}"},
        {"get_gpio", "{\"number\": 1, \"id\": \"a\", \"cu",
         "{\"number\": 1, \"id\": \"a\", \"error\": {\"code\": \"bad_request\", \"message\": \"the command is not a JSON object\"}}"},
        {"get_status", "not json", "{\"error\": {\"code\": \"bad_request\", \"message\": \"the command is not a JSON object\"}}"},
        {"set_status", "{\"value\": \"stop\"}", "{\"error\": {\"code\": \"bad_request\", \"message\": \"value must be \\\"restart\\\"\"}}"},
        {"set_mac", "{\"value\": \"00:c0:ca:90:61:0g\"}",
         "{\"error\": {\"code\": \"bad_request\", \"message\": \"value must be six bytes like 00:c0:ca:90:61:05\"}}"},
        {"set_rtc", "{\"value\": -1}", "{\"error\": {\"code\": \"bad_request\", \"message\": \"value must be seconds since 1970\"}}"},
        {"set_rtc", "{\"value\": 4294967296}",
         "{\"error\": {\"code\": \"bad_request\", \"message\": \"value must be seconds since 1970\"}}"},
        {"write_uart", "{\"value\": 5}", "{\"error\": {\"code\": \"bad_request\", \"message\": \"value must be a text\"}}"},
        {"trigger_notification", "{\"recipient\": \"a\"}",
         "{\"error\": {\"code\": \"bad_request\", \"message\": \"recipient and message must be texts\"}}"},
    };

    check_all(IOT_MODERN, rows, COUNT_OF(rows));
}

static void a_device_without_errors_is_silent_instead(void)
{
    bench_connect(&bench, 0);
    CHECK_TEXT(bench_ask(&bench, "get_gpio", "{\"number\": 256}"), "");
    CHECK_TEXT(bench_ask(&bench, "get_soil", "{}"), "");
    CHECK_TEXT(bench_ask(&bench, "set_gpio", "{\"number\": 1, \"value\": 1"), "");
    CHECK(bench.levels[1] == 0);
    CHECK_TEXT(bench_ask(&bench, "get_status", "not json"), "{\"value\": \"running\"}");
    CHECK_TEXT(bench_ask(&bench, "get_status", "{\"id\": \"a\"}"), "{\"value\": \"running\"}");
}

static void a_board_without_a_part_says_so(void)
{
    bench_connect(&bench, IOT_MODERN);
    bench.hal.rtc_read = NULL;
    bench.hal.gpio_read = NULL;
    CHECK_TEXT(bench_ask(&bench, "get_rtc", "{}"), "{\"error\": {\"code\": \"not_here\", \"message\": \"this board has no clock\"}}");
    CHECK_TEXT(bench_ask(&bench, "get_gpio", "{\"number\": 3}"),
               "{\"number\": 3, \"error\": {\"code\": \"no_pin\", \"message\": \"this board has no such pin\"}}");
}

static void a_command_too_long_for_the_buffer_is_refused_with_its_id(void)
{
    char command[IOT_PAYLOAD_MAX + 64];
    int length = snprintf(command, sizeof command, "{\"id\": \"abc\", \"value\": \"%0*d\"}", IOT_PAYLOAD_MAX, 0);

    bench_connect(&bench, IOT_MODERN);
    CHECK(length > IOT_PAYLOAD_MAX);
    CHECK_TEXT(bench_ask(&bench, "write_uart", command),
               "{\"id\": \"abc\", \"error\": {\"code\": \"too_long\", \"message\": \"the command does not fit into this device's buffer\"}}");
    CHECK_TEXT(bench.uart, "");
}

static void the_longest_command_is_answered(void)
{
    char command[IOT_PAYLOAD_MAX + 1];
    int length = snprintf(command, sizeof command, "{\"value\": \"%0*d\"}", IOT_PAYLOAD_MAX - 13, 0);

    bench_connect(&bench, 0);
    CHECK(length == IOT_PAYLOAD_MAX);
    CHECK_TEXT(bench_ask(&bench, "write_uart", command), command);
}

/* Repeat a letter and give what stands before and after it around that. */
static const char *filled(const char *before, char letter, size_t count, const char *after)
{
    static char text[1024];

    strcpy(text, before);
    memset(text + strlen(before), letter, count);
    strcpy(text + strlen(before) + count, after);
    return text;
}

static void the_longest_id_is_repeated_in_every_refusal(void)
{
    static const char *const apis[] = {"set_gpio", "set_rtc", "set_mac", "trigger_notification", "a23456789012345678901234567890123456789012345678901234567890abcd"};
    char command[IOT_PAYLOAD_MAX + 3], wanted[1024];
    size_t at, room = IOT_PAYLOAD_MAX - strlen("{\"id\":\"\"}");

    bench_connect(&bench, IOT_MODERN);
    for (at = 0; at <= COUNT_OF(apis); at++) {
        bool is_long = at == COUNT_OF(apis);
        strcpy(command, filled("{\"id\":\"", 'i', room, is_long ? "\"} " : "\"}"));
        CHECK(strlen(command) == IOT_PAYLOAD_MAX + (size_t)is_long);
        strcpy(wanted, filled("{\"id\": \"", 'i', room, "\", \"error\": "));
        CHECK(strncmp(bench_ask(&bench, is_long ? "get_status" : apis[at], command), wanted, strlen(wanted)) == 0);
    }
}

static void a_number_that_is_cut_off_is_not_taken_for_another(void)
{
    static const char wanted[] = "{\"error\": {\"code\": \"too_long\", \"message\": \"the command does not fit into this device's buffer\"}}";

    bench_connect(&bench, IOT_MODERN);
    CHECK_TEXT(bench_ask(&bench, "get_gpio", filled("{\"number\": ", ' ', IOT_PAYLOAD_MAX - 12, "12}")), wanted);
    CHECK_TEXT(bench_ask(&bench, "get_status", filled("{\"id\": ", ' ', IOT_PAYLOAD_MAX - 8, "12}")), wanted);
}

static void an_address_that_the_board_does_not_know_is_no_text(void)
{
    bench_connect(&bench, IOT_MODERN);
    bench.hal.ethernet_read = NULL;
    CHECK(strstr(bench_ask(&bench, "get_ip", "{}"), "not_here") != NULL);
}

static void other_topics_are_not_for_this_device(void)
{
    static const char *const topics[] = {
        "get_status", DEVICE, DEVICE "/", DEVICE "/get_status/x", "fedcba9876543210fedcba9876543210/get_status", DEVICE "/Get_status",
        "server/" DEVICE "/get_status", DEVICE "/_x", DEVICE "/1",
        DEVICE "/a2345678901234567890123456789012345678901234567890123456789012345",
    };
    size_t at;

    bench_connect(&bench, IOT_MODERN);
    for (at = 0; at < COUNT_OF(topics); at++) {
        bench_receive(&bench, topics[at], "{}", 2);
    }
    CHECK(bench.said_count == 0);
}

static void a_restart_comes_after_its_answer_has_left(void)
{
    bench_connect(&bench, IOT_MODERN);
    bench_ask(&bench, "set_status", "{\"value\": \"restart\"}");
    iot_poll(&bench.iot);
    CHECK(bench.restarts == 0 && bench.said_count == 2);
    CHECK_TEXT(bench.said[1].payload, "{\"value\": \"offline\"}");
    CHECK_TEXT(bench_ask(&bench, "get_status", "{}"), "");
    bench.is_idle = true;
    iot_poll(&bench.iot);
    CHECK(bench.restarts == 1 && bench.closed == 1);
    iot_poll(&bench.iot);
    CHECK(bench.restarts == 1);
}

static void a_restart_does_not_wait_for_ever(void)
{
    bench_connect(&bench, 0);
    bench_ask(&bench, "set_status", "{\"value\": \"restart\"}");
    iot_poll(&bench.iot);
    bench.now_ms += IOT_RESTART_MS;
    iot_poll(&bench.iot);
    CHECK(bench.restarts == 1);
}

int main(void)
{
    each_command_has_exactly_its_answer();
    each_command_with_an_id_has_it_in_its_answer();
    a_text_comes_back_as_it_went_and_is_printed_as_it_was_meant();
    a_keyword_in_a_text_raises_the_stored_notification();
    a_notification_for_this_device_is_shown_and_not_answered();
    what_is_wrong_is_said_in_words_by_a_device_with_errors();
    a_device_without_errors_is_silent_instead();
    a_board_without_a_part_says_so();
    a_command_too_long_for_the_buffer_is_refused_with_its_id();
    the_longest_command_is_answered();
    the_longest_id_is_repeated_in_every_refusal();
    a_number_that_is_cut_off_is_not_taken_for_another();
    an_address_that_the_board_does_not_know_is_no_text();
    other_topics_are_not_for_this_device();
    a_restart_comes_after_its_answer_has_left();
    a_restart_does_not_wait_for_ever();
    return report("answers");
}
