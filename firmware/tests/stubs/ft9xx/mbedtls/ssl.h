/* See ../../README.md. */
#ifndef MBEDTLS_SSL_H
#define MBEDTLS_SSL_H
#define MBEDTLS_SSL_VERIFY_OPTIONAL 1
#define MBEDTLS_SSL_VERIFY_REQUIRED 2
typedef struct mbedtls_ssl_context mbedtls_ssl_context;
int mbedtls_ssl_set_hostname(mbedtls_ssl_context *ssl, const char *hostname);
#endif
