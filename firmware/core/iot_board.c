/* The board by itself: its UART, its pins' edges, its notifications. */
#include <string.h>

#include "iot_private.h"
#include "iot_utf8.h"

void iot_keep_text(char kept[IOT_TEXT_MAX + 1], const char *text)
{
    size_t length = iot_utf8_cut(text, strlen(text), IOT_TEXT_MAX);

    memmove(kept, text, length);
    kept[length] = '\0';
}

void iot_print_both(struct iot *iot, const char *first, const char *second)
{
    iot->hal->uart_write(iot->hal->context, first, strlen(first));
    iot->hal->uart_write(iot->hal->context, second, strlen(second));
    iot->hal->uart_write(iot->hal->context, "\n", 1);
}

void iot_print(struct iot *iot, const char *text)
{
    iot_print_both(iot, text, "");
}

/* --- notifications ---------------------------------------------------------------------------------------------------------------- */

bool iot_notify(struct iot *iot, const char *message, const char *recipient)
{
    struct iot_json_writer writer;
    char text[IOT_TEXT_MAX + 1], to[IOT_TEXT_MAX + 1];

    iot_keep_text(text, message != NULL ? message : iot->message);
    iot_keep_text(to, recipient != NULL ? recipient : iot->recipient);
    if (to[0] == '\0') {
        iot_print(iot, "ERROR no recipient is stored: iot set recipient \"...\"");
        return false;
    }
    iot_json_start(&writer, iot->payload, sizeof iot->payload);
    iot_json_open(&writer);
    iot_json_key(&writer, "recipient");
    iot_json_put_text(&writer, to);
    iot_json_key(&writer, "message");
    iot_json_put_text(&writer, text);
    iot_json_close(&writer);
    if (!iot_say(iot, "trigger_notification", &writer)) {
        iot_print(iot, "ERROR the notification could not be sent");
        return false;
    }
    return true;
}

/* --- pins ------------------------------------------------------------------------------------------------------------------------- */

struct iot_pin *iot_find_pin(struct iot *iot, uint8_t number)
{
    uint8_t at;

    for (at = 0; at < iot->pin_count; at++) {
        if (iot->pins[at].number == number) {
            return &iot->pins[at];
        }
    }
    return NULL;
}

void iot_edge(struct iot *iot, uint8_t pin)
{
    uint8_t in = iot->edge_in;

    if ((uint8_t)(in - iot->edge_out) == IOT_EDGES_MAX) {
        return; /* as many wait as there is room for: these are told, and no more */
    }
    iot->edges[in % IOT_EDGES_MAX].pin = pin;
    iot->edges[in % IOT_EDGES_MAX].at_ms = iot->hal->millis(iot->hal->context);
    iot->edge_in = (uint8_t)(in + 1);
}

/* Say whether this edge is one by itself, and not its contact's bouncing after the one before. */
static bool is_new_edge(struct iot *iot, size_t which, uint32_t at_ms)
{
    bool is_new = !iot->pin_had_edge[which] || at_ms - iot->pin_edge_ms[which] >= IOT_DEBOUNCE_MS;

    iot->pin_had_edge[which] = true;
    iot->pin_edge_ms[which] = at_ms;
    return is_new;
}

void iot_poll_edges(struct iot *iot)
{
    while (iot->edge_out != iot->edge_in) {
        uint8_t at = iot->edge_out % IOT_EDGES_MAX;
        struct iot_pin *pin = iot_find_pin(iot, iot->edges[at].pin);
        uint32_t at_ms = iot->edges[at].at_ms;
        iot->edge_out = (uint8_t)(iot->edge_out + 1);
        if (pin != NULL && pin->edge != IOT_EDGE_NONE && is_new_edge(iot, (size_t)(pin - iot->pins), at_ms)) {
            iot_notify(iot, NULL, NULL);
        }
    }
}

/* --- the UART ------------------------------------------------------------------------------------------------------------------ */

static const char *store(struct iot *iot, const struct iot_line *line)
{
    if (line->message != NULL) {
        iot_keep_text(iot->message, line->message);
    }
    if (line->recipient != NULL) {
        iot_keep_text(iot->recipient, line->recipient);
    }
    if (iot->hal->store != NULL && !iot->hal->store(iot->hal->context, iot->message, iot->recipient)) {
        return "it holds only until the next restart";
    }
    return NULL;
}

static const char *enable(struct iot *iot, const struct iot_pin *wanted)
{
    struct iot_pin *pin = iot_find_pin(iot, wanted->number);

    if (pin == NULL && iot->pin_count == IOT_PINS_MAX) {
        return "no more pins can be enabled; disable one";
    }
    if (iot->hal->gpio_setup == NULL || !iot->hal->gpio_setup(iot->hal->context, wanted)) {
        return "this board cannot set that pin up so";
    }
    if (pin == NULL) {
        pin = &iot->pins[iot->pin_count++];
    }
    *pin = *wanted;
    iot->pin_had_edge[pin - iot->pins] = false;
    return NULL;
}

static const char *disable(struct iot *iot, uint8_t number)
{
    struct iot_pin *pin = iot_find_pin(iot, number), *last;
    struct iot_pin plain = {0, IOT_IN, IOT_PULL_NONE, IOT_EDGE_NONE};

    if (pin == NULL) {
        return NULL;
    }
    plain.number = number;
    plain.direction = pin->direction;
    iot->hal->gpio_setup(iot->hal->context, &plain);
    last = &iot->pins[--iot->pin_count];
    iot->pin_edge_ms[pin - iot->pins] = iot->pin_edge_ms[iot->pin_count];
    iot->pin_had_edge[pin - iot->pins] = iot->pin_had_edge[iot->pin_count];
    *pin = *last;
    return NULL;
}

static const char *write_pin(struct iot *iot, uint8_t number, uint8_t level)
{
    struct iot_pin *pin = iot_find_pin(iot, number);

    if (pin != NULL && pin->direction == IOT_IN) {
        return "that pin is an input";
    }
    if (iot->hal->gpio_write == NULL || !iot->hal->gpio_write(iot->hal->context, number, level)) {
        return "this board cannot write that pin";
    }
    return NULL;
}

static const char *do_line(struct iot *iot, const struct iot_line *line)
{
    switch (line->verb) {
    case IOT_LINE_SET:
        return store(iot, line);
    case IOT_LINE_ENABLE:
        return enable(iot, &line->pin);
    case IOT_LINE_WRITE:
        return write_pin(iot, line->pin.number, line->level);
    case IOT_LINE_DISABLE:
        return disable(iot, line->pin.number);
    default:
        return NULL;
    }
}

static void obey_line(struct iot *iot)
{
    struct iot_line line;
    const char *wrong = iot->line_too_long ? "that line is too long" : iot_line_parse(iot->line, &line);

    if (wrong == NULL && line.verb == IOT_LINE_SEND) {
        if (iot_notify(iot, line.message, line.recipient)) {
            iot_print(iot, "OK");
        }
        return;
    }
    if (wrong == NULL) {
        wrong = do_line(iot, &line);
    }
    iot_print_both(iot, wrong == NULL ? "OK" : "ERROR ", wrong == NULL ? "" : wrong);
}

/* Take the last letter away, all bytes of it. */
static void rub_out(struct iot *iot)
{
    while (iot->line_length > 0 && ((unsigned char)iot->line[--iot->line_length] & 0xc0) == 0x80) {
    }
}

void iot_typed(struct iot *iot, char byte)
{
    if (byte == '\r' || byte == '\n') {
        iot->line[iot->line_length] = '\0';
        if (iot->line_length > 0 || iot->line_too_long) {
            obey_line(iot);
        }
        iot->line_length = 0;
        iot->line_too_long = false;
    } else if (byte == '\b' || byte == 0x7f) {
        rub_out(iot);
    } else if (iot->line_length == IOT_LINE_MAX) {
        iot->line_too_long = true;
    } else if (byte != '\0') {
        iot->line[iot->line_length++] = byte;
    }
}
