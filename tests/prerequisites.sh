#!/bin/sh
# Install what the tests need and pip cannot bring, on Debian or Ubuntu, from the mirrors that apt is set up with: a
# Docker engine, a registry and Compose v1, a browser, a load generator. Does nothing, at once, where all is there.
set -eu

missing=
need() { # need PROGRAM PACKAGE
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

need dockerd docker.io
need docker docker.io
need docker-compose docker-compose
need docker-registry docker-registry
need mmdebstrap mmdebstrap
need ip iproute2
need iptables iptables
need chromium chromium
need wrk wrk
need strace strace
need envsubst gettext-base

[ -n "$missing" ] || exit 0
echo "installing$missing"
[ "$(id -u)" = 0 ] || {
    printf 'Error: these packages are missing and only root can install them:%s\nTry:   sudo %s\n' "$missing" "$0" >&2
    exit 1
}

# Installed as tools: the engine that the tests use they start themselves, so none is to start now. A policy-rc.d that
# is there already is left as it is.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
case "$missing" in *docker.io*) # newer releases have the client in a package of its own
    if apt-cache show docker-cli >/dev/null 2>&1; then missing="$missing docker-cli"; fi ;;
esac
# shellcheck disable=SC2086  # one package a word
apt-get -qq install -y --no-install-recommends $missing >/dev/null
