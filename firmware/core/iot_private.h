/* What the parts of the core have in common; nothing here is for a port. */
#ifndef IOT_PRIVATE_H
#define IOT_PRIVATE_H

#include "iot.h"

/* Answer a command. `json` is at most as long as a command may be, `whole` false where it was cut off to that. */
void iot_obey(struct iot *iot, const char *api, const char *json, size_t length, bool whole);

/* Publish an object on server/{device}/{api}; false where it did not fit or there is no connection. */
bool iot_say(struct iot *iot, const char *api, const struct iot_json_writer *writer);

/* Print a line on the UART. */
void iot_print(struct iot *iot, const char *text);
void iot_print_both(struct iot *iot, const char *first, const char *second);

/* Copy as much of a text as fits into IOT_TEXT_MAX bytes. */
void iot_keep_text(char kept[IOT_TEXT_MAX + 1], const char *text);

/* Return how a pin was set up; NULL where it was not. */
struct iot_pin *iot_find_pin(struct iot *iot, uint8_t number);

/* Raise the notifications of edges that have come. */
void iot_poll_edges(struct iot *iot);

#endif
