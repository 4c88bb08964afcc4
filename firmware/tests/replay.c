/* Commands from standard input, one `api payload-in-hex` a line, to a device; what it answers goes out as `api payload`, and a
 * line `.` ends each command's. The Python tests compare it with the simulator. `replay modern|standard` */
#include "harness.h"

#define LONGEST (IOT_API_MAX + 2 * IOT_PAYLOAD_MAX + 8)

static struct bench bench;

static size_t from_hex(const char *hex, char *bytes)
{
    size_t count = 0;
    unsigned byte;

    while (sscanf(hex + 2 * count, "%2x", &byte) == 1) {
        bytes[count++] = (char)byte;
    }
    return count;
}

int main(int count, char **words)
{
    static char line[LONGEST], payload[LONGEST];
    char topic[LONGEST + sizeof DEVICE], *hex;
    int at;

    bench_connect(&bench, iot_features(count > 1 ? words[1] : "standard"));
    while (fgets(line, sizeof line, stdin) != NULL) {
        hex = strchr(line, ' ');
        if (hex == NULL) {
            return 1;
        }
        *hex++ = '\0';
        snprintf(topic, sizeof topic, "%s/%s", DEVICE, line);
        bench.said_count = 0;
        bench.uart[0] = '\0';
        bench_receive(&bench, topic, payload, from_hex(hex, payload));
        bench.iot.restart_wanted = false;
        for (at = 0; at < bench.said_count; at++) {
            printf("%s %s\n", strrchr(bench.said[at].topic, '/') + 1, bench.said[at].payload);
        }
        puts(".");
    }
    return 0;
}
