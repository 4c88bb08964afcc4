/* See ../../README.md. */
#ifndef LWIP_ALTCP_H
#define LWIP_ALTCP_H
#include "lwip/opt.h"
struct altcp_pcb;
void altcp_nagle_disable(struct altcp_pcb *conn);
#endif
