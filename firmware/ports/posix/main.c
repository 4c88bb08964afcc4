/* A device on a Linux host. Its UART is standard input and output, its board a folder; what happens to the connection goes to stderr.
 *
 *   iot-posix [--folder FOLDER] [--key FILE] [--board FOLDER]
 *
 * --folder: an unpacked device.zip; needed where no iot_config.h was built in. --key: the private key, where the device made it
 * itself. --board: the folder of the pins and so on, "board" unless given.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "board.h"
#include "identity.h"
#include "iot.h"
#include "net.h"

struct options {
    const char *folder, *key, *board;
};

static struct identity identity;
static struct iot device;
static struct board board;
static struct net net;
static char **own_words;
static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}

/* Become a new program, as a board's memory is new after a reset; its files stay. */
static void reboot(void)
{
    net_end(&net);
    execv("/proc/self/exe", own_words);
    perror("cannot restart");
    _exit(1);
}

static bool read_options(char **words, struct options *options)
{
    const struct {
        const char *name;
        const char **value;
    } known[] = {{"--folder", &options->folder}, {"--key", &options->key}, {"--board", &options->board}};
    size_t at;

    while (*words != NULL) {
        for (at = 0; at < 3 && strcmp(*words, known[at].name) != 0; at++) {
        }
        if (at == 3 || words[1] == NULL) {
            fprintf(stderr, "usage: iot-posix [--folder FOLDER] [--key FILE] [--board FOLDER]\n");
            return false;
        }
        *known[at].value = words[1];
        words += 2;
    }
    return true;
}

static bool find_identity(const struct options *options)
{
    if (options->folder != NULL ? !identity_read(&identity, options->folder) : !identity_built_in(&identity)) {
        if (options->folder == NULL) {
            fprintf(stderr, "which device? build with IOT_CONFIG=iot_config.h, or give --folder\n");
        }
        return false;
    }
    return options->key == NULL || identity_read_file(options->key, identity.private_key, PEM_MAX);
}

/* Hand what was typed to the device; returns false at its end. */
static bool read_uart(void)
{
    char bytes[256];
    ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes), at;

    for (at = 0; at < count; at++) {
        iot_typed(&device, bytes[at]);
    }
    return count > 0;
}

static void run(void)
{
    int input = STDIN_FILENO;

    while (!ended) {
        uint32_t look_ms = board_look(&board), poll_ms = iot_poll(&device);
        if (net_wait(&net, input, look_ms < poll_ms ? look_ms : poll_ms) && !read_uart()) {
            input = -1;
        }
    }
}

int main(int count, char **words)
{
    struct options options = {NULL, NULL, "board"};
    struct iot_config config = {NULL, 0, "ALARM", NULL, NULL};
    struct iot_hal hal;
    struct iot_net functions;

    (void)count;
    own_words = words;
    if (!read_options(words + 1, &options) || !find_identity(&options)) {
        return 2;
    }
    if (!board_start(&board, &device, options.board, identity.device_id, reboot) || !net_start(&net, &device, &identity)) {
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    config.device_id = identity.device_id;
    config.features = iot_features(identity.profile);
    config.message = board.message;
    config.recipient = board.recipient;
    hal = board_functions(&board);
    functions = net_functions(&net);
    iot_start(&device, &config, &hal, &functions);
    run();
    iot_stop(&device);
    net_end(&net);
    return 0;
}
