/* struct iot_hal on an ESP32: its pins, its clock, its Wi-Fi's addresses, UART 0, NVS for the stored texts. */
#ifndef BOARD_H
#define BOARD_H

#include "esp_netif.h"
#include "iot.h"

struct board {
    struct iot *iot;
    esp_netif_t *netif;
    char message[IOT_TEXT_MAX + 1], recipient[IOT_TEXT_MAX + 1];
};

/* Start the UART and the pins' interrupts, and read the stored texts. NVS is initialised before. */
void board_start(struct board *board, struct iot *iot, esp_netif_t *netif);

/* Return what the core calls. */
struct iot_hal board_functions(struct board *board);

/* Hand what was typed on the UART to the device. */
void board_read_uart(struct board *board);

#endif
