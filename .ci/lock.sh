#!/bin/sh
# Lock requirements*.in with hashes, from the public registry alone: mirrors and local wheels configured on this machine have
# no place in a lock that others install from.   sh .ci/lock.sh PIP_COMPILE
set -eu
for name in requirements requirements-dev; do
    env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null CUSTOM_COMPILE_COMMAND="make lock" \
        "$1" --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host \
        --no-emit-find-links --no-emit-options --output-file "$name.txt" "$name.in"
done
