#!/bin/sh
# The load balancer's container: check the settings, fill in the template, become nginx.
#
#   start.sh            run nginx in the foreground
#   start.sh print      only print its configuration
#   start.sh healthy    the health check: nginx answers and reaches the viewer
#   start.sh tidy PID   keep the access log of the nginx PID within its limit, and its certificate the newest, until that
#                       has ended
#
# gatebook/lb/config.py fills in the same template for the local stack, gatebook/stack/access_log.py and certificate.py
# keep its access log and its certificate in the same way; tests hold them against each other.
set -eu

PORT=8080
export STATE="${STATE:-/tmp}" ACCESS_LOG="${GATEBOOK_ACCESS_LOG:-/var/log/gatebook/access.log}" USER=
TIDY_EVERY_S=2
STRIKES='max_fails=3 fail_timeout=1s'  # an idle connection that a replica has just closed counts as one
NEVER_ASIDE='max_fails=0 backup'
LOOKING_RATE=20 LOOKING_AT_ONCE=100 # no less for who looks, whatever the limits for recording are
PROBING_RATE=200 PROBING_AT_ONCE=100 # nor for who asks for health, or for what pages load
CERT="${GATEBOOK_TLS_CERT:-}" KEY="${GATEBOOK_TLS_KEY:-}"
READABLE='mount it so that this user can read it: chgrp 101 and chmod 640, and a folder that 101 can walk to'
PEM='both are PEM: the certificate, then its chain; and the key that belongs to it, without a passphrase'
PAIR="$STATE/tls.pem" # what nginx reads: beside its configuration, the certificate with its chain, then its key

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

# servers NAME DEFAULT OPTIONS: the setting NAME as nginx's server lines
servers() {
    words=
    eval "words=\${$1:-$2}"
    [ -n "$(printf '%s' "$words" | tr -d ', ')" ] || fail "$1 is '$words': expected HOST:PORT, such as $2" \
        "set $1 in .env to where the service listens"
    for word in $(printf '%s' "$words" | tr ',' ' '); do
        is_server "$word" || fail "$1 is '$words': expected HOST:PORT, such as $2, or unix:/PATH" \
            "set $1 in .env to where the service listens"
        if is_name "$word"; then resolve=' resolve'; else resolve=''; fi
        printf 'server %s%s %s; ' "$word" "$resolve" "$3"
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

# whole NAME MOST: a whole number from 0 to MOST, 0 when nothing is set
whole() {
    words=
    eval "words=\${$1:-0}"
    { printf '%s' "$words" | grep -Eq '^[0-9]{1,9}$' && [ "$words" -le "$2" ]; } ||
        fail "$1 is '$words': expected a whole number from 0 to $2" "set $1 to such a number"
    number=$(printf '%s' "$words" | sed 's/^0*//')
    echo "${number:-0}"
}

# tls: the placeholders that depend on whether TLS is spoken
tls() {
    check_pair
    export LISTEN=$PORT TLS='' TLS_FACTS=''
    [ -n "$CERT" ] || return 0
    LISTEN="$PORT ssl"
    TLS='http2 on; ssl_certificate tls.pem; ssl_certificate_key tls.pem; error_page 497 = /; '
    # shellcheck disable=SC2016  # nginx's variables, here and below
    TLS=$TLS'if ($gatebook_unsafe) { return 308 https://$gatebook_called$request_uri; }' TLS_FACTS='$gatebook_tls'
}

# check_pair: both halves of the certificate are set, or none is
check_pair() {
    [ -z "$CERT" ] || [ -n "$KEY" ] ||
        fail "GATEBOOK_TLS_CERT is set and GATEBOOK_TLS_KEY is not" "set both for TLS, or none"
    [ -z "$KEY" ] || [ -n "$CERT" ] ||
        fail "GATEBOOK_TLS_KEY is set and GATEBOOK_TLS_CERT is not" "set both for TLS, or none"
}

# trusted: the placeholders that depend on which proxies are believed
trusted() {
    # shellcheck disable=SC2016
    export PEER='$remote_addr' TRUSTED=''
    for word in $(printf '%s' "${GATEBOOK_TRUSTED_PROXIES:-}" | tr ',' ' '); do
        printf '%s' "$word" | grep -Eq '^([0-9.]+(/[0-9]{1,2})?|[0-9a-fA-F.]*:[0-9a-fA-F:.]*(/[0-9]{1,3})?)$' ||
            fail "GATEBOOK_TRUSTED_PROXIES is '$GATEBOOK_TRUSTED_PROXIES': expected networks such as 10.0.0.0/8" \
                "set GATEBOOK_TRUSTED_PROXIES to such networks"
        case $word in */*) ;; *:*) word=$word/128 ;; *) word=$word/32 ;; esac
        TRUSTED="${TRUSTED}set_real_ip_from $word; "
    done
    [ -n "$TRUSTED" ] || return 0
    # shellcheck disable=SC2016
    PEER='$realip_remote_addr' TRUSTED="${TRUSTED}real_ip_header X-Forwarded-For; real_ip_recursive on;"
}

# limits: the placeholders that depend on what one client may send
limits() {
    export LIMIT_ZONES='' LIMITS=''
    rate=$(whole GATEBOOK_RATE_LIMIT 1000000)
    connections=$(whole GATEBOOK_CONNECTION_LIMIT 65535)
    # shellcheck disable=SC2016
    if [ "$rate" -gt 0 ]; then
        looking=$((rate > LOOKING_RATE ? rate : LOOKING_RATE))
        LIMIT_ZONES='limit_req_zone $gatebook_client zone=rate:10m rate='$rate'r/s; '
        LIMIT_ZONES=$LIMIT_ZONES'limit_req_zone $gatebook_looker zone=looking:10m rate='$looking'r/s; '
        probing=$((rate > PROBING_RATE ? rate : PROBING_RATE))
        LIMIT_ZONES=$LIMIT_ZONES'limit_req_zone $gatebook_prober zone=probing:10m rate='$probing'r/s; '
        looking=$((2 * rate > LOOKING_AT_ONCE ? 2 * rate : LOOKING_AT_ONCE))
        LIMITS="limit_req zone=rate burst=$((2 * rate)) nodelay; limit_req zone=looking burst=$looking nodelay; "
        LIMITS=$LIMITS"limit_req zone=probing burst=$((2 * probing)) nodelay; "
    fi
    # shellcheck disable=SC2016
    if [ "$connections" -gt 0 ]; then
        looking=$((connections > LOOKING_AT_ONCE ? connections : LOOKING_AT_ONCE))
        LIMIT_ZONES=$LIMIT_ZONES'limit_conn_zone $gatebook_client zone=connections:10m; '
        probing=$((connections > PROBING_AT_ONCE ? connections : PROBING_AT_ONCE))
        LIMIT_ZONES=$LIMIT_ZONES'limit_conn_zone $gatebook_looker zone=looking_connections:10m; '
        LIMIT_ZONES=$LIMIT_ZONES'limit_conn_zone $gatebook_prober zone=probing_connections:10m; '
        LIMITS=$LIMITS"limit_conn connections $connections; limit_conn looking_connections $looking; "
        LIMITS=$LIMITS"limit_conn probing_connections $probing; "
    fi
}

configuration() {
    # shellcheck disable=SC3045  # dash and busybox have it
    OPEN_FILES=$(ulimit -Hn)
    case $OPEN_FILES in unlimited) OPEN_FILES=65536 ;; esac
    [ "$OPEN_FILES" -le 65536 ] || OPEN_FILES=65536
    CONNECTIONS=$((OPEN_FILES / 2))
    REPLICAS=$(servers PROXY_UPSTREAM webapp:8000 "$STRIKES")
    BACKUPS=$(servers PROXY_UPSTREAM webapp:8000 "$NEVER_ASIDE")
    VIEWER=$(servers GATEBOOK_VIEWER_UPSTREAM viewer:8000 "$STRIKES")
    BODY_MAX=$(bytes GATEBOOK_BODY_MAX 1GiB)
    tls
    trusted
    limits
    RESOLVER=
    case "$REPLICAS$VIEWER" in *' resolve '*) RESOLVER=$(resolver) ;; esac
    export OPEN_FILES CONNECTIONS REPLICAS VIEWER BODY_MAX RESOLVER BACKUPS
    # shellcheck disable=SC2016  # envsubst wants the names
    envsubst '$USER $STATE $ACCESS_LOG $LISTEN $OPEN_FILES $CONNECTIONS $BODY_MAX $RESOLVER $REPLICAS $BACKUPS $VIEWER
        $TLS $TLS_FACTS $TRUSTED $PEER $LIMIT_ZONES $LIMITS' <"$(dirname "$0")/nginx.conf.template"
}

healthy() {
    if [ -n "$CERT" ]; then scheme=https; else scheme=http; fi # whose certificate it is does not matter here
    if command -v curl >/dev/null; then
        curl -kfsS -o /dev/null --max-time 3 "$scheme://127.0.0.1:$PORT/_/health/live"
    elif command -v wget >/dev/null; then
        wget -q -O /dev/null -T 3 --no-check-certificate "$scheme://127.0.0.1:$PORT/_/health/live"
    else
        kill -0 "$(cat "$STATE/nginx.pid")"
    fi
}

# new_log: make the access log, if it is not there. `gatebook forget` writes in it, as one of nginx's group.
new_log() {
    (umask 002 && : >>"$ACCESS_LOG")
}

# check_log: nginx can write its log; a name that its configuration cannot hold as it is is refused
check_log() {
    printf '%s' "$ACCESS_LOG" | grep -Eq '^/[A-Za-z0-9_./@%+-]+$' ||
        fail "GATEBOOK_ACCESS_LOG is '$ACCESS_LOG': expected a plain path such as /var/log/gatebook/access.log" \
            "set GATEBOOK_ACCESS_LOG to the path of a file"
    new_log 2>/dev/null || fail "the access log $ACCESS_LOG cannot be written" \
        "mount a volume for it that user $(id -u) may write in, or set GATEBOOK_ACCESS_LOG=/dev/stdout"
}

# size FILE...: all together in bytes; those that are not there have none
size() {
    sum=0
    for each in $(stat -c %s "$@" 2>/dev/null); do sum=$((sum + each)); done
    echo "$sum"
}

# pieces: what was put away of the access log as access.log.NUMBER, oldest first; the numbers are all equally long
pieces() {
    for piece in "$ACCESS_LOG".*; do
        case ${piece#"$ACCESS_LOG".} in '' | *[!0-9]*) ;; *) echo "$piece" ;; esac
    done
}

# rotate PID LIMIT: put the log away if it is a sixteenth of LIMIT bytes, and have nginx open it again. Nothing is lost:
# nginx goes on writing into the renamed file until it hears of it.
rotate() {
    most=$(($2 / 16))
    [ "$most" -ge 1048576 ] || most=1048576
    [ "$(size "$ACCESS_LOG")" -gt "$most" ] || return 0
    now=$(date +%s)
    newest=$(pieces | tail -n 1)
    newest=${newest##*.}
    [ "${newest:-0}" -lt "$now" ] || now=$((newest + 1))
    mv "$ACCESS_LOG" "$ACCESS_LOG.$now" || return
    new_log || : # on a full disk; nginx tries again
    kill -USR1 "$1"
}

# prune LIMIT: delete the oldest pieces while there are more than LIMIT bytes of the log
prune() {
    # shellcheck disable=SC2046  # one file a word; check_log saw to the names
    total=$(size "$ACCESS_LOG" $(pieces))
    for piece in $(pieces); do
        [ "$total" -gt "$1" ] || return 0
        total=$((total - $(size "$piece")))
        rm -f "$piece"
    done
}

# pair FILE: write the certificate and its key, as they are now, into FILE
pair() {
    (umask 077 && { cat "$CERT" && echo && cat "$KEY"; } >"$1") 2>/dev/null
}

# trouble FILE: why nginx cannot use this pair; nothing when it can
trouble() {
    if grep -q ENCRYPTED "$1"; then
        echo "the key is encrypted, and nobody is there to say its passphrase"
        return
    fi
    {
        printf 'pid %s/check.pid; events {} http { access_log off; ' "$STATE"
        for use in client_body proxy fastcgi uwsgi scgi; do printf '%s_temp_path %s/unused_temp; ' $use "$STATE"; done
        printf 'server { listen unix:%s/check.sock ssl; ssl_certificate %s; ssl_certificate_key %s; } }\n' "$STATE" "$1" "$1"
    } >"$STATE/check.conf"
    if said=$(nginx -t -q -e stderr -c "$STATE/check.conf" </dev/null 2>&1); then said=''; fi
    rm -f "$STATE/check.sock"
    [ -n "$said" ] || return 0
    reason=$(printf '%s\n' "$said" | sed -n 's/.*\[emerg\] \([0-9#]*: \)\{0,1\}//p' | head -n 1)
    printf '%s\n' "${reason:-$said}" | sed 's/.*:://; s/)$//'
}

# take_pair: the certificate for nginx's start
take_pair() {
    [ -n "$CERT" ] || return 0
    [ -r "$CERT" ] || fail "GATEBOOK_TLS_CERT is $CERT, which user $(id -u) cannot read" "$READABLE"
    [ -r "$KEY" ] || fail "GATEBOOK_TLS_KEY is $KEY, which user $(id -u) cannot read" "$READABLE"
    pair "$PAIR" || fail "no room for the certificate in $STATE" "mount a larger tmpfs on $STATE"
    why=$(trouble "$PAIR")
    [ -z "$why" ] || fail "GATEBOOK_TLS_CERT $CERT and GATEBOOK_TLS_KEY $KEY cannot be used: $why" "$PEM"
}

# renew PID: have nginx take a pair that has changed, and is right. Of one that is wrong, the second look says so, once:
# at the first one somebody may be in the middle of writing it.
renew() {
    if pair "$PAIR.next"; then new=$(cksum <"$PAIR.next"); else new=unreadable; fi
    if [ "$new" = "$(cksum <"$PAIR")" ]; then
        WRONG='' TOLD=''
        return
    fi
    [ "$new" != "$TOLD" ] || return 0
    if [ "$new" = unreadable ]; then why="user $(id -u) cannot read it"; else why=$(trouble "$PAIR.next"); fi
    if [ -z "$why" ]; then
        mv "$PAIR.next" "$PAIR" && kill -HUP "$1"
        echo "the certificate has changed: nginx takes it" >&2
    elif [ "$new" = "$WRONG" ]; then
        TOLD=$new
        echo "the certificate in $CERT and $KEY has changed and cannot be used, the one before stays: $why" >&2
    fi
    WRONG=$new
}

# tidy PID: until nginx has ended; not before its pid file is there, since until then a signal would kill it. Whatever
# goes wrong, such as a full disk, may pass.
tidy() {
    limit=$(bytes GATEBOOK_ACCESS_LOG_LIMIT 1GiB)
    WRONG='' TOLD=''
    while kill -0 "$1" 2>/dev/null; do
        sleep "$TIDY_EVERY_S"
        [ "$(cat "$STATE/nginx.pid" 2>/dev/null)" = "$1" ] || continue
        [ -z "$CERT" ] || renew "$1" || :
        if [ -f "$ACCESS_LOG" ] && [ ! -L "$ACCESS_LOG" ]; then
            rotate "$1" "$limit" || :
            prune "$limit" || :
        fi
    done
}

case ${1:-run} in
    print) configuration ;;
    healthy) healthy ;;
    tidy) tidy "$2" ;;
    run)
        configuration >"$STATE/nginx.conf"
        bytes GATEBOOK_ACCESS_LOG_LIMIT 1GiB >/dev/null
        check_log
        take_pair
        rm -f "$STATE/nginx.pid"
        sh "$0" tidy $$ & # a child of nginx's, once this shell has become nginx; it ends with the container
        exec nginx -e stderr -c "$STATE/nginx.conf" -g 'daemon off;'
        ;;
    *) fail "unknown word '$1'" "start.sh [run|print|healthy|tidy PID]" ;;
esac
