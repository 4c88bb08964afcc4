#!/bin/sh
# Are all migrations made, and what does Django say of settings as they are in production?   sh .ci/checks.sh PYTHON
set -eu
# No server is reached: the addresses are stand-ins, the secrets made for this once.
random() { "$1" -c "import base64, secrets; print(base64.b64encode(secrets.token_bytes($2)).decode())"; }
PORTAL_SECRET_KEY=$(random "$1" 48) PORTAL_SEAL_KEY=$(random "$1" 32)
export PORTAL_SECRET_KEY PORTAL_SEAL_KEY
export DATABASE_URL=postgres://portal:stand-in@127.0.0.1:1/portal VALKEY_URL=redis://127.0.0.1:1/0
export PORTAL_URL=https://portal.example.com PORTAL_ALLOWED_HOSTS=portal.example.com PORTAL_DEVICE_HOST=mqtt.example.com PORTAL_DEBUG=0
PORTAL_STATE_DIR=$(mktemp -d)
export PORTAL_STATE_DIR
trap 'rm -rf "$PORTAL_STATE_DIR"' EXIT

"$1" manage.py setup_pki --verbosity 0 # a deployment makes its certificates before it checks
# The one warning that is to be expected: there is no database here to compare the migrations with.
"$1" -W "ignore:Got an error checking a consistent migration history" manage.py makemigrations --check --dry-run
"$1" manage.py check --deploy --fail-level WARNING
