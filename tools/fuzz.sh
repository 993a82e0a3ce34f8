#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds tests/fuzz with clang and runs each target for a while, starting from its corpus; seven at a time, so that 21
# take three rounds.
# usage: fuzz.sh SECONDS
set -eu
if ! ls tests/fuzz/fuzz_*.c >/dev/null 2>&1; then
    echo "fuzz: there are no fuzz targets"
    exit 0
fi
mkdir -p build/fuzz
cmake --preset fuzz >build/fuzz/configure.log
# The program, too: this is the one build of everything in src and cmd by clang.
# shellcheck disable=SC2046
cmake --build --preset fuzz --target coracle_program $(basename -s .c tests/fuzz/fuzz_*.c)

# One target. New inputs stay in the build folder; the corpus in the repository grows by hand.
one='
name=$(basename "$1")
found=build/fuzz/corpus/$name
mkdir -p "$found"
kept=
[ ! -d "tests/fuzz/corpus/$name" ] || kept=tests/fuzz/corpus/$name
if ! "$1" -max_total_time="$2" -timeout=30 -rss_limit_mb=2048 -artifact_prefix="$found-" "$found" $kept \
    >"$found.log" 2>&1; then
    tail -n 60 "$found.log"
    echo "fuzz: $name FAILED; the input is below build/fuzz/corpus"
    exit 1
fi
echo "fuzz: $name for $2 s: $(tail -n 1 "$found.log")"'
find build/fuzz/fuzz -name 'fuzz_*' -type f -perm -u+x | sort |
    xargs -P 7 -I{} sh -c "$one" one {} "$1"
