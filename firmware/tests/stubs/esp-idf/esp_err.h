/* See ../README.md. */
#ifndef ESP_ERR_H
#define ESP_ERR_H
typedef int esp_err_t;
#define ESP_OK 0
void esp_error_check_failed(esp_err_t code);
#define ESP_ERROR_CHECK(code) do { if ((code) != ESP_OK) esp_error_check_failed(1); } while (0)
#endif
