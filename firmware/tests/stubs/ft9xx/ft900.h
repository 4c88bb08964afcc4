/* See ../README.md. */
#ifndef FT900_H
#define FT900_H
#include <stddef.h>
#include <stdint.h>
#include <time.h>
/* ft900_sys.h, ft900_interrupt.h, ft900_wdt.h */
typedef enum { sys_device_uart0 = 4 } sys_device_t;
typedef enum { interrupt_uart0 = 13, interrupt_gpio = 18 } interrupt_t;
typedef enum { wdt_counter_1G_clocks = 30 } wdt_counter_t;
typedef void (*isrptr_t)(void);
int sys_enable(sys_device_t dev);
void sys_reset_all(void);
int8_t interrupt_attach(interrupt_t interrupt, uint8_t priority, isrptr_t func);
void interrupt_disable_globally(void);
int8_t wdt_init(wdt_counter_t timeout);
int8_t wdt_kick(void);
void chip_reboot(void);
/* ft900_gpio.h */
typedef enum { pad_func_0, pad_func_1, pad_func_2, pad_func_3 } pad_func_t;
typedef enum { pad_dir_input, pad_dir_output, pad_dir_open_drain } pad_dir_t;
typedef enum { pad_pull_none, pad_pull_pullup, pad_pull_pulldown, pad_pull_keeper } pad_pull_t;
typedef enum { gpio_int_edge_falling, gpio_int_edge_raising } gpio_int_edge_t;
int8_t gpio_dir(uint8_t num, pad_dir_t dir);
int8_t gpio_pull(uint8_t num, pad_pull_t pull);
int8_t gpio_function(uint8_t num, pad_func_t func);
int8_t gpio_write(uint8_t num, uint8_t val);
int8_t gpio_read(uint8_t num);
int8_t gpio_interrupt_enable(uint8_t num, gpio_int_edge_t edge);
int8_t gpio_interrupt_disable(uint8_t num);
int8_t gpio_is_interrupted(uint8_t num);
/* ft900_rtc.h */
typedef enum { rtc_option_auto_refresh } rtc_option_t;
int8_t rtc_init(void);
int8_t rtc_start(void);
int8_t rtc_write(const struct tm *time);
int8_t rtc_read(struct tm *const time);
int8_t rtc_option(rtc_option_t opt, uint8_t val);
/* ft900_uart_simple.h */
typedef struct ft900_uart_regs ft900_uart_regs_t;
extern ft900_uart_regs_t *const UART0;
#define UART_DIVIDER_115200_BAUD (217)
typedef enum { uart_data_bits_8 = 8 } uart_data_bits_t;
typedef enum { uart_parity_none } uart_parity_t;
typedef enum { uart_stop_bits_1 } uart_stop_bits_t;
typedef enum { uart_interrupt_rx = 0x04 } uart_interrupt_t;
int8_t uart_open(ft900_uart_regs_t *dev, uint8_t prescaler, uint32_t divisor, uart_data_bits_t databits, uart_parity_t parity,
                 uart_stop_bits_t stop);
size_t uart_write(ft900_uart_regs_t *dev, uint8_t buffer);
size_t uart_read(ft900_uart_regs_t *dev, uint8_t *buffer);
uint8_t uart_rx_has_data(ft900_uart_regs_t *dev);
uint8_t uart_tx_is_empty(ft900_uart_regs_t *dev);
int8_t uart_enable_interrupt(ft900_uart_regs_t *dev, uart_interrupt_t interrupt);
int8_t uart_enable_interrupts_globally(ft900_uart_regs_t *dev);
int8_t uart_is_interrupted(ft900_uart_regs_t *dev, uart_interrupt_t interrupt);
#endif
