#include "wifi.h"

#include <stdio.h>

#include "esp_event.h"
#include "esp_log.h"
#include "esp_wifi.h"

static void on_wifi(void *context, esp_event_base_t base, int32_t event, void *data)
{
    (void)context;
    (void)base;
    (void)data;
    if (event == WIFI_EVENT_STA_DISCONNECTED) {
        ESP_LOGW("iot", "no Wi-Fi: is the network there, is the password right?");
    }
    if (event == WIFI_EVENT_STA_START || event == WIFI_EVENT_STA_DISCONNECTED) {
        esp_wifi_connect();
    }
}

esp_netif_t *wifi_start(const char *ssid, const char *password)
{
    wifi_init_config_t init = WIFI_INIT_CONFIG_DEFAULT();
    wifi_config_t config = {0};
    esp_netif_t *netif;

    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    netif = esp_netif_create_default_wifi_sta();
    ESP_ERROR_CHECK(esp_wifi_init(&init));
    ESP_ERROR_CHECK(esp_event_handler_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_wifi, NULL));
    snprintf((char *)config.sta.ssid, sizeof config.sta.ssid, "%s", ssid);
    snprintf((char *)config.sta.password, sizeof config.sta.password, "%s", password);
    ESP_ERROR_CHECK(esp_wifi_set_mode(WIFI_MODE_STA));
    ESP_ERROR_CHECK(esp_wifi_set_config(WIFI_IF_STA, &config));
    ESP_ERROR_CHECK(esp_wifi_start());
    return netif;
}
