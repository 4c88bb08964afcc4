/* Who the device is and where its portal is: built in from the portal's iot_config.h, or read from the downloaded files. */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#define PEM_MAX 16384

struct identity {
    char device_id[65], host[256], profile[65];
    int port;
    char root_ca[PEM_MAX], certificate[PEM_MAX], private_key[PEM_MAX]; /* PEM */
};

/* Fill in what iot_config.h said; false where the program was built without one. */
bool identity_built_in(struct identity *identity);

/* Read an unpacked device.zip: config.json, root-ca.pem, device.crt, device.key. False, with a line on stderr: it is not there. */
bool identity_read(struct identity *identity, const char *folder);

/* Read a text file. False, with a line on stderr: it cannot be read, or does not fit. */
bool identity_read_file(const char *path, char *text, size_t size);

#endif
