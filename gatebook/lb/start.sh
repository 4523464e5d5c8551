#!/bin/sh
# The load balancer's container: check the settings, fill in the template, become nginx.
#
#   start.sh            run nginx in the foreground
#   start.sh print      only print its configuration
#   start.sh healthy    the health check: nginx answers and reaches the viewer
#
# gatebook/lb/config.py fills in the same template for the local stack; a test holds the two against each other.
set -eu

export STATE=/tmp LISTEN=8080 ACCESS_LOG=/dev/stdout USER=

fail() {
    printf 'Error: %s\nTry:   %s\n' "$1" "$2" >&2
    exit 1
}

# is_server WORD: HOST:PORT, [v6]:PORT or unix:/PATH
is_server() {
    printf '%s' "$1" | grep -Eq '^(([A-Za-z0-9_.-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}|unix:/[^;{}"$'\'']+)$' || return 1
    case $1 in unix:*) return 0 ;; esac
    [ "${1##*:}" -ge 1 ] && [ "${1##*:}" -le 65535 ]
}

# is_name WORD: a host name, which nginx has to ask a name server for
is_name() {
    printf '%s' "$1" | grep -Eqv '^(unix:|\[|[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+:)'
}

# servers NAME DEFAULT: the setting NAME as nginx's server lines
servers() {
    words=
    eval "words=\${$1:-$2}"
    [ -n "$(printf '%s' "$words" | tr -d ', ')" ] || fail "$1 is '$words': expected HOST:PORT, such as $2" \
        "set $1 in .env to where the service listens"
    for word in $(printf '%s' "$words" | tr ',' ' '); do
        is_server "$word" || fail "$1 is '$words': expected HOST:PORT, such as $2, or unix:/PATH" \
            "set $1 in .env to where the service listens"
        if is_name "$word"; then resolve=' resolve'; else resolve=''; fi
        printf 'server %s%s max_fails=3 fail_timeout=1s; ' "$word" "$resolve"
    done
}

# bytes NAME DEFAULT: a size such as 1GiB, 512k or 1048576 in bytes
bytes() {
    words=
    eval "words=\${$1:-$2}"
    printf '%s' "$words" | grep -Eiq '^0*[1-9][0-9]* *([kmg]?i?b?)$' ||
        fail "$1 is '$words': expected a size such as 1GiB, 512k or 1048576" "set $1 to such a size"
    number=$(printf '%s' "$words" | tr -dc '0-9')
    case $words in
        *[kK]*) echo $((number * 1024)) ;;
        *[mM]*) echo $((number * 1024 * 1024)) ;;
        *[gG]*) echo $((number * 1024 * 1024 * 1024)) ;;
        *) echo "$number" ;;
    esac
}

# resolver: nginx's line for the name servers set, else the system's
resolver() {
    servers_=$(printf '%s' "${GATEBOOK_RESOLVER:-}" | tr ',' ' ')
    [ -n "$servers_" ] || servers_=$(awk '$1 == "nameserver" { print ($2 ~ /:/) ? "[" $2 "]" : $2 }' /etc/resolv.conf)
    [ -n "$servers_" ] || fail "no name server is known" "set GATEBOOK_RESOLVER to the address of one"
    # shellcheck disable=SC2086,SC2116  # newlines become blanks
    printf 'resolver %s valid=1s ipv6=off; resolver_timeout 2s;' "$(echo $servers_)"
}

configuration() {
    # shellcheck disable=SC3045  # dash and busybox have it
    OPEN_FILES=$(ulimit -Hn)
    case $OPEN_FILES in unlimited) OPEN_FILES=65536 ;; esac
    [ "$OPEN_FILES" -le 65536 ] || OPEN_FILES=65536
    CONNECTIONS=$((OPEN_FILES / 2))
    REPLICAS=$(servers PROXY_UPSTREAM webapp:8000)
    VIEWER=$(servers GATEBOOK_VIEWER_UPSTREAM viewer:8000)
    BODY_MAX=$(bytes GATEBOOK_BODY_MAX 1GiB)
    RESOLVER=
    case "$REPLICAS$VIEWER" in *' resolve '*) RESOLVER=$(resolver) ;; esac
    export OPEN_FILES CONNECTIONS REPLICAS VIEWER BODY_MAX RESOLVER
    # shellcheck disable=SC2016  # envsubst wants the names
    envsubst '$USER $STATE $ACCESS_LOG $LISTEN $OPEN_FILES $CONNECTIONS $BODY_MAX $RESOLVER $REPLICAS $VIEWER' \
        <"$(dirname "$0")/nginx.conf.template"
}

healthy() {
    if command -v curl >/dev/null; then
        curl -fsS -o /dev/null --max-time 3 "http://127.0.0.1:$LISTEN/_/health/live"
    elif command -v wget >/dev/null; then
        wget -q -O /dev/null -T 3 "http://127.0.0.1:$LISTEN/_/health/live"
    else
        kill -0 "$(cat "$STATE/nginx.pid")"
    fi
}

case ${1:-run} in
    print) configuration ;;
    healthy) healthy ;;
    run)
        configuration >"$STATE/nginx.conf"
        exec nginx -e stderr -c "$STATE/nginx.conf" -g 'daemon off;'
        ;;
    *) fail "unknown word '$1'" "start.sh [run|print|healthy]" ;;
esac
