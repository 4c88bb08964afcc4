#include "board.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define LOOK_MS 10

static const char *path_of(const struct board *board, const char *name, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s/%s", board->folder, name);
    return path;
}

static const char *path_of_pin(const struct board *board, uint8_t pin, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s/pins/%d", board->folder, pin);
    return path;
}

/* Read a file's first line; false where there is none. */
static bool read_line(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    bool found;

    if (file == NULL) {
        return false;
    }
    found = fgets(text, (int)size, file) != NULL;
    fclose(file);
    if (found) {
        text[strcspn(text, "\n")] = '\0';
    }
    return found;
}

/* Write a file so that who reads it at that moment sees the old line or the new one. */
static bool write_line(const char *path, const char *text)
{
    char next[PATH_SIZE + 8];
    FILE *file;
    bool written;

    snprintf(next, sizeof next, "%s.next", path);
    file = fopen(next, "w");
    if (file == NULL) {
        return false;
    }
    written = fprintf(file, "%s\n", text) > 0;
    written = fclose(file) == 0 && written;
    return written && rename(next, path) == 0;
}

static bool write_once(const struct board *board, const char *name, const char *text)
{
    char path[PATH_SIZE];

    path_of(board, name, path);
    return access(path, F_OK) == 0 || write_line(path, text);
}

/* --- what the core calls ----------------------------------------------------------------------------------------------------------- */

static uint32_t millis(void *context)
{
    struct timespec now;

    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

static uint32_t chance(void *context)
{
    struct timespec now;

    (void)context;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint32_t)now.tv_nsec ^ ((uint32_t)getpid() << 12);
}

static bool gpio_read(void *context, uint8_t pin, uint8_t *level)
{
    struct board *board = context;
    char path[PATH_SIZE], text[8];

    /* Who writes with an editor or echo has the file empty for a moment: the level is the one before, then. */
    if (read_line(path_of_pin(board, pin, path), text, sizeof text) && (text[0] == '0' || text[0] == '1')) {
        board->levels[pin] = (uint8_t)(text[0] - '0');
    }
    *level = board->levels[pin];
    return true;
}

static bool gpio_write(void *context, uint8_t pin, uint8_t level)
{
    char path[PATH_SIZE];

    return write_line(path_of_pin(context, pin, path), level ? "1" : "0");
}

static bool gpio_setup(void *context, const struct iot_pin *pin)
{
    struct board *board = context;
    uint8_t ignored;

    if (pin->direction == IOT_IN && pin->pull != IOT_PULL_NONE && !gpio_write(board, pin->number, pin->pull == IOT_PULL_UP)) {
        return false;
    }
    board->edges[pin->number] = pin->edge;
    return gpio_read(board, pin->number, &ignored);
}

static long rtc_offset(const struct board *board)
{
    char path[PATH_SIZE], text[32];

    return read_line(path_of(board, "rtc_offset", path), text, sizeof text) ? strtol(text, NULL, 10) : 0;
}

static bool rtc_read(void *context, uint32_t *epoch_s)
{
    *epoch_s = (uint32_t)(time(NULL) + rtc_offset(context));
    return true;
}

static bool rtc_write(void *context, uint32_t epoch_s)
{
    char path[PATH_SIZE], text[32];

    snprintf(text, sizeof text, "%ld", (long)epoch_s - (long)time(NULL));
    return write_line(path_of(context, "rtc_offset", path), text);
}

static bool ethernet_read(void *context, enum iot_address which, char text[IOT_ADDRESS_MAX + 1])
{
    static const char *const names[] = {"mac", "ip", "subnet", "gateway"};
    char path[PATH_SIZE];

    return read_line(path_of(context, names[which], path), text, IOT_ADDRESS_MAX + 1);
}

static bool mac_write(void *context, const char *mac)
{
    char path[PATH_SIZE];

    return write_line(path_of(context, "mac", path), mac);
}

static void uart_write(void *context, const char *text, size_t length)
{
    (void)context;
    fwrite(text, 1, length, stdout);
    fflush(stdout);
}

static bool store(void *context, const char *message, const char *recipient)
{
    char path[PATH_SIZE];

    return write_line(path_of(context, "message", path), message) && write_line(path_of(context, "recipient", path), recipient);
}

static void restart(void *context)
{
    ((struct board *)context)->reboot();
}

struct iot_hal board_functions(struct board *board)
{
    struct iot_hal functions = {
        board, millis, chance, gpio_read, gpio_write, gpio_setup, rtc_read, rtc_write, ethernet_read, mac_write, uart_write, NULL,
        store, restart,
    };

    return functions;
}

/* --- the rest of the board ---------------------------------------------------------------------------------------------------------- */

static void forget_pins(const struct board *board)
{
    char path[PATH_SIZE];
    int pin;

    for (pin = 0; pin < 256; pin++) {
        unlink(path_of_pin(board, (uint8_t)pin, path));
    }
}

bool board_start(struct board *board, struct iot *iot, const char *folder, const char *device_id, void (*reboot)(void))
{
    char path[PATH_SIZE], mac[IOT_ADDRESS_MAX + 1];

    memset(board, 0, sizeof *board);
    board->iot = iot;
    board->folder = folder;
    board->reboot = reboot;
    if ((mkdir(folder, 0700) != 0 && errno != EEXIST) || (mkdir(path_of(board, "pins", path), 0700) != 0 && errno != EEXIST)) {
        perror(folder);
        return false;
    }
    forget_pins(board);
    if (!read_line(path_of(board, "message", path), board->message, sizeof board->message)) {
        strcpy(board->message, "Something happened here");
    }
    read_line(path_of(board, "recipient", path), board->recipient, sizeof board->recipient);
    /* 02: a locally administered address, so that no maker's is borrowed. */
    snprintf(mac, sizeof mac, "02:%.2s:%.2s:%.2s:%.2s:%.2s", device_id, device_id + 2, device_id + 4, device_id + 6, device_id + 8);
    return write_once(board, "mac", mac) && write_once(board, "ip", "192.168.100.5") &&
           write_once(board, "subnet", "255.255.255.0") && write_once(board, "gateway", "192.168.100.1");
}

uint32_t board_look(struct board *board)
{
    uint32_t again_ms = IOT_IDLE_MS;
    int pin;

    for (pin = 0; pin < 256; pin++) {
        uint8_t edge = board->edges[pin], was = board->levels[pin], level;
        if (edge == IOT_EDGE_NONE) {
            continue;
        }
        again_ms = LOOK_MS;
        gpio_read(board, (uint8_t)pin, &level);
        if (level != was && (edge == IOT_EDGE_BOTH || (edge == IOT_EDGE_RISING) == (level > was))) {
            iot_edge(board->iot, (uint8_t)pin);
        }
    }
    return again_ms;
}
