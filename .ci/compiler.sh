#!/bin/sh
# Have what builds the firmware and its Linux port: Debian's own compiler and libraries when we are root there.
set -eu
have() { command -v cc >/dev/null 2>&1 && [ -e /usr/include/mosquitto.h ] && [ -e /usr/include/openssl/ssl.h ]; }
if have; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing a C compiler and libmosquitto for the firmware's tests."
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc make libc6-dev libmosquitto-dev libssl-dev; } \
        >/dev/null || true
fi
have || sh "$(dirname "$0")/left-out.sh"
