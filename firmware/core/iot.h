/* A device of the portal: commands in, answers out, and the connection in between. See ../../docs/protocol.md and ../README.md.
 *
 * No heap, no threads, no blocking. All state is in one struct iot, which the program owns; a program calls iot_poll() again and
 * again, and hands in what happens through the functions below, all from the same thread (iot_edge() alone may be called from an
 * interrupt). What the board can do is in struct iot_hal, what its network can do in struct iot_net.
 */
#ifndef IOT_H
#define IOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iot_json.h"
#include "iot_line.h"
#include "iot_topic.h"

/* --- sizes: each may be given with -D --------------------------------------------------------------------------------------- */

#ifndef IOT_PAYLOAD_MAX
#define IOT_PAYLOAD_MAX 512 /* bytes of a command; 128 is enough for a device without ids */
#endif
#ifndef IOT_TEXT_MAX
#define IOT_TEXT_MAX 64 /* bytes of the stored message and recipient */
#endif
#ifndef IOT_LINE_MAX
#define IOT_LINE_MAX 192 /* bytes of a line on the UART */
#endif
#ifndef IOT_PINS_MAX
#define IOT_PINS_MAX 16 /* pins that `iot gpio N enable` can set up at once */
#endif
#ifndef IOT_EDGES_MAX
#define IOT_EDGES_MAX 8 /* edges that wait for iot_poll(); a power of two */
#endif

/* An answer: a command's bytes again, and what the longest refusal adds; or a notification, every byte of it escaped. */
#define IOT_ECHO_MAX (IOT_PAYLOAD_MAX + 96 + IOT_API_MAX)
#define IOT_RAISED_MAX (40 + 2 * 6 * IOT_TEXT_MAX)
#define IOT_ANSWER_MAX (IOT_ECHO_MAX > IOT_RAISED_MAX ? IOT_ECHO_MAX : IOT_RAISED_MAX)

/* --- times, in milliseconds --------------------------------------------------------------------------------------------------- */

#ifndef IOT_RETRY_FIRST_MS
#define IOT_RETRY_FIRST_MS 1000u /* before the first try to connect again; twice as long before each next one */
#endif
#ifndef IOT_RETRY_MOST_MS
#define IOT_RETRY_MOST_MS 60000u
#endif
#ifndef IOT_CONNECT_MS
#define IOT_CONNECT_MS 20000u /* how long connecting or subscribing may take */
#endif
#ifndef IOT_DEBOUNCE_MS
#define IOT_DEBOUNCE_MS 50u /* edges of the same pin that come sooner are the bouncing of its contact */
#endif
#ifndef IOT_SETTLED_MS
#define IOT_SETTLED_MS 10000u /* a connection that held so long was a good one: the next pause begins small again */
#endif
#define IOT_RESTART_MS 2000u /* how long an answer may take to leave before a restart */
#define IOT_IDLE_MS 1000u    /* the longest that iot_poll() may be left uncalled */

/* --- what the board can do ------------------------------------------------------------------------------------------------------ */

enum iot_address { IOT_MAC, IOT_IP, IOT_SUBNET, IOT_GATEWAY };
#define IOT_ADDRESS_MAX 17 /* characters: 00:c0:ca:90:61:05 */

/* Functions of the board; each gets `context` first, returns at once, and says false where it could not. Those that the board has
 * not may be NULL, but for millis, uart_write and restart. */
struct iot_hal {
    void *context;
    /* Milliseconds since some moment; it may begin again at zero after 2^32. May be called from an interrupt. */
    uint32_t (*millis)(void *context);
    /* Any number, different on each board: it spreads a fleet that connects again. */
    uint32_t (*random)(void *context);
    bool (*gpio_read)(void *context, uint8_t pin, uint8_t *level);
    /* Make the pin an output, if it is none, and set it. */
    bool (*gpio_write)(void *context, uint8_t pin, uint8_t level);
    /* Set a pin up, and have iot_edge() called at its edges; after a set-up without an edge no more. */
    bool (*gpio_setup)(void *context, const struct iot_pin *pin);
    /* Seconds since 1970 UTC. */
    bool (*rtc_read)(void *context, uint32_t *epoch_s);
    bool (*rtc_write)(void *context, uint32_t epoch_s);
    bool (*ethernet_read)(void *context, enum iot_address which, char text[IOT_ADDRESS_MAX + 1]);
    bool (*mac_write)(void *context, const char *mac);
    /* Print on the UART. Lines end in \n. */
    void (*uart_write)(void *context, const char *text, size_t length);
    /* Show a notification that somebody sent to this device. NULL: it is printed on the UART. */
    void (*notify)(void *context, const char *message);
    /* Keep what `iot set` stored, for iot_config.message and .recipient after the next start. */
    bool (*store)(void *context, const char *message, const char *recipient);
    /* Reboot. It may return only where there is nothing to reboot (a test). */
    void (*restart)(void *context);
};

/* --- what its network can do ---------------------------------------------------------------------------------------------------- */

/* What a connection is opened with: MQTT 3.1.1, clean session, TLS with the device's certificate. */
struct iot_session {
    const char *client_id;
    const char *will_topic; /* NULL: no last will. Else QoS 1, not retained */
    const char *will_payload;
};

/* An MQTT client. Of what happens it tells through iot_connected() and so on, while or after these are called. */
struct iot_net {
    void *context;
    /* Begin to connect. False: not possible now. */
    bool (*open)(void *context, const struct iot_session *session);
    /* Disconnect in good order. Nothing more is told of this connection. */
    void (*close)(void *context);
    /* QoS 1. */
    bool (*subscribe)(void *context, const char *filter);
    /* QoS 1, not retained. True: it was taken, and will leave if the connection lasts. The memory is the core's: copy it. */
    bool (*publish)(void *context, const char *topic, const char *payload, size_t length);
    /* Say whether everything that was taken has been acknowledged. NULL: not known. */
    bool (*idle)(void *context);
};

/* --- the device ------------------------------------------------------------------------------------------------------------------- */

/* The optional parts of the protocol, as the device's profile declares them. */
enum { IOT_ECHO_ID = 1, IOT_PRESENCE = 2, IOT_ERRORS = 4, IOT_MODERN = 7 };

/* Return the optional parts that a shipped profile has: all of "modern", none of the others. */
unsigned iot_features(const char *profile);

/* What a device is made with. The texts stay where they are: give constants. */
struct iot_config {
    const char *device_id; /* at most IOT_DEVICE_MAX characters */
    unsigned features;     /* IOT_ECHO_ID and so on */
    const char *keyword;   /* in a write_uart it raises a notification; NULL: none does */
    const char *message, *recipient; /* as they were stored; NULL: none yet */
};

enum iot_state { IOT_WAITING, IOT_CONNECTING, IOT_SUBSCRIBING, IOT_LISTENING, IOT_RESTARTING, IOT_STOPPED };

/* Everything that a device knows. For the core alone, but for `state`, which may be read. */
struct iot {
    const struct iot_config *config;
    const struct iot_hal *hal;
    const struct iot_net *net;
    enum iot_state state;
    uint32_t since_ms, retry_ms, wait_ms;
    bool restart_wanted;
    char message[IOT_TEXT_MAX + 1], recipient[IOT_TEXT_MAX + 1];
    struct iot_pin pins[IOT_PINS_MAX];
    uint32_t pin_edge_ms[IOT_PINS_MAX];
    bool pin_had_edge[IOT_PINS_MAX];
    uint8_t pin_count;
    volatile uint8_t edge_in, edge_out; /* written by the interrupt, by iot_poll() */
    volatile struct {
        uint8_t pin;
        uint32_t at_ms;
    } edges[IOT_EDGES_MAX]; /* volatile too: no compiler moves a read of them behind the mark that gives their place away */
    char line[IOT_LINE_MAX + 1];
    size_t line_length;
    bool line_too_long;
    char will_topic[IOT_TOPIC_MAX + 1];
    char topic[IOT_TOPIC_MAX + 1];
    char text[IOT_PAYLOAD_MAX + 1];    /* a decoded text */
    char payload[IOT_ANSWER_MAX];   /* an answer */
};

/* Begin. The first connection is opened by the next iot_poll(). */
void iot_start(struct iot *iot, const struct iot_config *config, const struct iot_hal *hal, const struct iot_net *net);

/* Do what is due, without waiting for anything: feed the watchdog after it. Returns the milliseconds after which it wants to be
 * called again at the latest. */
uint32_t iot_poll(struct iot *iot);

/* Say goodbye and disconnect, for good. */
void iot_stop(struct iot *iot);

/* --- what happens, told by the network -------------------------------------------------------------------------------------------- */

void iot_connected(struct iot *iot);    /* the broker accepted the connection */
void iot_subscribed(struct iot *iot);   /* it granted the subscription */
void iot_disconnected(struct iot *iot); /* the connection is gone, or could not be made, or the subscription was refused */
/* A message came. Neither has to end in a zero. */
void iot_received(struct iot *iot, const char *topic, size_t topic_length, const char *payload, size_t length);

/* --- what happens, told by the board ----------------------------------------------------------------------------------------------- */

/* A pin's edge, the one that it was set up for. May be called from an interrupt, from one at a time. */
void iot_edge(struct iot *iot, uint8_t pin);
/* A byte came in on the UART. */
void iot_typed(struct iot *iot, char byte);
/* Raise a notification as `iot send` does; NULL: the stored text. False, and a line on the UART: it cannot be sent. */
bool iot_notify(struct iot *iot, const char *message, const char *recipient);

#endif
