#!/bin/sh
# Are all migrations made, and what does Django say of settings as they are in production?   sh .ci/checks.sh PYTHON
set -eu
# No server is reached; the values are stand-ins of the right shape.
export PORTAL_SECRET_KEY="stand-in-of-the-right-shape-$(printf '%s' "$$-$(date)" | cksum | tr -d ' ')-abcdefghijklmnopqrstuvwxyz"
export PORTAL_SEAL_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=
export DATABASE_URL=postgres://portal:stand-in@127.0.0.1:1/portal VALKEY_URL=redis://127.0.0.1:1/0
export PORTAL_URL=https://portal.example.com PORTAL_ALLOWED_HOSTS=portal.example.com PORTAL_DEBUG=0
# The one warning that is ours to expect: there is no database here to compare the migrations with.
"$1" -W "ignore:Got an error checking a consistent migration history" manage.py makemigrations --check --dry-run
"$1" manage.py check --deploy --fail-level WARNING
