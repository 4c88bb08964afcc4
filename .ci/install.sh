#!/bin/sh
# Make the virtual environment and install the locked requirements into it, unless exactly these are in it already.
#   sh .ci/install.sh PYTHON VENV NAME REQUIREMENTS...      (NAME names the stamp; "dev" includes what "runtime" needs)
set -eu
python=$1 venv=$2 name=$3
shift 3

if [ -z "$python" ]; then
    found=$(python3 --version 2>/dev/null || echo "no python3 at all")
    echo "The portal needs Python 3.11 or newer; here is $found. Install one, or name it: make run PYTHON=/path/to/python3.12" >&2
    exit 1
fi

# An environment whose Python has gone away (a system upgrade, a moved checkout) is made anew.
if [ -e "$venv" ] && ! "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    echo "The environment in $venv no longer works; making it anew."
    rm -rf "$venv"
fi

wanted=$(cat "$@" | cksum)
stamp="$venv/$name.stamp"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

if [ ! -e "$venv" ]; then
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "This Python has no venv module. On Debian and Ubuntu: apt install python3-venv. Then run make again." >&2
        exit 1
    fi
    echo "Making the virtual environment in $venv ($("$python" --version))."
    "$python" -m venv "$venv"
fi

echo "Installing the locked requirements ($name). This is needed once; it takes less than a minute with a good connection."
rm -f "$venv"/*.stamp
set -- "$@" --
files=""
while [ "$1" != "--" ]; do files="$files -r $1"; shift; done
# --no-deps: the lock names everything, so pip has nothing to resolve. Every file is checked against the lock's hashes.
# shellcheck disable=SC2086 - a list of words
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes $files
printf '%s\n' "$wanted" >"$stamp"
if [ "$name" = dev ]; then
    cksum <requirements.txt >"$venv/runtime.stamp"
fi
