/* The device by itself: lines on its UART, edges of its pins. */
#include "harness.h"

#define RAISED(message, recipient) "{\"recipient\": \"" recipient "\", \"message\": \"" message "\"}"

static struct bench bench;

static const char *last_said(void)
{
    return bench.said_count > 0 ? bench.said[bench.said_count - 1].payload : "";
}

static void texts_are_stored_and_sent(void)
{
    bench_connect(&bench, IOT_MODERN);
    CHECK_TEXT(bench_type(&bench, "iot set message \"it is \\\"hot\\\"\" recipient \"+4912345\""), "OK\n");
    CHECK_TEXT(bench.stored, "it is \"hot\"|+4912345");
    CHECK_TEXT(bench_type(&bench, "iot send"), "OK\n");
    CHECK_TEXT(last_said(), RAISED("it is \\\"hot\\\"", "+4912345"));
    CHECK_TEXT(bench_type(&bench, "  iot   send recipient \"r\" message \"m\" "), "OK\n");
    CHECK_TEXT(last_said(), RAISED("m", "r"));
    CHECK_TEXT(bench_type(&bench, "iot set message \"\""), "OK\n");
    CHECK_TEXT(bench_type(&bench, "iot send"), "OK\n");
    CHECK_TEXT(last_said(), RAISED("", "+4912345"));
}

static void a_text_longer_than_its_buffer_is_cut_between_two_letters(void)
{
    char line[160];

    bench_connect(&bench, 0);
    snprintf(line, sizeof line, "iot set message \"%063d\xc3\xa9\"", 0);
    bench_type(&bench, line);
    CHECK(strlen(bench.iot.message) == 63);
}

static void nothing_is_sent_without_a_recipient_or_a_connection(void)
{
    bench_connect(&bench, 0);
    bench_type(&bench, "iot set recipient \"\"");
    CHECK_TEXT(bench_type(&bench, "iot send"), "ERROR no recipient is stored: iot set recipient \"...\"\n");
    bench_type(&bench, "iot set recipient \"r\"");
    iot_disconnected(&bench.iot);
    CHECK_TEXT(bench_type(&bench, "iot send"), "ERROR the notification could not be sent\n");
    CHECK(bench.said_count == 0);
}

static void pins_are_set_up_written_and_let_go(void)
{
    bench_connect(&bench, IOT_MODERN);
    CHECK_TEXT(bench_type(&bench, "iot gpio 7 enable dir in pull up edge falling"), "OK\n");
    CHECK(bench.setup.number == 7 && bench.setup.direction == IOT_IN && bench.setup.pull == IOT_PULL_UP);
    CHECK(bench.setup.edge == IOT_EDGE_FALLING);
    CHECK_TEXT(bench_type(&bench, "iot gpio 7 write 1"), "ERROR that pin is an input\n");
    CHECK_TEXT(bench_ask(&bench, "set_gpio", "{\"number\": 7, \"value\": 1}"),
               "{\"number\": 7, \"error\": {\"code\": \"pin_is_input\", \"message\": \"that pin is an input\"}}");
    CHECK_TEXT(bench_type(&bench, "iot gpio 255 write 1"), "OK\n");
    CHECK(bench.levels[255] == 1 && bench.levels[7] == 0);
    CHECK_TEXT(bench_type(&bench, "iot gpio 7 disable"), "OK\n");
    CHECK(bench.setup.edge == IOT_EDGE_NONE && bench.setup.pull == IOT_PULL_NONE);
    CHECK_TEXT(bench_ask(&bench, "set_gpio", "{\"number\": 7, \"value\": 1}"), "{\"number\": 7, \"value\": 1}");
}

static void more_pins_than_there_is_room_for_are_refused(void)
{
    char line[40];
    int number;

    bench_connect(&bench, 0);
    for (number = 0; number < IOT_PINS_MAX; number++) {
        snprintf(line, sizeof line, "iot gpio %d enable", number);
        CHECK_TEXT(bench_type(&bench, line), "OK\n");
    }
    CHECK_TEXT(bench_type(&bench, "iot gpio 200 enable"), "ERROR no more pins can be enabled; disable one\n");
    CHECK_TEXT(bench_type(&bench, "iot gpio 0 enable edge both"), "OK\n");
    bench_type(&bench, "iot gpio 3 disable");
    CHECK_TEXT(bench_type(&bench, "iot gpio 200 enable"), "OK\n");
}

static void wrong_lines_are_told_what_was_wanted(void)
{
    static const char *const rows[][2] = {
        {"ls", "begins with iot"}, {"iot", "set, send and gpio"}, {"iot dance", "set, send and gpio"}, {"iot set", "iot set message"},
        {"iot set message", "needs a value"}, {"iot set message a message b", "given twice"}, {"iot set colour red", "one may say"},
        {"iot send message \"open", "not closed"}, {"iot send message \"open\\", "not closed"}, {"iot gpio", "enable"},
        {"iot gpio 256 disable", "0 to 255"}, {"iot gpio 1234 disable", "0 to 255"}, {"iot gpio x disable", "0 to 255"},
        {"iot gpio \"\" disable", "0 to 255"}, {"iot gpio 7 write 2", "write 0, or 1"}, {"iot gpio 7 write", "write 0, or 1"},
        {"iot gpio 7 disable now", "enable"}, {"iot gpio 7 enable edge upwards", "edge is none, rising, falling or both"},
        {"iot gpio 7 enable dir sideways", "dir is in or out"}, {"iot gpio 7 enable pull hard", "pull is none, up or down"},
        {"iot a b c d e f g h i j k", "too many words"},
    };
    size_t at;

    bench_connect(&bench, 0);
    for (at = 0; at < COUNT_OF(rows); at++) {
        const char *printed = bench_type(&bench, rows[at][0]);
        check(strncmp(printed, "ERROR ", 6) == 0 && strstr(printed, rows[at][1]) != NULL, rows[at][0], __FILE__, __LINE__);
    }
    CHECK(bench.said_count == 0 && bench.iot.pin_count == 0);
}

static void words_end_at_a_quote_too(void)
{
    bench_connect(&bench, 0);
    CHECK_TEXT(bench_type(&bench, "iot set message\"a b\"recipient\"r\""), "OK\n");
    CHECK_TEXT(bench.stored, "a b|r");
}

static void a_line_that_is_too_long_does_nothing(void)
{
    char line[IOT_LINE_MAX + 40];

    bench_connect(&bench, 0);
    snprintf(line, sizeof line, "iot send message \"%0*d\"", IOT_LINE_MAX, 0);
    CHECK_TEXT(bench_type(&bench, line), "ERROR that line is too long\n");
    CHECK(bench.said_count == 0);
    CHECK_TEXT(bench_type(&bench, "iot send"), "OK\n");
    CHECK_TEXT(bench_type(&bench, ""), "");
    CHECK_TEXT(bench_type(&bench, "iot sennd\b\bd"), "OK\n");
}

static void edge(uint8_t pin)
{
    iot_edge(&bench.iot, pin);
    iot_poll(&bench.iot);
}

static void an_edge_of_an_enabled_pin_raises_a_notification(void)
{
    bench_connect(&bench, 0);
    edge(7);
    CHECK(bench.said_count == 0);
    bench_type(&bench, "iot gpio 7 enable edge rising");
    edge(7);
    edge(8);
    CHECK(bench.said_count == 1);
    CHECK_TEXT(last_said(), RAISED("Something happened here", "ann@example.com"));
    bench_type(&bench, "iot gpio 7 disable");
    bench.now_ms += IOT_DEBOUNCE_MS;
    edge(7);
    CHECK(bench.said_count == 1);
}

static void a_notification_of_nothing_but_escapes_is_sent(void)
{
    char line[IOT_LINE_MAX + 1] = "iot send message ";
    int at;

    bench_connect(&bench, 0);
    bench.said_count = 0;
    for (at = 0; at < IOT_TEXT_MAX; at++) {
        strcat(line, "\x02");
    }
    strcat(line, " recipient ");
    for (at = 0; at < IOT_TEXT_MAX; at++) {
        strcat(line, "\x03");
    }
    CHECK_TEXT(bench_type(&bench, line), "OK\n");
    CHECK(bench.said_count == 1 && strlen(last_said()) == 2 * 6 * IOT_TEXT_MAX + strlen("{\"recipient\": \"\", \"message\": \"\"}"));
}

static void a_letter_is_rubbed_out_with_all_its_bytes(void)
{
    bench_connect(&bench, 0);
    CHECK_TEXT(bench_type(&bench, "\b\x7fiot send message \xf0\x9f\x98\x80\b\xc3\xa9\x7fx"), "OK\n");
    CHECK_TEXT(last_said(), RAISED("x", "ann@example.com"));
}

static bool refuse_pin(void *context, uint8_t pin, uint8_t level)
{
    (void)context;
    return pin == 255 && level > 1;
}

static bool refuse_store(void *context, const char *message, const char *recipient)
{
    (void)context;
    return message == recipient;
}

static void what_the_board_cannot_do_is_said(void)
{
    bench_connect(&bench, 0);
    bench.hal.gpio_write = refuse_pin;
    bench.hal.store = refuse_store;
    CHECK_TEXT(bench_type(&bench, "iot gpio 7 write 1"), "ERROR this board cannot write that pin\n");
    CHECK_TEXT(bench_type(&bench, "iot set message x"), "ERROR it holds only until the next restart\n");
    bench.hal.gpio_setup = NULL;
    CHECK_TEXT(bench_type(&bench, "iot gpio 7 enable"), "ERROR this board cannot set that pin up so\n");
}

static void a_bouncing_contact_is_one_press(void)
{
    int times;

    bench_connect(&bench, 0);
    bench_type(&bench, "iot gpio 7 enable edge both");
    for (times = 0; times < 5; times++) {
        edge(7);
        bench.now_ms += IOT_DEBOUNCE_MS - 1;
    }
    CHECK(bench.said_count == 1);
    bench.now_ms += 1;
    edge(7);
    CHECK(bench.said_count == 2);
}

static void presses_without_a_connection_are_told_after_it_as_many_as_there_is_room_for(void)
{
    int times;

    bench_connect(&bench, 0);
    bench_type(&bench, "iot gpio 7 enable edge both");
    iot_disconnected(&bench.iot);
    for (times = 0; times < IOT_EDGES_MAX + 3; times++) {
        edge(7);
        bench.now_ms += IOT_DEBOUNCE_MS;
    }
    CHECK(bench.said_count == 0);
    bench.now_ms += IOT_RETRY_FIRST_MS;
    iot_poll(&bench.iot);
    iot_connected(&bench.iot);
    iot_subscribed(&bench.iot);
    iot_poll(&bench.iot);
    CHECK(bench.said_count == IOT_EDGES_MAX);
}

int main(void)
{
    texts_are_stored_and_sent();
    a_text_longer_than_its_buffer_is_cut_between_two_letters();
    nothing_is_sent_without_a_recipient_or_a_connection();
    pins_are_set_up_written_and_let_go();
    more_pins_than_there_is_room_for_are_refused();
    wrong_lines_are_told_what_was_wanted();
    words_end_at_a_quote_too();
    a_line_that_is_too_long_does_nothing();
    an_edge_of_an_enabled_pin_raises_a_notification();
    a_notification_of_nothing_but_escapes_is_sent();
    a_letter_is_rubbed_out_with_all_its_bytes();
    what_the_board_cannot_do_is_said();
    a_bouncing_contact_is_one_press();
    presses_without_a_connection_are_told_after_it_as_many_as_there_is_room_for();
    return report("board");
}
