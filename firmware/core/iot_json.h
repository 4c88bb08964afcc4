/* JSON for small messages (RFC 8259), without a heap: values are found where they stand in the message. */
#ifndef IOT_JSON_H
#define IOT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IOT_JSON_DEPTH 16 /* levels of nesting, as the portal's own limit; each costs some 64 bytes of stack while it is read */

enum iot_json_kind { IOT_JSON_NONE, IOT_JSON_TEXT, IOT_JSON_NUMBER, IOT_JSON_WORD, IOT_JSON_NESTED };

/* A value as it stands in the message, a text with its quotes. */
struct iot_json_value {
    enum iot_json_kind kind;
    const char *at;
    size_t length;
};

/* Say whether the bytes are one JSON object in UTF-8 and nothing else. */
bool iot_json_is_object(const char *json, size_t length);

/* Return the object's value under `key`, the last one where there are several; NONE where there is none.
 * Of an object that is broken or cut off it returns what stands before that. */
struct iot_json_value iot_json_get(const char *json, size_t length, const char *key);

/* Read a whole number; one written as a text of at most ten digits counts. 1.0, 1e3, true and anything beyond 64 bits do not. */
bool iot_json_whole(struct iot_json_value value, int64_t *number);

/* Write a text as UTF-8 with a zero at its end. Returns its bytes without the zero; -1 where it is no text, does not fit, or has
 * half a surrogate pair or a zero character in it. */
long iot_json_text(struct iot_json_value value, char *out, size_t size);

/* Prints an object as Python's json.dumps does by default: one space after colons and commas, ASCII alone. */
struct iot_json_writer {
    char *out;
    size_t size, used;
    bool overflowed; /* something did not fit: what is in `out` is of no use */
};

void iot_json_start(struct iot_json_writer *writer, char *out, size_t size);
void iot_json_open(struct iot_json_writer *writer);
void iot_json_close(struct iot_json_writer *writer);
void iot_json_key(struct iot_json_writer *writer, const char *key);
void iot_json_put_number(struct iot_json_writer *writer, uint32_t number);
/* Bytes that are not UTF-8 (a terminal in another encoding) become U+FFFD. */
void iot_json_put_text(struct iot_json_writer *writer, const char *text);
/* Repeat a value byte for byte. */
void iot_json_put_value(struct iot_json_writer *writer, struct iot_json_value value);

#endif
