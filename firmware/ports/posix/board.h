/* struct iot_hal on a Linux host: a board whose pins, clock and addresses are files in a folder.
 *
 *   pins/7      0 or 1; write it to press a button, read it to see a lamp. Gone after a restart: all pins are 0 then
 *   mac ip subnet gateway     addresses
 *   rtc_offset  seconds that the board's clock is ahead of the host's
 *   message recipient         what `iot set` stored
 */
#ifndef BOARD_H
#define BOARD_H

#include "iot.h"

struct board {
    struct iot *iot;
    const char *folder;
    void (*reboot)(void);
    uint8_t edges[256], levels[256]; /* of pins: the edge that is waited for, and the level seen last */
    char message[IOT_TEXT_MAX + 1], recipient[IOT_TEXT_MAX + 1];
};

/* Power the board up: the folder is made, the pins are forgotten, stored texts are read. False, with a line on stderr: it cannot be
 * made. */
bool board_start(struct board *board, struct iot *iot, const char *folder, const char *device_id, void (*reboot)(void));

/* Return what the core calls. */
struct iot_hal board_functions(struct board *board);

/* Tell of edges since the last call. Returns the milliseconds after which to look again. */
uint32_t board_look(struct board *board);

#endif
