#!/bin/sh
# See that an image starts as it will be run: read-only, without capabilities, as its own user. No server is needed.   sh .ci/image.sh IMAGE
set -eu
run() { docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp --tmpfs /srv/portal:uid=10001,gid=10001,mode=0700 "$@"; }
run "$1" pki --name rabbitmq | grep 'wrote root-ca.key'
run --env DJANGO_SETTINGS_MODULE=iotportal.embedded.offline_settings "$1" manage check
run --entrypoint test "$1" -f /opt/iotportal/staticfiles/css/portal.css
run "$1" web --help | grep -e --port
