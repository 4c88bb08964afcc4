/* See ../../README.md. */
#ifndef LWIP_SOCKETS_H
#define LWIP_SOCKETS_H
#include <stdint.h>
typedef uint32_t socklen_t;
#define IPPROTO_TCP 6
#define TCP_NODELAY 1
int setsockopt(int s, int level, int optname, const void *opval, socklen_t optlen);
#endif
