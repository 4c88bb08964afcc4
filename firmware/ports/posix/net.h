/* struct iot_net by libmosquitto and OpenSSL. */
#ifndef NET_H
#define NET_H

#include <mosquitto.h>
#include <openssl/ssl.h>

#include "identity.h"
#include "iot.h"

struct net {
    struct iot *iot;
    const struct identity *identity;
    SSL_CTX *tls;
    struct mosquitto *client;
    bool live;                 /* there is a connection, or one is being made */
    unsigned taken, delivered; /* messages given to the client, and acknowledged by the broker */
};

/* Read the certificates. False, with a line on stderr: they are no good. */
bool net_start(struct net *net, struct iot *iot, const struct identity *identity);

/* Return what the core calls. */
struct iot_net net_functions(struct net *net);

/* Wait until something comes from the broker or from `input` (-1: from nowhere else), at most so long; then do what is to be done for
 * the connection. Returns whether something came from `input`. */
bool net_wait(struct net *net, int input, uint32_t most_ms);

/* Close everything. */
void net_end(struct net *net);

#endif
