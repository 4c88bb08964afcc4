/* UTF-8, one character at a time (RFC 3629). */
#ifndef IOT_UTF8_H
#define IOT_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Read the character at text[0]. Returns its bytes, 1 to 4; 0 where it is not UTF-8 (overlong, cut, half a surrogate pair, too large). */
size_t iot_utf8_read(const char *text, size_t length, uint32_t *character);

/* Write a character as 1 to 4 bytes and return how many. */
size_t iot_utf8_write(uint32_t character, char out[4]);

/* Return how much of a text fits into `room` bytes without cutting a character in two. */
size_t iot_utf8_cut(const char *text, size_t length, size_t room);

#endif
