/* See ../README.md. */
#ifndef ESP_LOG_H
#define ESP_LOG_H
#include <stdio.h>
#define ESP_LOGI(tag, ...) ((void)(tag), (void)printf(__VA_ARGS__))
#define ESP_LOGW(tag, ...) ((void)(tag), (void)printf(__VA_ARGS__))
#endif
