/* The lines that a person types on the device's own UART:
 *
 *   iot set message "..." recipient "..."
 *   iot send [message "..."] [recipient "..."]
 *   iot gpio N enable dir in|out pull none|up|down edge none|rising|falling|both
 *   iot gpio N write 0|1
 *   iot gpio N disable
 */
#ifndef IOT_LINE_H
#define IOT_LINE_H

#include <stdint.h>

enum iot_line_verb { IOT_LINE_SET, IOT_LINE_SEND, IOT_LINE_ENABLE, IOT_LINE_WRITE, IOT_LINE_DISABLE };
enum iot_direction { IOT_IN, IOT_OUT };
enum iot_pull { IOT_PULL_NONE, IOT_PULL_UP, IOT_PULL_DOWN };
enum iot_edge { IOT_EDGE_NONE, IOT_EDGE_RISING, IOT_EDGE_FALLING, IOT_EDGE_BOTH };

/* How a pin is set up. */
struct iot_pin {
    uint8_t number, direction, pull, edge; /* the last three: of the enums above */
};

/* What a line asks for; the texts stand in the line. */
struct iot_line {
    enum iot_line_verb verb;
    const char *message, *recipient; /* NULL: not given */
    struct iot_pin pin;
    uint8_t level;
};

/* Read a line, which is taken apart where it stands. Returns NULL, or what the person should have typed. */
const char *iot_line_parse(char *line, struct iot_line *parsed);

#endif
