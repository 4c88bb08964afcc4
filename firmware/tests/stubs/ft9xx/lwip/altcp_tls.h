/* See ../../README.md. */
#ifndef LWIP_ALTCP_TLS_H
#define LWIP_ALTCP_TLS_H
#include "lwip/altcp.h"
struct altcp_tls_config;
struct altcp_tls_config *altcp_tls_create_config_client_2wayauth(const u8_t *ca, size_t ca_len, const u8_t *privkey, size_t privkey_len,
                                                                 const u8_t *privkey_pass, size_t privkey_pass_len, const u8_t *cert,
                                                                 size_t cert_len);
void *altcp_tls_context(struct altcp_pcb *conn);
#endif
