#!/bin/sh
# SPDX-License-Identifier: MIT
# clang-tidy over the library and the program, with the compile commands of a build configured for clang.
# usage: tidy.sh BUILD_DIR
set -eu
files=$(ls src/*/*.c cmd/coracle/*.c cmd/coracle/*/*.c 2>/dev/null || true)
if [ -z "$files" ]; then
    echo "tidy: there are no sources"
    exit 0
fi
printf '%s\n' $files | xargs -P "$(nproc)" -n 4 clang-tidy -p "$1" --quiet
echo "tidy: nothing found"
