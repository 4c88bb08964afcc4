/* See ../README.md. */
#ifndef TASK_H
#define TASK_H
#include "FreeRTOS.h"
typedef struct tskTaskControlBlock *TaskHandle_t;
typedef void (*TaskFunction_t)(void *);
BaseType_t xTaskCreate(TaskFunction_t pxTaskCode, const char *const pcName, const uint16_t usStackDepth, void *const pvParameters,
                       UBaseType_t uxPriority, TaskHandle_t *const pxCreatedTask);
void vTaskStartScheduler(void);
void vTaskDelay(const TickType_t xTicksToDelay);
TickType_t xTaskGetTickCountFromISR(void);
#endif
