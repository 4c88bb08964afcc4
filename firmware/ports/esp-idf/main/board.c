#include "board.h"

#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "driver/gpio.h"
#include "driver/uart.h"
#include "esp_random.h"
#include "esp_system.h"
#include "esp_timer.h"
#include "nvs.h"

#define UART UART_NUM_0
#define UART_TX_PIN 1 /* of the ESP32; other chips have their console elsewhere: see README.md */
#define UART_RX_PIN 3
#define STORE "iot"

static struct board *the_board; /* an interrupt gets a pin's number alone */

static uint32_t millis(void *context)
{
    (void)context;
    return (uint32_t)((uint64_t)esp_timer_get_time() / 1000);
}

static uint32_t chance(void *context)
{
    (void)context;
    return esp_random();
}

/* --- pins --------------------------------------------------------------------------------------------------------------------------- */

/* Pins that are the console's, or those of the flash on an ESP32, are nobody else's. */
static bool is_free(uint8_t pin)
{
    return GPIO_IS_VALID_GPIO(pin) && pin != UART_TX_PIN && pin != UART_RX_PIN && !(pin >= 6 && pin <= 11);
}

static bool gpio_is(void *context, uint8_t pin, uint8_t *level)
{
    (void)context;
    if (!is_free(pin)) {
        return false;
    }
    *level = gpio_get_level((gpio_num_t)pin) != 0;
    return true;
}

/* An output is an input too, so that its level can be read back. */
static bool set_up(uint8_t pin, gpio_mode_t mode, uint8_t pull, gpio_int_type_t edge)
{
    gpio_config_t config = {0};

    config.pin_bit_mask = 1ULL << pin;
    config.mode = mode;
    config.pull_up_en = pull == IOT_PULL_UP ? GPIO_PULLUP_ENABLE : GPIO_PULLUP_DISABLE;
    config.pull_down_en = pull == IOT_PULL_DOWN ? GPIO_PULLDOWN_ENABLE : GPIO_PULLDOWN_DISABLE;
    config.intr_type = edge;
    return gpio_config(&config) == ESP_OK;
}

static bool set_gpio(void *context, uint8_t pin, uint8_t level)
{
    (void)context;
    if (!is_free(pin) || !GPIO_IS_VALID_OUTPUT_GPIO(pin)) {
        return false;
    }
    /* The level first: a pin that becomes an output has it from the first moment on. */
    return gpio_set_level((gpio_num_t)pin, level) == ESP_OK &&
           set_up(pin, GPIO_MODE_INPUT_OUTPUT, IOT_PULL_NONE, GPIO_INTR_DISABLE);
}

static void on_edge(void *pin)
{
    iot_edge(the_board->iot, (uint8_t)(uintptr_t)pin);
}

static bool setup_gpio(void *context, const struct iot_pin *pin)
{
    static const gpio_int_type_t edges[] = {GPIO_INTR_DISABLE, GPIO_INTR_POSEDGE, GPIO_INTR_NEGEDGE, GPIO_INTR_ANYEDGE};
    gpio_num_t number = (gpio_num_t)pin->number;
    bool is_output = pin->direction == IOT_OUT;

    (void)context;
    if (!is_free(pin->number) || (is_output && !GPIO_IS_VALID_OUTPUT_GPIO(pin->number))) {
        return false;
    }
    gpio_isr_handler_remove(number);
    if (!set_up(pin->number, is_output ? GPIO_MODE_INPUT_OUTPUT : GPIO_MODE_INPUT, pin->pull, edges[pin->edge])) {
        return false;
    }
    return pin->edge == IOT_EDGE_NONE || gpio_isr_handler_add(number, on_edge, (void *)(uintptr_t)pin->number) == ESP_OK;
}

/* --- clock and addresses ---------------------------------------------------------------------------------------------------------- */

static bool read_rtc(void *context, uint32_t *epoch_s)
{
    (void)context;
    *epoch_s = (uint32_t)time(NULL);
    return true;
}

static bool write_rtc(void *context, uint32_t epoch_s)
{
    struct timeval now = {0, 0};

    (void)context;
    now.tv_sec = (time_t)epoch_s;
    return settimeofday(&now, NULL) == 0;
}

static bool read_ethernet(void *context, enum iot_address which, char text[IOT_ADDRESS_MAX + 1])
{
    struct board *board = context;
    esp_netif_ip_info_t ip;
    uint8_t mac[6];
    const esp_ip4_addr_t *wanted = which == IOT_IP ? &ip.ip : which == IOT_SUBNET ? &ip.netmask : &ip.gw;

    if (which == IOT_MAC) {
        return esp_netif_get_mac(board->netif, mac) == ESP_OK &&
               snprintf(text, IOT_ADDRESS_MAX + 1, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]) > 0;
    }
    return esp_netif_get_ip_info(board->netif, &ip) == ESP_OK && esp_ip4addr_ntoa(wanted, text, IOT_ADDRESS_MAX + 1) != NULL;
}

/* --- UART and store ---------------------------------------------------------------------------------------------------------------- */

static void write_uart(void *context, const char *text, size_t length)
{
    (void)context;
    uart_write_bytes(UART, text, length);
}

void board_read_uart(struct board *board)
{
    char bytes[64];
    int count = uart_read_bytes(UART, bytes, sizeof bytes, 0), at;

    for (at = 0; at < count; at++) {
        iot_typed(board->iot, bytes[at]);
    }
}

static bool store(void *context, const char *message, const char *recipient)
{
    nvs_handle_t handle;
    bool kept;

    (void)context;
    if (nvs_open(STORE, NVS_READWRITE, &handle) != ESP_OK) {
        return false;
    }
    kept = nvs_set_str(handle, "message", message) == ESP_OK && nvs_set_str(handle, "recipient", recipient) == ESP_OK &&
           nvs_commit(handle) == ESP_OK;
    nvs_close(handle);
    return kept;
}

static void read_store(struct board *board)
{
    size_t message = sizeof board->message, recipient = sizeof board->recipient;
    nvs_handle_t handle;

    if (nvs_open(STORE, NVS_READONLY, &handle) != ESP_OK) {
        return; /* nothing was stored yet */
    }
    if (nvs_get_str(handle, "message", board->message, &message) != ESP_OK ||
        nvs_get_str(handle, "recipient", board->recipient, &recipient) != ESP_OK) {
        board->message[0] = board->recipient[0] = '\0';
    }
    nvs_close(handle);
}

static void restart(void *context)
{
    (void)context;
    uart_wait_tx_done(UART, pdMS_TO_TICKS(200));
    esp_restart();
}

void board_start(struct board *board, struct iot *iot, esp_netif_t *netif)
{
    memset(board, 0, sizeof *board);
    board->iot = iot;
    board->netif = netif;
    the_board = board;
    ESP_ERROR_CHECK(uart_driver_install(UART, 1024, 0, 0, NULL, 0));
    ESP_ERROR_CHECK(gpio_install_isr_service(0));
    read_store(board);
}

/* A Wi-Fi station's MAC cannot be changed while it is connected: mac_write is NULL, and the portal is told so in words. */
struct iot_hal board_functions(struct board *board)
{
    struct iot_hal functions = {
        board, millis, chance, gpio_is, set_gpio, setup_gpio, read_rtc, write_rtc, read_ethernet, NULL, write_uart, NULL,
        store, restart,
    };

    return functions;
}
