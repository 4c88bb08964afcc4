#include "iot_line.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define WORDS_MAX 10 /* iot gpio 7 enable dir in pull up edge both */

static const char GPIO_USAGE[] = "iot gpio N enable|write|disable";

struct words {
    char *word[WORDS_MAX];
    size_t count;
};

/* One `name value` pair that a verb takes. */
struct option {
    const char *name;
    const char *value;
};

static bool is_space(char letter)
{
    return letter == ' ' || (letter >= '\t' && letter <= '\r');
}

/* Take the text after an opening quote out of the line; a backslash takes what follows as it is. Returns where the line goes on. */
static char *take_quoted(char *at)
{
    char *to = at;

    while (*at != '\0' && *at != '"') {
        if (*at == '\\' && *++at == '\0') {
            return NULL;
        }
        *to++ = *at++;
    }
    if (*at == '\0') {
        return NULL;
    }
    *to = '\0';
    return at + 1;
}

static const char *split(char *at, struct words *words)
{
    bool quoted = false;

    words->count = 0;
    for (;;) {
        while (!quoted && is_space(*at)) {
            at++;
        }
        if (!quoted && *at == '\0') {
            return NULL;
        }
        if (words->count == WORDS_MAX) {
            return "that is too many words";
        }
        if (quoted || *at == '"') {
            at += !quoted;
            words->word[words->count++] = at;
            quoted = false;
            at = take_quoted(at);
            if (at == NULL) {
                return "a quote is not closed";
            }
            continue;
        }
        words->word[words->count++] = at;
        while (*at != '\0' && *at != '"' && !is_space(*at)) {
            at++;
        }
        quoted = *at == '"'; /* the zero that ends this word takes the place of the quote that begins the next one */
        if (*at != '\0') {
            *at++ = '\0';
        }
    }
}

static const char *read_options(struct words *words, size_t from, struct option *options, size_t count, const char *allowed)
{
    size_t at, which;

    for (at = from; at < words->count; at += 2) {
        for (which = 0; which < count && strcmp(options[which].name, words->word[at]) != 0; which++) {
        }
        if (which == count) {
            return allowed;
        }
        if (options[which].value != NULL) {
            return "one of them is given twice";
        }
        if (at + 1 == words->count) {
            return "the last one needs a value";
        }
        options[which].value = words->word[at + 1];
    }
    return NULL;
}

static const char *read_texts(struct words *words, struct iot_line *parsed)
{
    struct option options[] = {{"message", NULL}, {"recipient", NULL}};
    const char *wrong = read_options(words, 2, options, 2, "here one may say: message, recipient");

    parsed->message = options[0].value;
    parsed->recipient = options[1].value;
    if (wrong == NULL && parsed->verb == IOT_LINE_SET && parsed->message == NULL && parsed->recipient == NULL) {
        return "iot set message \"...\" recipient \"...\"";
    }
    return wrong;
}

/* Set `found` to the place of `word` among the choices; the first one where no word is given. */
static bool choose(const char *word, const char *const *choices, size_t count, uint8_t *found)
{
    size_t at;

    for (at = 0; at < count; at++) {
        if (word == NULL || strcmp(word, choices[at]) == 0) {
            *found = (uint8_t)at;
            return true;
        }
    }
    return false;
}

static const char *read_enable(struct words *words, struct iot_pin *pin)
{
    static const char *const directions[] = {"in", "out"}, *const pulls[] = {"none", "up", "down"};
    static const char *const edges[] = {"none", "rising", "falling", "both"};
    struct option options[] = {{"dir", NULL}, {"pull", NULL}, {"edge", NULL}};
    const char *wrong = read_options(words, 4, options, 3, "here one may say: dir, pull, edge");

    if (wrong != NULL) {
        return wrong;
    }
    if (!choose(options[0].value, directions, 2, &pin->direction)) {
        return "dir is in or out";
    }
    if (!choose(options[1].value, pulls, 3, &pin->pull)) {
        return "pull is none, up or down";
    }
    return choose(options[2].value, edges, 4, &pin->edge) ? NULL : "edge is none, rising, falling or both";
}

static bool read_pin_number(const char *word, uint8_t *number)
{
    unsigned found = 0;
    size_t at;

    for (at = 0; word[at] != '\0'; at++) {
        if (at == 3 || word[at] < '0' || word[at] > '9') {
            return false;
        }
        found = found * 10 + (unsigned)(word[at] - '0');
    }
    *number = (uint8_t)found;
    return at > 0 && found <= 255;
}

static const char *read_gpio(struct words *words, struct iot_line *parsed)
{
    const char *verb = words->count > 3 ? words->word[3] : "";

    if (words->count < 4) {
        return GPIO_USAGE;
    }
    if (!read_pin_number(words->word[2], &parsed->pin.number)) {
        return "a pin's number is 0 to 255";
    }
    if (strcmp(verb, "enable") == 0) {
        parsed->verb = IOT_LINE_ENABLE;
        return read_enable(words, &parsed->pin);
    }
    if (strcmp(verb, "write") == 0) {
        static const char *const levels[] = {"0", "1"};
        parsed->verb = IOT_LINE_WRITE;
        return words->count == 5 && choose(words->word[4], levels, 2, &parsed->level) ? NULL : "iot gpio N write 0, or 1";
    }
    parsed->verb = IOT_LINE_DISABLE;
    return strcmp(verb, "disable") == 0 && words->count == 4 ? NULL : GPIO_USAGE;
}

const char *iot_line_parse(char *line, struct iot_line *parsed)
{
    struct words words;
    const char *wrong = split(line, &words), *verb;

    memset(parsed, 0, sizeof *parsed);
    if (wrong != NULL) {
        return wrong;
    }
    if (words.count == 0 || strcmp(words.word[0], "iot") != 0) {
        return "a command begins with iot: iot set, iot send or iot gpio";
    }
    verb = words.count > 1 ? words.word[1] : "";
    if (strcmp(verb, "gpio") == 0) {
        return read_gpio(&words, parsed);
    }
    parsed->verb = strcmp(verb, "set") == 0 ? IOT_LINE_SET : IOT_LINE_SEND;
    if (parsed->verb == IOT_LINE_SEND && strcmp(verb, "send") != 0) {
        return "iot knows set, send and gpio";
    }
    return read_texts(&words, parsed);
}
