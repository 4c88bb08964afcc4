#!/bin/sh
# Have RabbitMQ for the tests that need one: Debian's own when we are root there. Its service is never started: the tests and
# `make run-full` start private instances from its programs.
set -eu
have() { [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || [ -x /opt/rabbitmq/sbin/rabbitmq-server ]; }
if have; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing RabbitMQ; the service that comes with it stays off."
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d made=""
    if [ ! -e "$policy" ]; then # what Debian's packages ask before they start a service
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=yes
    fi
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends rabbitmq-server; } >/dev/null || true
    if [ -n "$made" ]; then rm -f "$policy"; fi
    if command -v systemctl >/dev/null 2>&1; then systemctl disable --quiet rabbitmq-server 2>/dev/null || true; fi
fi
have || sh "$(dirname "$0")/left-out.sh"
