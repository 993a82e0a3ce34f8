#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs every benchmark of the library, one after another.
# usage: bench.sh BENCH_DIR
set -eu
found=no
for program in "$1"/bench_*; do
    [ -x "$program" ] || continue
    found=yes
    "$program"
done
[ "$found" = yes ] || echo "bench: there are no benchmarks"
