#include "identity.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "iot_json.h"

#ifdef IOT_CONFIG_FILE
#include IOT_CONFIG_FILE
#endif

bool identity_read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "rb");
    size_t length;

    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    length = fread(text, 1, size, file);
    fclose(file);
    if (length == size) {
        fprintf(stderr, "%s: larger than %zu bytes\n", path, size - 1);
        return false;
    }
    text[length] = '\0';
    return true;
}

static bool read_in(const char *folder, const char *name, char *text, size_t size)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return identity_read_file(path, text, size);
}

static bool read_config(struct identity *identity, const char *json)
{
    size_t length = strlen(json);
    int64_t port;

    if (!iot_json_is_object(json, length) || !iot_json_whole(iot_json_get(json, length, "port"), &port) || port < 1 || port > 65535) {
        return false;
    }
    identity->port = (int)port;
    return iot_json_text(iot_json_get(json, length, "device_id"), identity->device_id, sizeof identity->device_id) > 0 &&
           iot_json_text(iot_json_get(json, length, "host"), identity->host, sizeof identity->host) > 0 &&
           iot_json_text(iot_json_get(json, length, "profile"), identity->profile, sizeof identity->profile) > 0;
}

bool identity_read(struct identity *identity, const char *folder)
{
    char json[4096];

    if (!read_in(folder, "config.json", json, sizeof json)) {
        return false;
    }
    if (!read_config(identity, json)) {
        fprintf(stderr, "%s/config.json is not a device's: it says device_id, host, port and profile\n", folder);
        return false;
    }
    return read_in(folder, "root-ca.pem", identity->root_ca, PEM_MAX) &&
           read_in(folder, "device.crt", identity->certificate, PEM_MAX) &&
           read_in(folder, "device.key", identity->private_key, PEM_MAX);
}

#ifdef IOT_CONFIG_FILE
bool identity_built_in(struct identity *identity)
{
    snprintf(identity->device_id, sizeof identity->device_id, "%s", IOT_DEVICE_ID);
    snprintf(identity->host, sizeof identity->host, "%s", IOT_HOST);
    snprintf(identity->profile, sizeof identity->profile, "%s", IOT_PROFILE);
    identity->port = IOT_PORT;
    snprintf(identity->root_ca, PEM_MAX, "%s", iot_root_ca);
    snprintf(identity->certificate, PEM_MAX, "%s", iot_certificate);
#ifdef IOT_CONFIG_HAS_KEY
    snprintf(identity->private_key, PEM_MAX, "%s", iot_private_key);
#endif
    return true;
}
#else
bool identity_built_in(struct identity *identity)
{
    (void)identity;
    return false;
}
#endif
