/* See ../README.md. */
#ifndef ESP_TRANSPORT_H
#define ESP_TRANSPORT_H
typedef struct esp_transport_item_t *esp_transport_handle_t;
int esp_transport_get_socket(esp_transport_handle_t t);
#endif
