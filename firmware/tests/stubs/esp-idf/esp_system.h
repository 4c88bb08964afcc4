/* See ../README.md. */
#ifndef ESP_SYSTEM_H
#define ESP_SYSTEM_H
void esp_restart(void) __attribute__((__noreturn__));
#endif
