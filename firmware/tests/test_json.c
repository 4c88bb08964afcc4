/* JSON read and printed. */
#include "harness.h"

static bool is_object(const char *json)
{
    return iot_json_is_object(json, strlen(json));
}

static void an_object_is_told_from_what_is_none(void)
{
    static const char *const good[] = {
        "{}", " {\t} \n", "{\"a\": 1}", "{\"a\":[1,-2.5,1e9,0.1E+2,true,false,null,{}],\"b\":{\"c\":\"\\u00e9\\n\"}}",
        "{\"a\": \"\xc3\xa9\"}", "{\"\": \"\\ud800\"}", "{\"a\": -0}",
        "{\"a\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}", /* 16 levels */
    };
    static const char *const bad[] = {
        "", " ", "[]", "1", "\"a\"", "{", "}", "{}x", "{} {}", "{\"a\"}", "{\"a\":}", "{\"a\": 1,}", "{,}", "{a: 1}", "{'a': 1}",
        "{\"a\": 01}", "{\"a\": 1.}", "{\"a\": .5}", "{\"a\": +1}", "{\"a\": 1e}", "{\"a\": -}", "{\"a\": NaN}", "{\"a\": tru}",
        "{\"a\": \"\n\"}", "{\"a\": \"\\x\"}", "{\"a\": \"\\u12\"}", "{\"a\": \"\\u12g4\"}", "{\"a\": \"", "{\"a\": \"\\",
        "{\"a\": \"\\\"}", "{\"a\": [1 2]}", "{\"a\": [1,]}", "{\"a\": [}", "{\"a\": \"\xc3\"}", "{\"a\": \"\xff\"}",
        "{\"a\": \"\xc0\x80\"}", "{\"a\": \"\xed\xa0\x80\"}", "{\"a\": \"\xf5\x80\x80\x80\"}",
        "{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", /* 17 levels */
    };
    size_t at;

    for (at = 0; at < COUNT_OF(good); at++) {
        check(is_object(good[at]), good[at], __FILE__, __LINE__);
    }
    for (at = 0; at < COUNT_OF(bad); at++) {
        check(!is_object(bad[at]), bad[at], __FILE__, __LINE__);
    }
    CHECK(!iot_json_is_object("{}\0", 3));
}

static struct iot_json_value get(const char *json, const char *key)
{
    return iot_json_get(json, strlen(json), key);
}

static void a_value_is_found_by_its_key_at_the_first_level(void)
{
    const char *json = "{\"x\": {\"value\": 1}, \"y\": \"value\", \"v\\u0061lue\": 3, \"value\": 4}";
    int64_t number = 0;

    CHECK(iot_json_whole(get(json, "value"), &number) && number == 4);
    CHECK(get(json, "number").kind == IOT_JSON_NONE);
    CHECK(get("{\"v\\u0061lue\": 3}", "value").kind == IOT_JSON_NUMBER);
    CHECK(get("{\"a_key_that_is_longer_than_any_of_ours\": 1, \"id\": [1, 2]}", "id").length == 6);
}

static void what_stands_before_the_end_of_a_cut_object_is_found(void)
{
    CHECK(get("{\"number\": 3, \"id\": \"abc\", \"value\": \"cut of", "id").length == 5);
    CHECK(get("{\"number\": 3, \"id\": \"ab", "id").kind == IOT_JSON_NONE);
}

static void whole_numbers_are_read_and_nothing_else(void)
{
    static const struct {
        const char *json;
        bool whole;
        int64_t number;
    } rows[] = {
        {"{\"n\": 0}", true, 0}, {"{\"n\": 4294967295}", true, 4294967295}, {"{\"n\": -7}", true, -7}, {"{\"n\": \"10\"}", true, 10},
        {"{\"n\": \"-1\"}", true, -1}, {"{\"n\": 999999999999999999}", true, 999999999999999999}, {"{\"n\": 9999999999999999999}", false, 0},
        {"{\"n\": \"99999999999\"}", false, 0}, {"{\"n\": 1.0}", false, 0}, {"{\"n\": 1e3}", false, 0}, {"{\"n\": true}", false, 0},
        {"{\"n\": \"\"}", false, 0}, {"{\"n\": \"-\"}", false, 0}, {"{\"n\": \" 1\"}", false, 0}, {"{\"n\": null}", false, 0}, {"{}", false, 0},
    };
    size_t at;

    for (at = 0; at < COUNT_OF(rows); at++) {
        int64_t number = 0;
        bool whole = iot_json_whole(get(rows[at].json, "n"), &number);
        check(whole == rows[at].whole && number == rows[at].number, rows[at].json, __FILE__, __LINE__);
    }
}

static const char *text_of(const char *json)
{
    static char text[64];

    return iot_json_text(get(json, "v"), text, sizeof text) >= 0 ? text : "(none)";
}

static void texts_are_read_with_their_escapes(void)
{
    char small[4];

    CHECK_TEXT(text_of("{\"v\": \"say \\\"hi\\\" \\\\ \\/ \\b\\f\\n\\r\\t\"}"), "say \"hi\" \\ / \b\f\n\r\t");
    CHECK_TEXT(text_of("{\"v\": \"\\u00e9 \\u20AC \\ud83d\\ude00 \xc3\xa9\"}"), "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xc3\xa9");
    CHECK_TEXT(text_of("{\"v\": \"\"}"), "");
    CHECK_TEXT(text_of("{\"v\": \"\\u0000\"}"), "(none)");
    CHECK_TEXT(text_of("{\"v\": \"\\ud83d\"}"), "(none)");
    CHECK_TEXT(text_of("{\"v\": \"\\ud83d\\u0041\"}"), "(none)");
    CHECK_TEXT(text_of("{\"v\": 5}"), "(none)");
    CHECK(iot_json_text(get("{\"v\": \"abc\"}", "v"), small, sizeof small) == 3);
    CHECK(iot_json_text(get("{\"v\": \"abcd\"}", "v"), small, sizeof small) == -1);
}

static void texts_are_printed_as_json_dumps_does(void)
{
    char out[128];
    struct iot_json_writer writer;

    iot_json_start(&writer, out, sizeof out);
    iot_json_open(&writer);
    iot_json_key(&writer, "number");
    iot_json_put_number(&writer, 4294967295u);
    iot_json_key(&writer, "value");
    iot_json_put_text(&writer, "\" \\ / \n\t\x01\x7f \xc3\xa9 \xf0\x9f\x98\x80 \xff");
    iot_json_close(&writer);
    out[writer.used] = '\0';
    CHECK(!writer.overflowed);
    CHECK_TEXT(out, "{\"number\": 4294967295, \"value\": \"\\\" \\\\ / \\n\\t\\u0001\\u007f \\u00e9 \\ud83d\\ude00 \\ufffd\"}");
}

static void what_does_not_fit_is_not_half_printed(void)
{
    char out[8];
    struct iot_json_writer writer;

    iot_json_start(&writer, out, sizeof out);
    iot_json_put_text(&writer, "123456");
    CHECK(!writer.overflowed && writer.used == 8);
    iot_json_close(&writer);
    CHECK(writer.overflowed && writer.used == 8);
}

int main(void)
{
    an_object_is_told_from_what_is_none();
    a_value_is_found_by_its_key_at_the_first_level();
    what_stands_before_the_end_of_a_cut_object_is_found();
    whole_numbers_are_read_and_nothing_else();
    texts_are_read_with_their_escapes();
    texts_are_printed_as_json_dumps_does();
    what_does_not_fit_is_not_half_printed();
    return report("json");
}
