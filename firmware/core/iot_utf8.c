#include "iot_utf8.h"

static size_t announced(unsigned char first, uint32_t *bits)
{
    if (first < 0x80) {
        *bits = first;
        return 1;
    }
    if ((first & 0xe0) == 0xc0) {
        *bits = first & 0x1fu;
        return 2;
    }
    if ((first & 0xf0) == 0xe0) {
        *bits = first & 0x0fu;
        return 3;
    }
    *bits = first & 0x07u;
    return (first & 0xf8) == 0xf0 ? 4 : 0;
}

size_t iot_utf8_read(const char *text, size_t length, uint32_t *character)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t found;
    size_t bytes, at;

    if (length == 0) {
        return 0;
    }
    bytes = announced((unsigned char)text[0], &found);
    if (bytes == 0 || bytes > length) {
        return 0;
    }
    for (at = 1; at < bytes; at++) {
        unsigned char next = (unsigned char)text[at];
        if ((next & 0xc0) != 0x80) {
            return 0;
        }
        found = (found << 6) | (next & 0x3fu);
    }
    if (found < smallest[bytes] || found > 0x10ffff || (found >= 0xd800 && found <= 0xdfff)) {
        return 0;
    }
    *character = found;
    return bytes;
}

size_t iot_utf8_write(uint32_t character, char out[4])
{
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        out[0] = (char)(0xc0 | (character >> 6));
        out[1] = (char)(0x80 | (character & 0x3f));
        return 2;
    }
    if (character < 0x10000) {
        out[0] = (char)(0xe0 | (character >> 12));
        out[1] = (char)(0x80 | ((character >> 6) & 0x3f));
        out[2] = (char)(0x80 | (character & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (character >> 18));
    out[1] = (char)(0x80 | ((character >> 12) & 0x3f));
    out[2] = (char)(0x80 | ((character >> 6) & 0x3f));
    out[3] = (char)(0x80 | (character & 0x3f));
    return 4;
}

size_t iot_utf8_cut(const char *text, size_t length, size_t room)
{
    if (length <= room) {
        return length;
    }
    while (room > 0 && ((unsigned char)text[room] & 0xc0) == 0x80) {
        room--;
    }
    return room;
}
