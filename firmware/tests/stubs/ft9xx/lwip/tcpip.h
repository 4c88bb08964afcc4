/* See ../../README.md. */
#ifndef LWIP_TCPIP_H
#define LWIP_TCPIP_H
#include "lwip/opt.h"
void LOCK_TCPIP_CORE(void);
void UNLOCK_TCPIP_CORE(void);
#endif
