/* See ../../README.md. */
#ifndef LWIP_OPT_H
#define LWIP_OPT_H
#include <stddef.h>
#include <stdint.h>

#include "iot_lwipopts.h" /* the port's own: what a project's lwipopts.h has to include */
typedef uint8_t u8_t;
typedef uint16_t u16_t;
typedef uint32_t u32_t;
typedef int8_t err_t;
enum { ERR_OK = 0, ERR_INPROGRESS = -5 };
typedef struct {
    u32_t addr;
} ip_addr_t;
char *ipaddr_ntoa_r(const ip_addr_t *addr, char *buf, int buflen);
#endif
