/* Commands and their answers. */
#include <string.h>

#include "iot_private.h"

#define PIN_RANGE "number must be a pin from 0 to 255"

/* A command while it is answered. */
struct command {
    struct iot *iot;
    const char *api;
    const char *json;
    size_t length;
    bool numbered; /* `number` is repeated, in an error too */
    uint32_t number;
    struct iot_json_writer writer;
};

static struct iot_json_value get(const struct command *command, const char *key)
{
    return iot_json_get(command->json, command->length, key);
}

/* Begin an answer: number first, the command's id next where this device repeats it. */
static struct iot_json_writer *begin(struct command *command)
{
    struct iot_json_writer *writer = &command->writer;
    struct iot_json_value id = get(command, "id");
    bool has_id = id.kind != IOT_JSON_NONE && *id.at != 'n'; /* null is none */

    iot_json_start(writer, command->iot->payload, sizeof command->iot->payload);
    iot_json_open(writer);
    if (command->numbered) {
        iot_json_key(writer, "number");
        iot_json_put_number(writer, command->number);
    }
    if (has_id && (command->iot->config->features & IOT_ECHO_ID)) {
        iot_json_key(writer, "id");
        iot_json_put_value(writer, id);
    }
    return writer;
}

static void answer(struct command *command)
{
    iot_json_close(&command->writer);
    iot_say(command->iot, command->api, &command->writer);
}

static void answer_text(struct command *command, const char *text)
{
    struct iot_json_writer *writer = begin(command);

    iot_json_key(writer, "value");
    iot_json_put_text(writer, text);
    answer(command);
}

static void answer_number(struct command *command, uint32_t number)
{
    struct iot_json_writer *writer = begin(command);

    iot_json_key(writer, "value");
    iot_json_put_number(writer, number);
    answer(command);
}

/* Say what is wrong, where the device's profile has errors; else be silent, as a device without them is. */
static void refuse(struct command *command, const char *code, const char *message)
{
    struct iot_json_writer *writer;

    if (!(command->iot->config->features & IOT_ERRORS)) {
        return;
    }
    writer = begin(command);
    iot_json_key(writer, "error");
    iot_json_open(writer);
    iot_json_key(writer, "code");
    iot_json_put_text(writer, code);
    iot_json_key(writer, "message");
    iot_json_put_text(writer, message);
    iot_json_close(writer);
    answer(command);
}

static void refuse_request(struct command *command, const char *message)
{
    refuse(command, "bad_request", message);
}

static void refuse_part(struct command *command, const char *message)
{
    refuse(command, "not_here", message);
}

static bool read_number(const struct command *command, const char *key, int64_t most, uint32_t *number)
{
    int64_t found;

    if (!iot_json_whole(get(command, key), &found) || found < 0 || found > most) {
        return false;
    }
    *number = (uint32_t)found;
    return true;
}

/* --- the apis ------------------------------------------------------------------------------------------------------------------- */

static void get_status(struct command *command)
{
    answer_text(command, "running");
}

static void set_status(struct command *command)
{
    struct iot *iot = command->iot;

    if (iot_json_text(get(command, "value"), iot->text, sizeof iot->text) < 0 || strcmp(iot->text, "restart") != 0) {
        refuse_request(command, "value must be \"restart\"");
        return;
    }
    answer_text(command, "restarting");
    iot->restart_wanted = true;
}

static bool read_pin(struct command *command)
{
    return command->numbered && command->number <= 255;
}

static void get_gpio(struct command *command)
{
    const struct iot_hal *hal = command->iot->hal;
    uint8_t level;

    if (!read_pin(command)) {
        refuse_request(command, PIN_RANGE);
    } else if (hal->gpio_read == NULL || !hal->gpio_read(hal->context, (uint8_t)command->number, &level)) {
        refuse(command, "no_pin", "this board has no such pin");
    } else {
        answer_number(command, level != 0);
    }
}

static void set_gpio(struct command *command)
{
    const struct iot_hal *hal = command->iot->hal;
    const struct iot_pin *pin;
    uint32_t level;

    if (!read_pin(command)) {
        refuse_request(command, PIN_RANGE);
        return;
    }
    if (!read_number(command, "value", 1, &level)) {
        refuse_request(command, "value must be 0 or 1");
        return;
    }
    pin = iot_find_pin(command->iot, (uint8_t)command->number);
    if (pin != NULL && pin->direction == IOT_IN) {
        refuse(command, "pin_is_input", "that pin is an input");
    } else if (hal->gpio_write == NULL || !hal->gpio_write(hal->context, (uint8_t)command->number, (uint8_t)level)) {
        refuse(command, "no_pin", "this board has no such pin");
    } else {
        answer_number(command, level);
    }
}

static void get_rtc(struct command *command)
{
    const struct iot_hal *hal = command->iot->hal;
    uint32_t epoch_s;

    if (hal->rtc_read == NULL || !hal->rtc_read(hal->context, &epoch_s)) {
        refuse_part(command, "this board has no clock");
    } else {
        answer_number(command, epoch_s);
    }
}

static void set_rtc(struct command *command)
{
    const struct iot_hal *hal = command->iot->hal;
    uint32_t epoch_s;

    if (!read_number(command, "value", UINT32_MAX, &epoch_s)) {
        refuse_request(command, "value must be seconds since 1970");
    } else if (hal->rtc_write == NULL || !hal->rtc_write(hal->context, epoch_s)) {
        refuse_part(command, "this board has no clock");
    } else {
        answer_number(command, epoch_s);
    }
}

static void get_address(struct command *command, enum iot_address which)
{
    const struct iot_hal *hal = command->iot->hal;
    char text[IOT_ADDRESS_MAX + 1] = "";

    if (hal->ethernet_read == NULL || !hal->ethernet_read(hal->context, which, text)) {
        refuse_part(command, "this board has no such address");
    } else {
        answer_text(command, text);
    }
}

static void get_mac(struct command *command)
{
    get_address(command, IOT_MAC);
}

static void get_ip(struct command *command)
{
    get_address(command, IOT_IP);
}

static void get_subnet(struct command *command)
{
    get_address(command, IOT_SUBNET);
}

static void get_gateway(struct command *command)
{
    get_address(command, IOT_GATEWAY);
}

static bool is_mac(const char *text)
{
    size_t at;

    for (at = 0; at < IOT_ADDRESS_MAX; at++) {
        const char *allowed = at % 3 == 2 ? ":" : "0123456789abcdefABCDEF";
        if (text[at] == '\0' || strchr(allowed, text[at]) == NULL) {
            return false;
        }
    }
    return text[at] == '\0';
}

static void set_mac(struct command *command)
{
    const struct iot_hal *hal = command->iot->hal;
    char *mac = command->iot->text;

    if (iot_json_text(get(command, "value"), mac, sizeof command->iot->text) < 0 || !is_mac(mac)) {
        refuse_request(command, "value must be six bytes like 00:c0:ca:90:61:05");
    } else if (hal->mac_write == NULL || !hal->mac_write(hal->context, mac)) {
        refuse_part(command, "this board's address is fixed");
    } else {
        answer_text(command, mac);
    }
}

static void write_uart(struct command *command)
{
    struct iot *iot = command->iot;
    struct iot_json_value value = get(command, "value");
    struct iot_json_writer *writer;
    const char *keyword = iot->config->keyword;

    if (iot_json_text(value, iot->text, sizeof iot->text) < 0) {
        refuse_request(command, "value must be a text");
        return;
    }
    iot_print(iot, iot->text);
    writer = begin(command);
    iot_json_key(writer, "value");
    iot_json_put_value(writer, value);
    answer(command);
    if (keyword != NULL && keyword[0] != '\0' && strstr(iot->text, keyword) != NULL) {
        iot_notify(iot, NULL, NULL);
    }
}

static void show_notification(struct iot *iot, const char *message)
{
    if (iot->hal->notify != NULL) {
        iot->hal->notify(iot->hal->context, message);
    } else {
        iot_print_both(iot, "NOTIFICATION ", message);
    }
}

static void trigger_notification(struct command *command)
{
    struct iot *iot = command->iot;
    struct iot_json_value recipient = get(command, "recipient"), message = get(command, "message");
    struct iot_json_writer *writer;
    bool for_us;

    if (iot_json_text(recipient, iot->text, sizeof iot->text) < 0) {
        refuse_request(command, "recipient and message must be texts");
        return;
    }
    for_us = strcmp(iot->text, iot->config->device_id) == 0;
    if (iot_json_text(message, iot->text, sizeof iot->text) < 0) {
        refuse_request(command, "recipient and message must be texts");
        return;
    }
    if (for_us) {
        show_notification(iot, iot->text);
        return;
    }
    writer = begin(command);
    iot_json_key(writer, "recipient");
    iot_json_put_value(writer, recipient);
    iot_json_key(writer, "message");
    iot_json_put_value(writer, message);
    answer(command);
}

/* --- which is which ------------------------------------------------------------------------------------------------------------ */

struct api {
    const char *name;
    void (*obey)(struct command *command);
    bool numbered;
};

static const struct api APIS[] = {
    {"get_status", get_status, false},   {"set_status", set_status, false},
    {"get_gpio", get_gpio, true},        {"set_gpio", set_gpio, true},
    {"get_rtc", get_rtc, false},         {"set_rtc", set_rtc, false},
    {"get_mac", get_mac, false},         {"set_mac", set_mac, false},
    {"get_ip", get_ip, false},           {"get_subnet", get_subnet, false},
    {"get_gateway", get_gateway, false}, {"write_uart", write_uart, false},
    {"trigger_notification", trigger_notification, false},
};

static const struct api *find_api(const char *name)
{
    size_t at;

    for (at = 0; at < sizeof APIS / sizeof APIS[0]; at++) {
        if (strcmp(APIS[at].name, name) == 0) {
            return &APIS[at];
        }
    }
    return NULL;
}

static void refuse_unknown(struct command *command)
{
    static const char begins[] = "this device has no api named ";
    char message[sizeof begins + IOT_API_MAX];

    memcpy(message, begins, sizeof begins);
    strcpy(message + sizeof begins - 1, command->api); /* at most IOT_API_MAX: the topic's reader saw to it */
    refuse(command, "unknown_api", message);
}

/* Of what is no JSON object nothing is used; a device without errors answers what needs nothing. */
static void obey_unreadable(struct command *command, const struct api *known)
{
    refuse_request(command, "the command is not a JSON object");
    if (!(command->iot->config->features & IOT_ERRORS) && known != NULL) {
        command->length = 0;
        command->numbered = false;
        known->obey(command);
    }
}

void iot_obey(struct iot *iot, const char *api, const char *json, size_t length, bool whole)
{
    struct command command;
    const struct api *known = find_api(api);

    if (iot->restart_wanted) {
        return; /* it is on its way down */
    }
    memset(&command, 0, sizeof command);
    command.iot = iot;
    command.api = api;
    command.json = json;
    command.length = length;
    command.numbered = known != NULL && known->numbered && read_number(&command, "number", UINT32_MAX, &command.number);
    if (!whole) {
        refuse(&command, "too_long", "the command does not fit into this device's buffer");
    } else if (!iot_json_is_object(json, length)) {
        obey_unreadable(&command, known);
    } else if (known == NULL) {
        refuse_unknown(&command);
    } else {
        known->obey(&command);
    }
}

unsigned iot_features(const char *profile)
{
    return strcmp(profile, "modern") == 0 ? IOT_MODERN : 0;
}
