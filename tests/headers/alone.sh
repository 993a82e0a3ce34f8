#!/bin/sh
# SPDX-License-Identifier: MIT
# Compiles each public header by itself, twice included, in strict C17 and, with a C++ compiler, in C++17; then the
# macros, whose faults show only where they are used, from C++11 on.
# usage: alone.sh INCLUDE_DIR CC [CXX]
set -u
include=$1 cc=$2 cxx=${3-}
failed=0 count=0

try() {
    header=$1
    shift
    if ! printf '#include <%s>\n#include <%s>\n' "$header" "$header" |
        "$@" -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I "$include" -; then
        echo "does not compile alone: $header with $*" >&2
        failed=1
    fi
    count=$((count + 1))
}

cd "$include" || exit 1
for header in coracle.h coracle/*.h; do
    try "$header" "$cc" -x c -std=c17 -Wstrict-prototypes
    if [ -n "$cxx" ]; then
        try "$header" "$cxx" -x c++ -std=c++17
    fi
    if [ "$header" != coracle.h ] && ! grep -q "#include <$header>" coracle.h && [ "$header" != coracle/base.h ]; then
        echo "coracle.h does not include $header" >&2
        failed=1
    fi
done

uses='#include <coracle.h>
cor_dialer dialer = COR_DIALER_INIT;
cor_listen_options listening = COR_LISTEN_INIT;
char quoted[COR_JSON_QUOTE_MAX(3)];
int64_t hour = 60 * COR_MINUTE;
'
use() {
    if ! printf '%s' "$uses" | "$@" -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I "$include" -; then
        echo "the macros do not compile with $*" >&2
        failed=1
    fi
    count=$((count + 1))
}
use "$cc" -x c -std=c17
if [ -n "$cxx" ]; then
    use "$cxx" -x c++ -std=c++11
    use "$cxx" -x c++ -std=c++20
fi
echo "$count compilations"
[ "$count" -gt 0 ] && [ "$failed" -eq 0 ]
