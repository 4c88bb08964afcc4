#!/bin/sh
# Have a server (rabbitmq-server or nginx) for `make run-full` and the tests that need one: Debian's own when we are root there. Its
# service is never started: private instances are started from its programs.
set -eu
PATH=$PATH:/usr/sbin:/usr/local/sbin
case $1 in
nginx) package=nginx-light ;;
*) package=$1 ;;
esac
have() {
    case $1 in
    rabbitmq-server) [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || [ -x /opt/rabbitmq/sbin/rabbitmq-server ] ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}
if have "$1"; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing $package; the service that comes with it stays off."
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d made=""
    if [ ! -e "$policy" ]; then # what Debian's packages ask before they start a service
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=yes
    fi
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package"; } >/dev/null || true
    if [ -n "$made" ]; then rm -f "$policy"; fi
    if command -v systemctl >/dev/null 2>&1; then systemctl disable --quiet "$1" 2>/dev/null || true; fi
fi
have "$1" || sh "$(dirname "$0")/left-out.sh"
