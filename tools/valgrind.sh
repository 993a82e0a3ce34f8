#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the unit tests that the build has listed under valgrind, with one worker each.
# usage: valgrind.sh BUILD_DIR
set -u
list=$1/valgrind-tests.txt
if [ ! -s "$list" ]; then
    echo "valgrind: no tests listed in $list"
    exit 0
fi

logs=$1/valgrind
mkdir -p "$logs"
suppressions=
[ ! -f tests/support/valgrind.supp ] || suppressions=--suppressions=tests/support/valgrind.supp

# One test: its name and verdict on a line; its output only if it failed. 77 is a skip.
one='
name=$(basename "$1")
log=$2/$name.log
timeout 240 valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --fair-sched=yes $3 \
    "$1" >"$log" 2>&1 </dev/null
status=$?
case $status in
0) echo "valgrind: ok      $name" ;;
77) echo "valgrind: skipped $name" ;;
*)
    echo "valgrind: FAILED  $name (exit $status)"
    tail -n 60 "$log"
    exit 1
    ;;
esac'
COR_WORKERS=1 COR_POLLER=epoll COR_VALGRIND=1 \
    xargs -a "$list" -P "$(nproc)" -I{} sh -c "$one" one {} "$logs" "$suppressions"
status=$?
echo "valgrind: $(wc -l <"$list") tests, $([ "$status" -eq 0 ] && echo "none failed" || echo "some FAILED")"
[ "$status" -eq 0 ]
