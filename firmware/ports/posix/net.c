#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>

#define KEEPALIVE_S 30

/* --- TLS ---------------------------------------------------------------------------------------------------------------------------- */

static bool trust(SSL_CTX *tls, const char *pem)
{
    BIO *text = BIO_new_mem_buf(pem, -1);
    X509 *root = PEM_read_bio_X509(text, NULL, NULL, NULL);
    bool good = root != NULL && X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), root) == 1;

    X509_free(root);
    BIO_free(text);
    return good;
}

/* Use the first certificate as the device's own; those after it are sent with it. */
static bool use_certificate(SSL_CTX *tls, const char *pem)
{
    BIO *text = BIO_new_mem_buf(pem, -1);
    X509 *own = PEM_read_bio_X509(text, NULL, NULL, NULL), *next;
    bool good = own != NULL && SSL_CTX_use_certificate(tls, own) == 1;

    X509_free(own);
    while (good && (next = PEM_read_bio_X509(text, NULL, NULL, NULL)) != NULL) {
        good = SSL_CTX_add_extra_chain_cert(tls, next) == 1;
    }
    BIO_free(text);
    ERR_clear_error(); /* that there is no further certificate is none */
    return good;
}

static bool use_key(SSL_CTX *tls, const char *pem)
{
    BIO *text = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(text, NULL, NULL, NULL);
    bool good = key != NULL && SSL_CTX_use_PrivateKey(tls, key) == 1 && SSL_CTX_check_private_key(tls) == 1;

    EVP_PKEY_free(key);
    BIO_free(text);
    return good;
}

/* Have the broker's certificate checked against the host's name; libmosquitto does that only with a context of its own. */
static bool expect_host(SSL_CTX *tls, const char *host)
{
    X509_VERIFY_PARAM *wanted = SSL_CTX_get0_param(tls);
    unsigned char address[16];
    bool is_address = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;

    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    return is_address ? X509_VERIFY_PARAM_set1_ip_asc(wanted, host) == 1 : X509_VERIFY_PARAM_set1_host(wanted, host, 0) == 1;
}

static bool make_tls(struct net *net)
{
    const char *wrong = NULL;

    net->tls = SSL_CTX_new(TLS_client_method());
    if (net->tls == NULL || SSL_CTX_set_min_proto_version(net->tls, TLS1_2_VERSION) != 1) {
        wrong = "TLS";
    } else if (!trust(net->tls, net->identity->root_ca)) {
        wrong = "the root certificate";
    } else if (!use_certificate(net->tls, net->identity->certificate)) {
        wrong = "the device's certificate";
    } else if (!use_key(net->tls, net->identity->private_key)) {
        wrong = "the device's private key, or the certificate is not its";
    } else if (!expect_host(net->tls, net->identity->host)) {
        wrong = "the host's name";
    }
    if (wrong != NULL) {
        fprintf(stderr, "cannot be used: %s\n", wrong);
    }
    return wrong == NULL;
}

/* --- what the client tells ------------------------------------------------------------------------------------------------------- */

static void lose(struct net *net, const char *why)
{
    if (net->live) {
        net->live = false;
        fprintf(stderr, "disconnected: %s\n", why);
        iot_disconnected(net->iot);
    }
}

static void on_connect(struct mosquitto *client, void *context, int code)
{
    struct net *net = context;

    (void)client;
    if (code != 0) {
        lose(net, mosquitto_connack_string(code));
        return;
    }
    fprintf(stderr, "connected to %s port %d\n", net->identity->host, net->identity->port);
    iot_connected(net->iot);
}

static void on_subscribe(struct mosquitto *client, void *context, int message, int count, const int *granted)
{
    struct net *net = context;

    (void)client;
    (void)message;
    if (count < 1 || granted[0] > 2) {
        lose(net, "the broker refused the subscription");
        return;
    }
    iot_subscribed(net->iot);
    fprintf(stderr, "listening as %s\n", net->identity->device_id);
}

static void on_message(struct mosquitto *client, void *context, const struct mosquitto_message *message)
{
    struct net *net = context;

    (void)client;
    iot_received(net->iot, message->topic, strlen(message->topic), message->payloadlen > 0 ? message->payload : "",
                 (size_t)message->payloadlen);
}

static void on_publish(struct mosquitto *client, void *context, int message)
{
    (void)client;
    (void)message;
    ((struct net *)context)->delivered++;
}

static void on_disconnect(struct mosquitto *client, void *context, int code)
{
    (void)client;
    lose(context, mosquitto_strerror(code));
}

/* --- what the core calls ----------------------------------------------------------------------------------------------------------- */

static bool make_client(struct net *net, const struct iot_session *session)
{
    if (net->client != NULL) {
        mosquitto_destroy(net->client);
    }
    net->client = mosquitto_new(session->client_id, true, net);
    if (net->client == NULL) {
        return false;
    }
    mosquitto_connect_callback_set(net->client, on_connect);
    mosquitto_subscribe_callback_set(net->client, on_subscribe);
    mosquitto_message_callback_set(net->client, on_message);
    mosquitto_publish_callback_set(net->client, on_publish);
    mosquitto_disconnect_callback_set(net->client, on_disconnect);
    if (session->will_topic != NULL && mosquitto_will_set(net->client, session->will_topic, (int)strlen(session->will_payload),
                                                           session->will_payload, 1, false) != MOSQ_ERR_SUCCESS) {
        return false;
    }
    return mosquitto_int_option(net->client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V311) == MOSQ_ERR_SUCCESS &&
           mosquitto_int_option(net->client, MOSQ_OPT_TCP_NODELAY, 1) == MOSQ_ERR_SUCCESS &&
           mosquitto_int_option(net->client, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0) == MOSQ_ERR_SUCCESS &&
           mosquitto_void_option(net->client, MOSQ_OPT_SSL_CTX, net->tls) == MOSQ_ERR_SUCCESS;
}

static bool open_connection(void *context, const struct iot_session *session)
{
    struct net *net = context;
    int code;

    net->taken = net->delivered = 0;
    if (!make_client(net, session)) {
        return false;
    }
    /* This blocks for the name's and the TCP connection's sake; there is nothing else to do in this program meanwhile. */
    code = mosquitto_connect(net->client, net->identity->host, net->identity->port, KEEPALIVE_S);
    net->live = code == MOSQ_ERR_SUCCESS;
    if (!net->live) {
        fprintf(stderr, "no connection to %s port %d: %s\n", net->identity->host, net->identity->port,
                code == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(code));
    }
    return net->live;
}

static void close_connection(void *context)
{
    struct net *net = context;

    net->live = false;
    if (net->client != NULL) {
        mosquitto_disconnect(net->client);
    }
}

static bool subscribe(void *context, const char *filter)
{
    return mosquitto_subscribe(((struct net *)context)->client, NULL, filter, 1) == MOSQ_ERR_SUCCESS;
}

static bool publish(void *context, const char *topic, const char *payload, size_t length)
{
    struct net *net = context;

    if (!net->live || mosquitto_publish(net->client, NULL, topic, (int)length, payload, 1, false) != MOSQ_ERR_SUCCESS) {
        return false;
    }
    net->taken++;
    return true;
}

static bool is_idle(void *context)
{
    struct net *net = context;

    return net->taken == net->delivered;
}

struct iot_net net_functions(struct net *net)
{
    struct iot_net functions = {net, open_connection, close_connection, subscribe, publish, is_idle};

    return functions;
}

bool net_start(struct net *net, struct iot *iot, const struct identity *identity)
{
    memset(net, 0, sizeof *net);
    net->iot = iot;
    net->identity = identity;
    mosquitto_lib_init();
    return make_tls(net);
}

static void work(struct net *net, bool readable)
{
    int code = MOSQ_ERR_SUCCESS;

    if (readable) {
        code = mosquitto_loop_read(net->client, 1);
    }
    if (code == MOSQ_ERR_SUCCESS && net->live && mosquitto_want_write(net->client)) {
        code = mosquitto_loop_write(net->client, 1);
    }
    if (code == MOSQ_ERR_SUCCESS && net->live) {
        code = mosquitto_loop_misc(net->client);
    }
    if (code != MOSQ_ERR_SUCCESS) {
        lose(net, mosquitto_strerror(code));
    }
}

bool net_wait(struct net *net, int input, uint32_t most_ms)
{
    struct timeval most = {(time_t)(most_ms / 1000), (suseconds_t)(most_ms % 1000) * 1000};
    int broker = net->live ? mosquitto_socket(net->client) : -1, highest = broker > input ? broker : input;
    fd_set reading, writing;

    FD_ZERO(&reading);
    FD_ZERO(&writing);
    if (input >= 0) {
        FD_SET(input, &reading);
    }
    if (broker >= 0) {
        FD_SET(broker, &reading);
        if (mosquitto_want_write(net->client)) {
            FD_SET(broker, &writing);
        }
    }
    if (select(highest + 1, &reading, &writing, NULL, &most) < 0) {
        return false; /* a signal */
    }
    if (net->live) {
        work(net, broker >= 0 && FD_ISSET(broker, &reading));
    }
    return input >= 0 && FD_ISSET(input, &reading);
}

void net_end(struct net *net)
{
    if (net->client != NULL) {
        mosquitto_destroy(net->client);
    }
    SSL_CTX_free(net->tls);
    mosquitto_lib_cleanup();
}
