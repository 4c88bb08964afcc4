/* See ../README.md. */
#ifndef NET_H
#define NET_H
#include "lwip/opt.h"
typedef void (*fn_status_cb)(int callback);
void net_setup(void);
err_t net_init(ip_addr_t ip, ip_addr_t gw, ip_addr_t mask, int dhcp, ip_addr_t dns, char *hostname, fn_status_cb pfn_status);
uint8_t net_is_ready(void);
uint8_t *net_get_mac(void);
ip_addr_t net_get_ip(void);
ip_addr_t net_get_gateway(void);
ip_addr_t net_get_netmask(void);
#endif
