#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the container of this tree and runs it as an engine would that is told to be strict: a read-only root, the
# image's user without any privilege, a network of its own. buildah builds it in a chroot, so there is no engine; root
# is needed. packaging/try.sh calls it.
# usage: packaging/container/try.sh BASE.TAR   with a bare Debian 12 in it
set -eu
say() { echo "try: $*"; }

# In namespaces of its own: runs the words of one file, and asks by those of the other.
run_image() {
    root=$1 user=$2 serve=$3 health=$4
    ip link set lo up
    mount --bind "$root" "$root"
    mount -o remount,ro,bind "$root"
    mount -t proc proc "$root/proc"
    there="chroot $root setpriv --reuid ${user%:*} --regid ${user#*:} --clear-groups --bounding-set=-all
        --inh-caps=-all --no-new-privs"
    if $there touch /var/tmp/file 2>/dev/null; then
        say "the root can be written"
        exit 1
    fi
    # shellcheck disable=SC2046 # words, none with a blank
    $there $(cat "$serve") >"$serve.out" 2>&1 &
    server=$!
    tries=0
    # shellcheck disable=SC2046
    until $there $(cat "$health") >"$health.out" 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || { cat "$serve.out" "$health.out" >&2; exit 1; }
        sleep 0.1
    done
    [ "$(printf 'hello\n' | $there timeout 5 coracle dial 127.0.0.1:9999)" = hello ]
    kill -TERM "$server"
    wait "$server" || { say "it ended with $?"; exit 1; }
    # shellcheck disable=SC2046
    if $there $(cat "$health") >"$health.out" 2>&1; then
        say "healthy, and not there"
        exit 1
    fi
    say "as user $user, read-only: $(tr '\n' ' ' <"$serve")is healthy and echoes"
}
if [ "$1" = --run ]; then
    shift
    run_image "$@"
    exit 0
fi

here=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
# What buildah keeps lies in the folder, too.
cat >"$folder/storage.conf" <<END
[storage]
driver = "vfs"
graphroot = "$folder/images"
runroot = "$folder/run"
END
export CONTAINERS_STORAGE_CONF="$folder/storage.conf" BUILDAH_ISOLATION=chroot TMPDIR="$folder"
trap 'buildah umount --all >/dev/null 2>&1 || true; rm -rf --one-file-system "$folder"' EXIT

base=$(buildah from scratch)
buildah add --quiet "$base" "$1" / >"$folder/log"
buildah commit --quiet --rm "$base" base >>"$folder/log" 2>&1
buildah build --format docker --build-arg BASE=localhost/base -t coracle -f "$here/packaging/container/Containerfile" \
    "$here" >"$folder/log" 2>&1 || { tail -n 30 "$folder/log" >&2; exit 1; }
root=$(buildah mount "$(buildah from --pull-never localhost/coracle)")
say "the image is built, with $(du -shx "$root" | cut -f1)"

# A field of what the image says of itself: its words, one a line.
words() {
    buildah inspect --type image --format "{{range .Docker.Config.$1}}{{println .}}{{end}}" localhost/coracle | grep .
}
{ words Entrypoint; words Cmd; } >"$folder/serve"
words Healthcheck.Test >"$folder/health"
[ "$(head -n 1 "$folder/health")" = CMD ]
sed -i 1d "$folder/health"
unshare --mount --net --pid --fork sh "$0" --run "$root" \
    "$(buildah inspect --type image --format '{{.Docker.Config.User}}' localhost/coracle)" "$folder/serve" "$folder/health"
