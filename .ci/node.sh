#!/bin/sh
# Have Node.js, what makes a TypeScript client of the API in tests, and what the Node.js simulator needs: Debian's own Node when we are root there.
set -eu
have() { command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; }
if ! have && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Node.js for the tests of the API's TypeScript client and of the Node.js simulator."
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm; } >/dev/null || true
fi
if ! have; then
    sh "$(dirname "$0")/left-out.sh"
    exit 0
fi
cd "$(dirname "$0")/.."
for folder in tests/clients simulators/node; do
    wanted=$(cksum <$folder/package-lock.json)
    [ "$(cat $folder/node_modules/.stamp 2>/dev/null)" != "$wanted" ] || continue
    (cd $folder && npm ci --ignore-scripts --no-audit --no-fund --silent)
    printf '%s\n' "$wanted" >$folder/node_modules/.stamp
done
