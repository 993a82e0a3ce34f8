#!/bin/sh
# SPDX-License-Identifier: MIT
# caught.sh INCLUDE LIBRARY SOURCE COMPILER [FLAGS...]: builds the C++ program against the static library and runs it.
set -e
include=$1 library=$2 source=$3
shift 3
[ $# -gt 0 ] || { echo "no C++ compiler"; exit 77; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$@" -std=c++17 -O1 -Wall -Werror "-I$include" "$source" "$library" -pthread -o "$out/caught"
"$out/caught"
