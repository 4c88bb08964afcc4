#!/bin/sh
# What a container of the portal's image is: its first word says so, what follows goes to that process.
#   web | bridge | tasks | worker | beat | emulators | broker | broker-auth     a process, which takes this shell's place
#   setup [FOLDER]          once before the others, and again after an update: tables, certificates, RabbitMQ's files
#   pki [--name HOST]…      the certificate authority alone, with no server about
#   take-pki FOLDER         copy one that is mounted read-only into PORTAL_PKI_DIR, for the portal's user alone
#   broker-files FOLDER     RabbitMQ's files alone
#   manage COMMAND …        one of the portal's commands
#   restore FILE …          all of a backup; its keys go into files beside PORTAL_PKI_DIR, to be made the secrets
#   healthy                 whether the process of this container lives
set -eu
cd "$(dirname "$0")/.."
umask 077
name=${1:-}
[ $# -eq 0 ] || shift

# RabbitMQ's configuration with copies of the three files of the authority that it needs, and none of a CA's keys. The folder belongs
# to RabbitMQ's group (docker/Dockerfile), which may read them.
broker_files() {
    python manage.py broker_config "$1" --pki "$1" --bind 0.0.0.0 --inside 0.0.0.0
    for file in clients-ca.pem server.pem server.key; do
        cat "$PORTAL_PKI_DIR/$file" >"$1/$file.new"
        mv "$1/$file.new" "$1/$file"
    done
    chmod 0640 "$1"/*
}

case $name in
web | broker) exec python -m iotportal.processes "$name" --host 0.0.0.0 "$@" ;;
broker-auth) exec python -m iotportal.processes broker-auth --host 0.0.0.0 "$@" ;;
setup)
    python manage.py migrate --no-input
    python manage.py setup_pki --name "$AMQP_HOST" # and PORTAL_DEVICE_HOST
    broker_files "${1:-/srv/rabbitmq}"
    ;;
pki) exec env DJANGO_SETTINGS_MODULE=iotportal.embedded.offline_settings python manage.py setup_pki "$@" ;;
take-pki)
    mkdir -p "$PORTAL_PKI_DIR"
    chmod 0700 "$PORTAL_PKI_DIR"
    for file in "$1"/*; do cat "$file" >"$PORTAL_PKI_DIR/${file##*/}"; done
    ;;
broker-files) broker_files "$1" ;;
manage) exec python manage.py "$@" ;;
restore)
    keys=$(dirname "$PORTAL_PKI_DIR")/restored
    mkdir -p "$keys"
    cat "$PORTAL_SECRET_KEY_FILE" >"$keys/secret_key"
    cat "$PORTAL_SEAL_KEY_FILE" >"$keys/seal_key"
    exec env PORTAL_SECRET_KEY_FILE="$keys/secret_key" PORTAL_SEAL_KEY_FILE="$keys/seal_key" python manage.py restore "$@"
    ;;
healthy) exec python -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=4)' "http://127.0.0.1:${PORTAL_WATCH_PORT:?}/healthz" ;;
*) exec python -m iotportal.processes "$name" "$@" ;;
esac
