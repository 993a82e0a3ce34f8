#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds tests/fuzz with clang and runs each target for a while, starting from its corpus.
# usage: fuzz.sh SECONDS
set -eu
seconds=$1
if ! ls tests/fuzz/fuzz_*.c >/dev/null 2>&1; then
    echo "fuzz: there are no fuzz targets"
    exit 0
fi
mkdir -p build/fuzz
cmake --preset fuzz >build/fuzz/configure.log
cmake --build --preset fuzz
for target in build/fuzz/fuzz/fuzz_*; do
    [ -x "$target" ] || continue
    name=$(basename "$target")
    # New inputs stay in the build folder; the corpus in the repository grows by hand.
    found=build/fuzz/corpus/$name
    mkdir -p "$found"
    kept=
    [ ! -d "tests/fuzz/corpus/$name" ] || kept=tests/fuzz/corpus/$name
    echo "fuzz: $name for $seconds s"
    # shellcheck disable=SC2086 # empty when there is no corpus
    if ! "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$found-" \
        "$found" $kept >"$found.log" 2>&1; then
        tail -n 60 "$found.log"
        echo "fuzz: $name FAILED; the input is below build/fuzz/corpus"
        exit 1
    fi
    tail -n 1 "$found.log"
done
