/* The Wi-Fi network of menuconfig, joined again whenever it is lost. */
#ifndef WIFI_H
#define WIFI_H

#include "esp_netif.h"

/* Begin to join; the core waits for the network by trying. Returns the station's interface. */
esp_netif_t *wifi_start(const char *ssid, const char *password);

#endif
