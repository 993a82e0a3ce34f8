#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the Debian packages that are missing; does nothing, quickly, when all are there.
# usage: deps.sh run|test|check|bench|browser|rivals|package|try|docs  try includes package, and that run, all others
# test, and that run; --list prints names
set -eu

# python3 makes the manual pages.
run="build-essential cmake pkg-config python3 libjson-c-dev liburing-dev libc-ares-dev libmicrohttpd-dev libsystemd-dev
libseccomp-dev libnats-dev libwslay-dev nettle-dev"
# valgrind needs libc6-dbg to know the dynamic loader.
test="libcmocka-dev valgrind libc6-dbg strace mandoc cmark-gfm golang-go netcat-openbsd ncat socat iproute2 procps
redis-tools nats-server openssl libhiredis-dev python3-dnslib curl python3-prometheus-client
python3-websockets zsh fish"
check="clang clang-tidy clang-format libclang-rt-14-dev gcovr abigail-tools reuse"
# Who is compared with, and what draws the plots.
bench="libuv1-dev libevent-dev nats-server redis-server gnuplot-nox"
# The status page is tested in it. It is big, and without it that test is skipped.
browser="chromium fonts-dejavu-core"
# Who is attacked beside ours (tests/attack/rivals.py).
rivals="nats-server redis-server ucspi-tcp haproxy"
# `make package`.
package="debhelper lintian"
# `make try`: a bare Debian, systemd in it, and a container.
try="mmdebstrap systemd-container buildah"
# `make docs`.
docs="python3 cmark-gfm mandoc"
# The emulated run makes sense only where the machine is not ARM itself.
emulate="qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross"

list=no
if [ "${1-}" = --list ]; then
    list=yes
    shift
fi
case "${1-}" in
run) packages=$run ;;
test) packages="$run $test" ;;
check)
    packages="$run $test $check"
    [ "$(uname -m)" = aarch64 ] || packages="$packages $emulate"
    ;;
bench) packages="$run $test $bench" ;;
browser) packages="$run $test $browser" ;;
rivals) packages="$run $test $rivals" ;;
package) packages="$run $package" ;;
try) packages="$run $package $try" ;;
docs) packages=$docs ;;
*)
    echo "usage: $0 [--list] run|test|check|bench|browser|rivals|package|try|docs" >&2
    exit 2
    ;;
esac
if [ "$list" = yes ]; then
    echo "$packages" | tr ' ' '\n'
    exit 0
fi

if ! command -v dpkg-query >/dev/null; then
    echo "deps: no Debian here; needed are the equivalents of: $packages" >&2
    exit 0
fi

missing=
for package in $packages; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=absent
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "deps: missing:$missing" >&2
        echo "deps: become root and run: apt-get install -y$missing" >&2
        exit 1
    fi
    root=sudo
fi

echo "deps: installing$missing"
install() {
    # shellcheck disable=SC2086 # words on purpose
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The package lists may be absent (a fresh container) or too old: fetch them only then.
if ! install >"$log" 2>&1; then
    $root env DEBIAN_FRONTEND=noninteractive apt-get update >>"$log" 2>&1 || true
    if ! install >>"$log" 2>&1; then
        tail -n 30 "$log" >&2
        echo "deps: could not install:$missing" >&2
        exit 1
    fi
fi
