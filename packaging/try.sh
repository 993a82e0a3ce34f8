#!/bin/sh
# SPDX-License-Identifier: MIT
# Tries the packages on a bare Debian 12, which mmdebstrap makes in a temporary folder: installs the program, serves and
# dials, by hand and under systemd; then installs the library and builds README's program with pkg-config, with CMake
# (shared and static) and from coracle.c alone. At last it builds and runs the container. Takes minutes and is for root.
# The sources of apt are this machine's.
# usage: packaging/try.sh [FOLDER]   of the packages; build/package without it, made before by make package
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
packages=$(cd "${1:-$here/build/package}" && pwd)
folder=$(mktemp -d)
root=$folder/root
trap 'umount "$root/proc" 2>/dev/null || true; rm -rf --one-file-system "$folder"' EXIT

say() { echo "try: $*"; }
there="chroot $root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive"
inside() { $there "$@"; }
installs() {
    inside apt-get install -y --no-install-recommends "$@" >"$folder/log" 2>&1 || { tail -n 20 "$folder/log" >&2; exit 1; }
}

# The file of a package, as it is called inside.
deb() { (cd "$root" && echo /try/"$(basename try/"$1"_*.deb)"); }

# Runs a command that serves on 127.0.0.1 at a port that it says or that is given, and has it echo a line.
echoes() {
    port=$1
    shift
    $there "$@" >"$folder/served" 2>&1 & # not a function: its process would be a shell
    server=$!
    tries=0
    until [ "$(printf 'hello\n' | inside timeout 5 coracle dial "127.0.0.1:$port" 2>/dev/null)" = hello ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || { cat "$folder/served" >&2; kill "$server"; exit 1; }
        sleep 0.1
    done
    kill -TERM "$server"
    wait "$server" || { say "$* ended with $?"; exit 1; }
    say "$*: echoes"
}

sources=$(ls /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null || true)
# shellcheck disable=SC2086 # words on purpose
mmdebstrap --quiet --variant=minbase bookworm "$folder/base.tar" $sources
mkdir "$root"
tar -xf "$folder/base.tar" -C "$root"
mount -t proc proc "$root/proc"
cp /etc/resolv.conf "$root/etc/resolv.conf"
mkdir "$root/try"
cp "$packages"/*.deb "$root/try/"
inside apt-get update >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }

installs "$(deb coracle)"
say "$(inside coracle --version | head -n 1) is installed, with $(du -shx "$root" | cut -f1) of system"
inside sh -c 'ls /lib/systemd/system/coracle.service /lib/systemd/system/coracle.socket' >/dev/null
inside getent passwd coracle >/dev/null
[ ! -e "$root/etc/systemd/system/multi-user.target.wants/coracle.service" ]
echoes 9999 coracle serve -q echo

# systemd boots there with one thing to do, and ends with its exit status.
inside systemd-analyze verify --man=no coracle.service coracle.socket
cat >"$root/etc/systemd/system/try.service" <<'END'
[Unit]
SuccessAction=exit
FailureAction=exit
JobTimeoutSec=60
JobTimeoutAction=exit-force
[Service]
Type=oneshot
ExecStart=/bin/sh -ex /try/booted
StandardOutput=file:/try/booted.log
StandardError=inherit
TimeoutStartSec=60
END
cat >"$root/try/booted" <<'END'
systemctl cat coracle.service coracle.socket
systemctl enable --now coracle.socket
[ "$(systemctl is-active coracle.service)" = inactive ]
[ "$(printf 'hello\n' | timeout 10 coracle dial 127.0.0.1:9999)" = hello ]
[ "$(systemctl is-active coracle.service)" = active ]
[ "$(systemctl show -P User coracle)" = coracle ]
coracle status --live unix:///run/coracle/admin.sock
systemctl reload coracle
systemctl disable --now coracle.socket
systemctl stop coracle
[ "$(systemctl show -P Result coracle)" = success ]
END
umount "$root/proc" # it would take this machine's processes for its own
systemd-nspawn --quiet --register=no --keep-unit --private-network --directory "$root" --boot \
    -- --unit=try.service >"$folder/log" 2>&1 </dev/null || { cat "$folder/log" "$root/try/booted.log" >&2; exit 1; }
mount -t proc proc "$root/proc"
rm "$root/etc/systemd/system/try.service"
say "systemd: started by its first client, healthy, reloaded and stopped"

installs "$(deb libcoracle0)" "$(deb libcoracle-dev)" gcc libc6-dev pkg-config cmake make python3-minimal man-db
# shellcheck disable=SC2016 # no shell's
sed -n '/^```c$/,/^```$/p' "$here/README.md" | sed '/^```/d' >"$root/try/echo.c"
# shellcheck disable=SC2016 # for the shell inside
inside sh -ec 'cd /try; cc echo.c $(pkg-config --cflags --libs coracle) -o with-pkg-config
cc echo.c $(pkg-config --cflags --libs --static coracle) -o with-pkg-config-static'
echoes 7000 /try/with-pkg-config
cat >"$root/try/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(try LANGUAGES C)
find_package(coracle REQUIRED)
add_executable(shared echo.c)
target_link_libraries(shared coracle::coracle)
add_executable(static echo.c)
target_link_libraries(static coracle::coracle_static)
END
inside sh -ec 'cd /try; cmake -B cmade >cmake.log; cmake --build cmade >>cmake.log'
inside ldd /try/cmade/shared | grep -q libcoracle.so.0
if inside ldd /try/cmade/static | grep -q libcoracle; then
    say "static is not"
    exit 1
fi
echoes 7000 /try/cmade/shared
echoes 7000 /try/cmade/static
python3 -B "$here/tools/amalgamate.py" "$root/try/alone"
inside apt-get purge -y libcoracle-dev libcoracle0 >"$folder/log" 2>&1
inside sh -ec 'cd /try/alone; cc -O2 ../echo.c coracle.c -I. -pthread -o alone'
echoes 7000 /try/alone/alone
inside apt-get purge -y coracle >"$folder/log" 2>&1
[ -z "$(inside sh -c 'find / -xdev -path /try -prune -o -path /proc -prune -o -name "*coracle*" -print')" ]
say "nothing is left after apt-get purge"
"$here/packaging/container/try.sh" "$folder/base.tar"
say "all passed"
