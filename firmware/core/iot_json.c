#include "iot_json.h"

#include <string.h>

#include "iot_utf8.h"

struct reader {
    const char *at, *end;
};

static bool skip_value(struct reader *reader, int depth, enum iot_json_kind *kind);

static bool at_char(const struct reader *reader, char wanted)
{
    return reader->at < reader->end && *reader->at == wanted;
}

static bool take(struct reader *reader, char wanted)
{
    if (!at_char(reader, wanted)) {
        return false;
    }
    reader->at++;
    return true;
}

static void skip_space(struct reader *reader)
{
    while (at_char(reader, ' ') || at_char(reader, '\t') || at_char(reader, '\n') || at_char(reader, '\r')) {
        reader->at++;
    }
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* Read the four digits of a \u escape. */
static bool read_unit(struct reader *reader, uint32_t *unit)
{
    int left;

    *unit = 0;
    for (left = 4; left > 0; left--) {
        int digit = reader->at < reader->end ? hex_digit(*reader->at) : -1;
        if (digit < 0) {
            return false;
        }
        *unit = (*unit << 4) | (uint32_t)digit;
        reader->at++;
    }
    return true;
}

/* Read what comes after \u; two escapes that belong together are one character, half of a pair stays as it is. */
static bool read_unicode(struct reader *reader, uint32_t *character)
{
    struct reader ahead;
    uint32_t low;

    if (!read_unit(reader, character)) {
        return false;
    }
    if (*character < 0xd800 || *character > 0xdbff) {
        return true;
    }
    ahead = *reader;
    if (take(&ahead, '\\') && take(&ahead, 'u') && read_unit(&ahead, &low) && low >= 0xdc00 && low <= 0xdfff) {
        *character = 0x10000 + ((*character - 0xd800) << 10) + (low - 0xdc00);
        *reader = ahead;
    }
    return true;
}

static bool read_escape(struct reader *reader, uint32_t *character)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *name;

    if (take(reader, 'u')) {
        return read_unicode(reader, character);
    }
    if (reader->at >= reader->end || *reader->at == '\0') {
        return false;
    }
    name = strchr(names, *reader->at);
    if (name == NULL) {
        return false;
    }
    reader->at++;
    *character = (uint32_t)meant[name - names];
    return true;
}

/* Read one character between the quotes of a text. */
static bool read_character(struct reader *reader, uint32_t *character)
{
    size_t bytes;

    if (take(reader, '\\')) {
        return read_escape(reader, character);
    }
    bytes = iot_utf8_read(reader->at, (size_t)(reader->end - reader->at), character);
    reader->at += bytes;
    return bytes > 0 && *character >= 0x20;
}

static bool skip_text(struct reader *reader)
{
    uint32_t ignored;

    if (!take(reader, '"')) {
        return false;
    }
    while (!at_char(reader, '"')) {
        if (!read_character(reader, &ignored)) {
            return false;
        }
    }
    reader->at++;
    return true;
}

static bool skip_digits(struct reader *reader)
{
    const char *first = reader->at;

    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') {
        reader->at++;
    }
    return reader->at > first;
}

static bool skip_number(struct reader *reader)
{
    take(reader, '-');
    if (!take(reader, '0') && !skip_digits(reader)) {
        return false;
    }
    if (take(reader, '.') && !skip_digits(reader)) {
        return false;
    }
    if (!take(reader, 'e') && !take(reader, 'E')) {
        return true;
    }
    if (!take(reader, '+')) {
        take(reader, '-');
    }
    return skip_digits(reader);
}

static bool skip_word(struct reader *reader)
{
    static const char *const words[] = {"true", "false", "null"};
    size_t which, length, left = (size_t)(reader->end - reader->at);

    for (which = 0; which < sizeof words / sizeof words[0]; which++) {
        length = strlen(words[which]);
        if (length <= left && memcmp(reader->at, words[which], length) == 0) {
            reader->at += length;
            return true;
        }
    }
    return false;
}

/* Skip `"key":` and the space around it; `key`: where the text of the key stands. */
static bool skip_key(struct reader *reader, struct iot_json_value *key)
{
    skip_space(reader);
    key->kind = IOT_JSON_TEXT;
    key->at = reader->at;
    if (!skip_text(reader)) {
        return false;
    }
    key->length = (size_t)(reader->at - key->at);
    skip_space(reader);
    return take(reader, ':');
}

/* Skip an array's or an object's inside, the opening bracket being read. */
static bool skip_nested(struct reader *reader, char closing, int depth)
{
    struct iot_json_value key;
    enum iot_json_kind ignored;

    skip_space(reader);
    if (take(reader, closing)) {
        return true;
    }
    do {
        if ((closing == '}' && !skip_key(reader, &key)) || !skip_value(reader, depth - 1, &ignored)) {
            return false;
        }
        skip_space(reader);
    } while (take(reader, ','));
    return take(reader, closing);
}

static bool skip_value(struct reader *reader, int depth, enum iot_json_kind *kind)
{
    skip_space(reader);
    if (at_char(reader, '"')) {
        *kind = IOT_JSON_TEXT;
        return skip_text(reader);
    }
    if (at_char(reader, '{') || at_char(reader, '[')) {
        char closing = *reader->at == '{' ? '}' : ']';
        *kind = IOT_JSON_NESTED;
        reader->at++;
        return depth > 0 && skip_nested(reader, closing, depth);
    }
    *kind = IOT_JSON_WORD;
    if (skip_word(reader)) {
        return true;
    }
    *kind = IOT_JSON_NUMBER;
    return skip_number(reader);
}

bool iot_json_is_object(const char *json, size_t length)
{
    struct reader reader = {json, json + length};
    enum iot_json_kind kind;

    skip_space(&reader);
    if (!at_char(&reader, '{') || !skip_value(&reader, IOT_JSON_DEPTH, &kind)) {
        return false;
    }
    skip_space(&reader);
    return reader.at == reader.end;
}

static bool is_named(struct iot_json_value key, const char *name)
{
    char text[24]; /* longer than any name that is asked for */

    return iot_json_text(key, text, sizeof text) >= 0 && strcmp(text, name) == 0;
}

/* Say whether a value is there to its end: of a number that the command was cut off in, some digits are another number. */
static bool is_complete(const struct reader *reader, enum iot_json_kind kind)
{
    return kind != IOT_JSON_NUMBER || reader->at < reader->end;
}

struct iot_json_value iot_json_get(const char *json, size_t length, const char *key)
{
    struct reader reader = {json, json + length};
    struct iot_json_value found = {IOT_JSON_NONE, NULL, 0}, name, value;

    skip_space(&reader);
    if (!take(&reader, '{')) {
        return found;
    }
    do {
        if (!skip_key(&reader, &name)) {
            return found;
        }
        skip_space(&reader);
        value.at = reader.at;
        if (!skip_value(&reader, IOT_JSON_DEPTH - 1, &value.kind) || !is_complete(&reader, value.kind)) {
            return found;
        }
        value.length = (size_t)(reader.at - value.at);
        if (is_named(name, key)) {
            found = value;
        }
        skip_space(&reader);
    } while (take(&reader, ','));
    return found;
}

bool iot_json_whole(struct iot_json_value value, int64_t *number)
{
    const char *at, *end;
    bool negative;
    int64_t found = 0;

    if (value.kind != IOT_JSON_TEXT && value.kind != IOT_JSON_NUMBER) {
        return false; /* and has perhaps no place to point to */
    }
    at = value.at + (value.kind == IOT_JSON_TEXT);
    end = value.at + value.length - (value.kind == IOT_JSON_TEXT);
    negative = at < end && *at == '-';
    at += negative;
    if (at == end || end - at > (value.kind == IOT_JSON_TEXT ? 10 : 18)) {
        return false;
    }
    for (; at < end; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
        found = found * 10 + (*at - '0');
    }
    *number = negative ? -found : found;
    return true;
}

long iot_json_text(struct iot_json_value value, char *out, size_t size)
{
    struct reader reader;
    size_t used = 0;
    uint32_t character;
    char bytes[4];

    if (value.kind != IOT_JSON_TEXT) {
        return -1;
    }
    reader.at = value.at + 1;
    reader.end = value.at + value.length - 1;
    while (reader.at < reader.end) {
        size_t length;
        if (!read_character(&reader, &character) || character == 0 || (character >= 0xd800 && character <= 0xdfff)) {
            return -1;
        }
        length = iot_utf8_write(character, bytes);
        if (used + length >= size) {
            return -1;
        }
        memcpy(out + used, bytes, length);
        used += length;
    }
    if (used >= size) {
        return -1;
    }
    out[used] = '\0';
    return (long)used;
}

/* --- printing ------------------------------------------------------------------------------------------------------------------ */

static void put(struct iot_json_writer *writer, const char *bytes, size_t length)
{
    if (writer->overflowed || length > writer->size - writer->used) {
        writer->overflowed = true;
        return;
    }
    memcpy(writer->out + writer->used, bytes, length);
    writer->used += length;
}

void iot_json_start(struct iot_json_writer *writer, char *out, size_t size)
{
    writer->out = out;
    writer->size = size;
    writer->used = 0;
    writer->overflowed = false;
}

void iot_json_open(struct iot_json_writer *writer)
{
    put(writer, "{", 1);
}

void iot_json_close(struct iot_json_writer *writer)
{
    put(writer, "}", 1);
}

void iot_json_key(struct iot_json_writer *writer, const char *key)
{
    if (writer->used > 0 && writer->out[writer->used - 1] != '{') {
        put(writer, ", ", 2);
    }
    put(writer, "\"", 1);
    put(writer, key, strlen(key));
    put(writer, "\": ", 3);
}

void iot_json_put_number(struct iot_json_writer *writer, uint32_t number)
{
    char digits[10];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put(writer, digits + at, sizeof digits - at);
}

static void put_unit(struct iot_json_writer *writer, uint32_t unit)
{
    static const char digits[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', 0, 0, 0, 0};
    int at;

    for (at = 5; at > 1; at--) {
        escape[at] = digits[unit & 15];
        unit >>= 4;
    }
    put(writer, escape, sizeof escape);
}

static void put_character(struct iot_json_writer *writer, uint32_t character)
{
    static const char short_ones[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    char plain = (char)character;
    const char *found = character > 0 && character < 0x80 ? strchr(short_ones, plain) : NULL;

    if (found != NULL) {
        put(writer, "\\", 1);
        put(writer, &names[found - short_ones], 1);
    } else if (character >= 0x20 && character < 0x7f) {
        put(writer, &plain, 1);
    } else if (character >= 0x10000) {
        put_unit(writer, 0xd800 + ((character - 0x10000) >> 10));
        put_unit(writer, 0xdc00 + ((character - 0x10000) & 0x3ff));
    } else {
        put_unit(writer, character);
    }
}

void iot_json_put_text(struct iot_json_writer *writer, const char *text)
{
    size_t left = strlen(text);

    put(writer, "\"", 1);
    while (left > 0) {
        uint32_t character;
        size_t bytes = iot_utf8_read(text, left, &character);
        put_character(writer, bytes > 0 ? character : 0xfffd);
        bytes += bytes == 0;
        text += bytes;
        left -= bytes;
    }
    put(writer, "\"", 1);
}

void iot_json_put_value(struct iot_json_writer *writer, struct iot_json_value value)
{
    put(writer, value.at, value.length);
}
