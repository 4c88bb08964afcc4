/* struct iot_hal on an FT900 (MM900EV1B): its pins, its clock, UART 0, its Ethernet's addresses. */
#ifndef BOARD_H
#define BOARD_H

#include "iot.h"

/* Start UART 0 (115200 8N1), the clock and the pins' interrupt. Before the scheduler. */
void board_start(struct iot *iot);

/* Return what the core calls. */
struct iot_hal board_functions(void);

/* Hand what was typed on the UART to the device. */
void board_read_uart(void);

#endif
