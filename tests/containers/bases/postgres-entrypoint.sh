#!/bin/bash
# What the public postgres image does at its start, as far as compose.yaml uses it: no root, one role, one database,
# /docker-entrypoint-initdb.d/*.sql on an empty volume, by a temporary server that only its unix socket reaches.
set -Eeuo pipefail

if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then POSTGRES_PASSWORD=$(<"$POSTGRES_PASSWORD_FILE"); fi
    : "${POSTGRES_PASSWORD:?a password is needed}" "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"
    mkdir -p "$PGDATA" && chmod 700 "$PGDATA"
    ls /docker-entrypoint-initdb.d >/dev/null
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD")
    printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
    { echo "listen_addresses = '*'"; echo "unix_socket_directories = '/var/run/postgresql, /tmp'"; } >>"$PGDATA/postgresql.conf"

    pg_ctl -w -o "-c listen_addresses=''" start
    sql=(psql -h /var/run/postgresql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" --no-password --no-psqlrc)
    "${sql[@]}" -d postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
    for file in /docker-entrypoint-initdb.d/*.sql; do
        echo "$0: running $file"
        "${sql[@]}" -d "$POSTGRES_DB" -f "$file"
    done
    pg_ctl -m fast -w stop
fi
exec "$@"
