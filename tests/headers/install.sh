#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs into a scratch folder and builds a stranger's program against it: by pkg-config, by naming libcoracle.a and
# nothing else, and by find_package. Each runs at once: no LD_LIBRARY_PATH, no ldconfig.
# usage: install.sh CMAKE BUILD_DIR CC VERSION
set -eu
cmake=$1 build=$2 cc=$3 version=$4
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$cmake" --install "$build" --prefix "$scratch/usr" >"$scratch/log"
pc=$(find "$scratch/usr" -name coracle.pc)
libdir=$(dirname "$(dirname "$pc")")
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
flags() { pkg-config "$@" coracle; }

cat >"$scratch/use.c" <<'C'
#include <coracle.h>
#include <stdio.h>
static int hello(void *arg)
{
    (void)arg;
    puts(cor_version());
    return 7;
}
int main(void)
{
    return cor_run(hello, NULL, NULL);
}
C

check() {
    status=0
    text=$("$@") || status=$?
    if [ "$status" -ne 7 ] || [ "$text" != "$version" ]; then
        echo "$*: exit $status, printed '$text', expected 7 and '$version'" >&2
        exit 1
    fi
}

unset LD_LIBRARY_PATH LIBRARY_PATH
# shellcheck disable=SC2046 # flags are words
"$cc" "$scratch/use.c" $(flags --cflags --libs) -o "$scratch/shared"
check "$scratch/shared"
"$cc" "$scratch/use.c" -I"$scratch/usr/include" "$libdir/libcoracle.a" -o "$scratch/static"
check "$scratch/static"
# shellcheck disable=SC2046
"$cc" -static "$scratch/use.c" $(flags --cflags --libs --static) -o "$scratch/alone"
check "$scratch/alone"

mkdir "$scratch/find"
mv "$scratch/use.c" "$scratch/find"
cat >"$scratch/find/CMakeLists.txt" <<'C'
cmake_minimum_required(VERSION 3.25)
project(use C)
find_package(coracle 0.1 REQUIRED)
add_executable(use use.c)
target_link_libraries(use coracle::coracle)
add_executable(use_static use.c)
target_link_libraries(use_static coracle::coracle_static)
C
"$cmake" -S "$scratch/find" -B "$scratch/find/b" -DCMAKE_PREFIX_PATH="$scratch/usr" -DCMAKE_C_COMPILER="$cc" \
    >>"$scratch/log"
"$cmake" --build "$scratch/find/b" >>"$scratch/log"
check "$scratch/find/b/use"
check "$scratch/find/b/use_static"

# A package puts things below /usr, where the loader looks by itself.
DESTDIR=$scratch/package "$cmake" --install "$build" --prefix /usr >>"$scratch/log"
if grep rpath "$(find "$scratch/package/usr" -name coracle.pc)" || ! grep -q rpath "$pc"; then
    echo "coracle.pc: -rpath belongs into it everywhere but below /usr" >&2
    exit 1
fi
[ ! -e "$build/coracle" ] || [ -x "$scratch/usr/bin/coracle" ]
echo "shared, static and find_package work"
