#!/bin/sh
# SPDX-License-Identifier: MIT
# The shared library exports cor_ names only, and every function that a header declares; the static library's global
# names begin with cor_ or cori_.
# usage: symbols.sh NM SHARED STATIC INCLUDE_DIR
set -u
nm=$1 shared=$2 static=$3 include=$4
failed=0

exported=$("$nm" -D --defined-only "$shared" | awk '{print $NF}' | sed 's/@.*//') || exit 1
if [ -z "$exported" ]; then
    echo "nothing is exported" >&2
    exit 1
fi
bad=$(printf '%s\n' "$exported" | grep -v '^cor_')
if [ -n "$bad" ]; then
    echo "exported without cor_:" $bad >&2
    failed=1
fi

global=$("$nm" -g --defined-only "$static" | awk 'NF == 3 {print $3}')
bad=$(printf '%s\n' "$global" | grep -v '^cori\{0,1\}_')
if [ -n "$bad" ]; then
    echo "global without cor_ or cori_:" $bad >&2
    failed=1
fi

declared=$(cat "$include"/coracle/*.h | grep '^COR_API' | sed 's/(.*//; s/^.*[ *]//')
for name in $declared; do
    if ! printf '%s\n' "$exported" | grep -qx "$name"; then
        echo "declared in a header but not exported: $name" >&2
        failed=1
    fi
done
for name in $exported; do
    if ! printf '%s\n' "$declared" | grep -qx "$name"; then
        echo "exported but in no header: $name" >&2
        failed=1
    fi
done
echo "$(printf '%s\n' "$exported" | wc -l) symbols exported"
exit "$failed"
