/* A device of the portal on an FT900: FreeRTOS, lwIP and mbedTLS of Bridgetek's SDK. Its identity is iot_config.h; see README.md. */
#include <ft900.h>
#include <stdio.h>
#include <string.h>

#include "FreeRTOS.h"
#include "board.h"
#include "link.h"
#include "lwip/tcpip.h"
#include "net.h" /* of the SDK's lwIP */
#include "task.h"

#define STACK_WORDS 2048
#define LOOK_MS 10u /* how often the UART and the pins' edges are looked at */

static struct iot device;

static void start_network(void)
{
    ip_addr_t none;

    memset(&none, 0, sizeof none);
    net_init(none, none, none, 1, none, NULL, NULL); /* by DHCP */
    printf("waiting for the network\r\n");
    while (!net_is_ready()) {
        vTaskDelay(pdMS_TO_TICKS(100));
    }
}

static void start_device(void)
{
    static struct iot_config config;
    static struct iot_hal hal;
    static struct iot_net functions;

    config.device_id = link_device_id;
    config.features = iot_features(link_profile);
    config.keyword = "ALARM";
    hal = board_functions();
    functions = link_functions();
    iot_start(&device, &config, &hal, &functions);
}

static void run(void *context)
{
    (void)context;
    start_network();
    while (!link_start(&device)) {
        vTaskDelay(pdMS_TO_TICKS(10000));
    }
    start_device();
    wdt_init(wdt_counter_1G_clocks); /* 10.7 s at 100 MHz */
    for (;;) {
        uint32_t ms;

        LOCK_TCPIP_CORE(); /* lwIP's task calls the core too */
        board_read_uart();
        ms = iot_poll(&device);
        UNLOCK_TCPIP_CORE();
        wdt_kick();
        vTaskDelay(pdMS_TO_TICKS(ms < LOOK_MS ? ms : LOOK_MS) + 1);
    }
}

int main(void)
{
    sys_reset_all();
    interrupt_disable_globally();
    board_start(&device);
    net_setup();
    printf("device %s\r\n", link_device_id);
    if (xTaskCreate(run, "iot", STACK_WORDS, NULL, 1, NULL) != pdTRUE) {
        printf("too little memory for a task of %d words\r\n", STACK_WORDS);
    }
    vTaskStartScheduler();
    for (;;) {
    }
}
