#!/bin/sh
# Say loudly what could not be tested here; says nothing when everything was.
have() { for name in "$@"; do command -v "$name" >/dev/null 2>&1 && return 0; done; return 1; }
say() {
    echo
    echo "*************************************************************************************************"
    printf '*  %-91s  *\n' "$@"
    echo "*************************************************************************************************"
    echo
}
have chromium chromium-browser google-chrome || say \
    "LEFT OUT: all browser tests. There is no Chromium here and no way to install one." \
    "Install it (Debian: apt install chromium) and run make test again to test the pages as well."
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || [ -x /opt/rabbitmq/sbin/rabbitmq-server ] || say \
    "LEFT OUT: all tests against RabbitMQ. There is none here and no way to install one." \
    "Install it (Debian: apt install rabbitmq-server) and run make test again."
PATH="$PATH:/usr/sbin:/usr/local/sbin" have nginx || say \
    "LEFT OUT: the test of make run-full. There is no nginx here and no way to install one." \
    "Install it (Debian: apt install nginx-light) and run make test again."
have node && have npm || say \
    "LEFT OUT: tests of the API's TypeScript client and the Node.js simulator. No Node.js is here." \
    "Install it (Debian: apt install nodejs npm) and run make test again."
{ have cc && [ -e /usr/include/mosquitto.h ] && [ -e /usr/include/openssl/ssl.h ]; } || say \
    "LEFT OUT: tests of the firmware. There is no C compiler here, or no libmosquitto." \
    "Install them (Debian: apt install gcc make libc6-dev libmosquitto-dev libssl-dev)."
{ have micropython && micropython -c "import umqtt.simple" >/dev/null 2>&1; } || say \
    "LEFT OUT: the MicroPython device run by MicroPython. There is none here; CPython runs it." \
    "Put MicroPython's unix port on the path, then: micropython -m mip install umqtt.simple"
