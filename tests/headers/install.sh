#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs into a scratch folder and builds a stranger's program against it: by pkg-config, by naming libcoracle.a and
# nothing else, and by find_package. Each runs at once: no LD_LIBRARY_PATH, no ldconfig. What find_package does not find
# it names.
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
find_package(coracle ${WANTED})
foreach(library coracle coracle_static)
  if(TARGET coracle::${library})
    add_executable(use_${library} use.c)
    target_link_libraries(use_${library} coracle::${library})
  endif()
endforeach()
C
# Has find_package asked with these words.
finds() {
    "$cmake" -S "$scratch/find" -B "$scratch/find/b" -DCMAKE_PREFIX_PATH="$scratch/usr" -DCMAKE_C_COMPILER="$cc" \
        -DWANTED="$1" >"$scratch/found" 2>&1
}
# Has find_package asked, and builds and runs what it gives: exactly these.
gives() {
    rm -rf "$scratch/find/b"
    if ! finds "$1" || ! "$cmake" --build "$scratch/find/b" >>"$scratch/found" 2>&1; then
        cat "$scratch/found" >&2
        exit 1
    fi
    shift
    got=$(cd "$scratch/find/b" && echo use_*)
    [ "$got" = "$*" ] || { echo "find_package gave $got, not $*" >&2; exit 1; }
    for program in "$@"; do
        check "$scratch/find/b/$program"
    done
}
# find_package with these words fails, and says this.
refuses() {
    if finds "$1" || ! tr -s ' \n' '  ' <"$scratch/found" | grep -qF -- "$2"; then
        cat "$scratch/found" >&2
        echo "find_package(coracle $1) has to say: $2" >&2
        exit 1
    fi
}
gives "0.1;REQUIRED" use_coracle use_coracle_static
gives "REQUIRED;COMPONENTS;shared" use_coracle
gives "$version;EXACT;REQUIRED;COMPONENTS;static;OPTIONAL_COMPONENTS;tls" use_coracle_static
if ldd "$scratch/find/b/use_coracle_static" | grep -q libcoracle; then
    echo "coracle::coracle_static is not static" >&2
    exit 1
fi
refuses "REQUIRED;COMPONENTS;static;tls" 'coracle has no component "tls"; it has shared and static'
refuses "99;REQUIRED" "coracleConfig.cmake, version: $version"
rm "$(dirname "$pc")/../cmake/coracle/coracle-static.cmake"
refuses "REQUIRED;COMPONENTS;static" "the static library of coracle is not installed"
gives "REQUIRED" use_coracle

# A package puts things below /usr, where the loader looks by itself.
DESTDIR=$scratch/package "$cmake" --install "$build" --prefix /usr >>"$scratch/log"
if grep rpath "$(find "$scratch/package/usr" -name coracle.pc)" || ! grep -q rpath "$pc"; then
    echo "coracle.pc: -rpath belongs into it everywhere but below /usr" >&2
    exit 1
fi
[ ! -e "$build/coracle" ] || [ -x "$scratch/usr/bin/coracle" ]
echo "shared, static and find_package work"
