/* What a device of the portal needs of lwIP: include it at the end of the project's lwipopts.h. */
#ifndef IOT_LWIPOPTS_H
#define IOT_LWIPOPTS_H

#undef LWIP_DNS
#define LWIP_DNS 1
#undef LWIP_TCPIP_CORE_LOCKING
#define LWIP_TCPIP_CORE_LOCKING 1 /* the core runs in two tasks, under this lock */

#undef LWIP_ALTCP
#define LWIP_ALTCP 1
#undef LWIP_ALTCP_TLS
#define LWIP_ALTCP_TLS 1
#undef LWIP_ALTCP_TLS_MBEDTLS
#define LWIP_ALTCP_TLS_MBEDTLS 1
#undef ALTCP_MBEDTLS_AUTHMODE
#define ALTCP_MBEDTLS_AUTHMODE MBEDTLS_SSL_VERIFY_REQUIRED /* lwIP's own value lets every broker in */

#undef MQTT_OUTPUT_RINGBUF_SIZE
#define MQTT_OUTPUT_RINGBUF_SIZE 2048 /* an answer and what waits before it */
#undef MQTT_VAR_HEADER_BUFFER_LEN
#define MQTT_VAR_HEADER_BUFFER_LEN 160 /* a topic of 64 + 64 characters */
#undef MQTT_REQ_MAX_IN_FLIGHT
#define MQTT_REQ_MAX_IN_FLIGHT 16

#undef TCPIP_THREAD_STACKSIZE
#define TCPIP_THREAD_STACKSIZE 3072 /* words: the TLS handshake is done in lwIP's task */

#endif
