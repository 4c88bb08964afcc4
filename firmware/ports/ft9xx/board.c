#include "board.h"

#include <ft900.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "FreeRTOS.h"
#include "net.h" /* of the SDK's lwIP */
#include "task.h"

#define PINS 67 /* GPIO 0 to 66 */
#define UART_TX_PIN 48
#define UART_RX_PIN 49
#define TYPED_MAX 256

static struct iot *the_iot;
static uint8_t watched[PINS];
static char typed[TYPED_MAX]; /* a ring: the receiver's FIFO holds 16 bytes, less than the loop takes between two looks */
static volatile uint8_t typed_in, typed_out;

static uint32_t millis(void *context)
{
    (void)context;
    return (uint32_t)((uint64_t)xTaskGetTickCountFromISR() * 1000 / configTICK_RATE_HZ); /* from tasks and interrupts alike */
}

/* --- pins --------------------------------------------------------------------------------------------------------------------------- */

static bool is_free(uint8_t pin)
{
    return pin < PINS && pin != UART_TX_PIN && pin != UART_RX_PIN;
}

static bool read_pin(void *context, uint8_t pin, uint8_t *level)
{
    int8_t read = is_free(pin) ? gpio_read(pin) : -1;

    (void)context;
    *level = read == 1;
    return read >= 0;
}

static bool make_gpio(uint8_t pin, pad_dir_t direction, pad_pull_t pull)
{
    return gpio_function(pin, pad_func_0) == 0 && gpio_dir(pin, direction) == 0 && gpio_pull(pin, pull) == 0;
}

static bool write_pin(void *context, uint8_t pin, uint8_t level)
{
    (void)context;
    return is_free(pin) && make_gpio(pin, pad_dir_output, pad_pull_none) && gpio_write(pin, level) == 0;
}

static bool setup_pin(void *context, const struct iot_pin *pin)
{
    static const pad_pull_t pulls[] = {pad_pull_none, pad_pull_pullup, pad_pull_pulldown};
    gpio_int_edge_t edge = pin->edge == IOT_EDGE_RISING ? gpio_int_edge_raising : gpio_int_edge_falling;

    (void)context;
    /* The chip waits for one edge or the other. */
    if (!is_free(pin->number) || pin->edge == IOT_EDGE_BOTH) {
        return false;
    }
    watched[pin->number] = 0;
    gpio_interrupt_disable(pin->number);
    if (!make_gpio(pin->number, pin->direction == IOT_OUT ? pad_dir_output : pad_dir_input, pulls[pin->pull])) {
        return false;
    }
    watched[pin->number] = pin->edge != IOT_EDGE_NONE;
    return pin->edge == IOT_EDGE_NONE || gpio_interrupt_enable(pin->number, edge) == 0;
}

static void on_edges(void)
{
    uint8_t pin;

    for (pin = 0; pin < PINS; pin++) {
        if (watched[pin] && gpio_is_interrupted(pin) == 1) {
            iot_edge(the_iot, pin);
        }
    }
}

/* --- clock and addresses ---------------------------------------------------------------------------------------------------------- */

/* FT900 revision C keeps a calendar. No time zone is set, so newlib's mktime() takes it for UTC. */
static bool read_rtc(void *context, uint32_t *epoch_s)
{
    struct tm now;

    (void)context;
    memset(&now, 0, sizeof now);
    if (rtc_read(&now) != 0) {
        return false;
    }
    *epoch_s = (uint32_t)mktime(&now);
    return true;
}

static bool write_rtc(void *context, uint32_t epoch_s)
{
    time_t wanted = (time_t)epoch_s;
    struct tm now;

    (void)context;
    return gmtime_r(&wanted, &now) != NULL && rtc_write(&now) == 0;
}

static bool read_ethernet(void *context, enum iot_address which, char text[IOT_ADDRESS_MAX + 1])
{
    const uint8_t *mac = net_get_mac();
    ip_addr_t address = which == IOT_IP ? net_get_ip() : which == IOT_SUBNET ? net_get_netmask() : net_get_gateway();

    (void)context;
    if (which != IOT_MAC) {
        return ipaddr_ntoa_r(&address, text, IOT_ADDRESS_MAX + 1) != NULL;
    }
    return snprintf(text, IOT_ADDRESS_MAX + 1, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]) > 0;
}

/* --- UART --------------------------------------------------------------------------------------------------------------------------- */

static void write_uart(void *context, const char *text, size_t length)
{
    (void)context;
    for (; length > 0; length--, text++) {
        if (*text == '\n') {
            uart_write(UART0, '\r');
        }
        uart_write(UART0, (uint8_t)*text);
    }
}

static void on_typed(void)
{
    uint8_t byte;

    if (uart_is_interrupted(UART0, uart_interrupt_rx) != 1) {
        return;
    }
    while (uart_rx_has_data(UART0)) {
        uart_read(UART0, &byte);
        if ((uint8_t)(typed_in + 1) != typed_out) { /* full: the byte is lost, and the line will be an ERROR */
            typed[typed_in] = (char)byte;
            typed_in++;
        }
    }
}

void board_read_uart(void)
{
    while (typed_out != typed_in) {
        char byte = typed[typed_out];
        typed_out++;
        iot_typed(the_iot, byte);
    }
}

/* --- the rest ----------------------------------------------------------------------------------------------------------------------- */

/* Nothing is kept: the EEPROM is the SDK's, for the network's settings. The terminal says that it holds until the next restart. */
static bool store(void *context, const char *message, const char *recipient)
{
    (void)context;
    (void)message;
    (void)recipient;
    return false;
}

static void restart(void *context)
{
    (void)context;
    while (!uart_tx_is_empty(UART0)) {
    }
    chip_reboot();
}

void board_start(struct iot *iot)
{
    the_iot = iot;
    sys_enable(sys_device_uart0);
    gpio_function(UART_TX_PIN, pad_func_3);
    gpio_function(UART_RX_PIN, pad_func_3);
    uart_open(UART0, 1, UART_DIVIDER_115200_BAUD, uart_data_bits_8, uart_parity_none, uart_stop_bits_1);
    rtc_init();
    rtc_option(rtc_option_auto_refresh, 1);
    rtc_start();
    /* The vendor's order: attached first, enabled then. */
    interrupt_attach(interrupt_gpio, (uint8_t)interrupt_gpio, on_edges);
    interrupt_attach(interrupt_uart0, (uint8_t)interrupt_uart0, on_typed);
    uart_enable_interrupt(UART0, uart_interrupt_rx);
    uart_enable_interrupts_globally(UART0);
}

/* The MAC is in the board's EEPROM, and read once: mac_write is NULL, and the portal is told so in words. */
struct iot_hal board_functions(void)
{
    struct iot_hal functions = {
        NULL, millis, NULL, read_pin, write_pin, setup_pin, read_rtc, write_rtc, read_ethernet, NULL, write_uart, NULL,
        store, restart,
    };

    return functions;
}
