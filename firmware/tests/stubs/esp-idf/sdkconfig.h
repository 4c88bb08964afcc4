/* See ../README.md. */
#ifndef SDKCONFIG_H
#define SDKCONFIG_H
#define CONFIG_IOT_WIFI_SSID "a network"
#define CONFIG_IOT_WIFI_PASSWORD "its password"
#define CONFIG_IOT_KEYWORD "ALARM"
#endif
