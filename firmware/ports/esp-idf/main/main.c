/* A device of the portal on an ESP32, by ESP-IDF. Its identity is iot_config.h, its Wi-Fi in menuconfig; see ../README.md. */
#include "board.h"
#include "esp_log.h"
#include "esp_task_wdt.h"
#include "net.h"
#include "nvs_flash.h"
#include "sdkconfig.h"
#include "wifi.h"

#define LOOK_MS 20u /* how often the UART and the pins' edges are looked at */

static struct iot device;
static struct board board;
static struct net net;

static void start_store(void)
{
    if (nvs_flash_init() != ESP_OK) { /* full, or of another version: what was stored is lost */
        ESP_ERROR_CHECK(nvs_flash_erase());
        ESP_ERROR_CHECK(nvs_flash_init());
    }
}

static void run(void)
{
    ESP_ERROR_CHECK(esp_task_wdt_add(NULL));
    for (;;) {
        uint32_t ms = iot_poll(&device);

        esp_task_wdt_reset();
        net_wait(&net, ms < LOOK_MS ? ms : LOOK_MS);
        board_read_uart(&board);
    }
}

void app_main(void)
{
    static struct iot_config config;
    static struct iot_hal hal;
    static struct iot_net functions;

    ESP_LOGI("iot", "device %s", net_device_id);
    start_store();
    board_start(&board, &device, wifi_start(CONFIG_IOT_WIFI_SSID, CONFIG_IOT_WIFI_PASSWORD));
    net_start(&net, &device);
    config.device_id = net_device_id;
    config.features = iot_features(net_profile);
    config.keyword = CONFIG_IOT_KEYWORD;
    config.message = board.message[0] != '\0' ? board.message : NULL;
    config.recipient = board.recipient[0] != '\0' ? board.recipient : NULL;
    hal = board_functions(&board);
    functions = net_functions(&net);
    iot_start(&device, &config, &hal, &functions);
    run();
}
