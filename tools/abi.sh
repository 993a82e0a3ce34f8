#!/bin/sh
# SPDX-License-Identifier: MIT
# Compares what libcoracle.so offers with what it offered at the last tag. A program linked then has to run with it now:
# what was added is fine, what has changed or gone is an error. Without a tag there is nothing to compare with.
# usage: tools/abi.sh BUILD_FOLDER   which has a libcoracle.so
set -eu
cd "$(dirname "$0")/.."
tag=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null) || {
    echo "abi: no version is tagged yet, nothing to compare with"
    exit 0
}
old=build/abi/$tag
if [ ! -e "$old/build/libcoracle.so" ]; then
    rm -rf "$old"
    mkdir -p "$old/source"
    git archive "$tag" | tar -x -C "$old/source"
    cmake -S "$old/source" -B "$old/build" -DCOR_BUILD_TESTS=OFF -DCOR_BUILD_EXAMPLES=OFF -DCOR_BUILD_BENCH=OFF \
        -DCOR_BUILD_PROGRAM=OFF >"$old/log"
    cmake --build "$old/build" --target coracle_shared >>"$old/log" 2>&1
fi
abidiff --no-added-syms --headers-dir1 "$old/source/include" --headers-dir2 include \
    "$old/build/libcoracle.so" "$1/libcoracle.so"
echo "abi: as at $tag"
