#!/bin/sh
# Make the secrets that are missing in a folder, one file each; what is there is kept.
#   sh docker/secrets.sh [FOLDER [DATABASE_HOST [VALKEY_HOST]]]        (docker/secrets, postgres, valkey)
# The folder is for its owner alone. The files in it are not: Compose mounts each by itself into the containers that are given it, whose
# users are others than yours, with the mode that it has here.
set -eu
folder=${1:-$(dirname "$0")/secrets} database=${2:-postgres} valkey=${3:-valkey}
umask 077
mkdir -p "$folder"
chmod 0700 "$folder"

hex() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }
keep() { # NAME: write what comes in, unless NAME is there
    if [ -e "$folder/$1" ]; then
        cat >/dev/null
    else
        cat >"$folder/$1.new" && chmod 0444 "$folder/$1.new" && mv "$folder/$1.new" "$folder/$1" && echo "$folder/$1"
    fi
}

hex 32 | keep postgres_password
hex 32 | keep valkey_password
printf 'postgres://portal:%s@%s:5432/portal' "$(cat "$folder/postgres_password")" "$database" | keep database_url
printf 'redis://:%s@%s:6379/0' "$(cat "$folder/valkey_password")" "$valkey" | keep valkey_url
printf 'requirepass %s\n' "$(cat "$folder/valkey_password")" | keep valkey_auth.conf
hex 48 | keep secret_key
head -c 32 /dev/urandom | base64 | tr -d '\n' | keep seal_key
hex 32 | keep backup_passphrase

if [ ! -e "$folder/tls.crt" ] || [ ! -e "$folder/tls.key" ]; then
    echo "Still missing: $folder/tls.crt (with its chain) and $folder/tls.key, the certificate that browsers are shown; mode 0444 like the others." >&2
fi
