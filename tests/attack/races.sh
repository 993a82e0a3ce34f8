#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the C suites under TSan with 1, 2, 8 and 64 workers over both pollers, then simulated rooms of many seeds.
# usage: races.sh [BUILD_FOLDER [PATTERN]]     default: build/tsan, all of test_net_*, test_stress_*, test_contract_*
# Build first: cmake --preset tsan && cmake --build --preset tsan. WORKERS="2 64" and POLLERS="epoll" run less,
# SEEDS=10000 is how many rooms. A suite that says it cannot run here (77) counts as skipped.
set -u
build=${1:-build/tsan}
pattern=${2:-'test_net_* test_stress_* test_contract_*'}
export TSAN_OPTIONS="halt_on_error=0:second_deadlock_stack=1:history_size=4:exitcode=66"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
run=0
skipped=0
failed=
for poller in ${POLLERS:-epoll io_uring}; do
    for workers in ${WORKERS:-1 2 8 64}; do
        for name in $pattern; do
            for test in "$build"/tests/$name; do
                [ -x "$test" ] && [ ! -d "$test" ] || continue
                run=$((run + 1))
                COR_POLLER=$poller COR_WORKERS=$workers COR_RESOLV_CONF= COR_SANITIZE=thread timeout 600 "$test" \
                    >"$log" 2>&1
                code=$?
                if [ $code -eq 77 ]; then
                    skipped=$((skipped + 1))
                elif [ $code -ne 0 ] || grep -q 'WARNING: ThreadSanitizer' "$log"; then
                    failed="$failed $(basename "$test")/$poller/$workers"
                    echo "FAILED with $code: COR_POLLER=$poller COR_WORKERS=$workers $test"
                    tail -n 40 "$log"
                fi
            done
        done
    done
done
if [ $run -eq 0 ]; then
    echo "races: no test in $build/tests"
    exit 1
fi
room=${ROOM:-build/release/tests/test_sim_room}
if [ -x "$room" ]; then
    "$room" --seeds 1 "${SEEDS:-10000}" || failed="$failed simulated"
else
    echo "races: no $room, no simulated rooms"
    failed="$failed no-simulation"
fi
echo "races: $run runs, $skipped skipped, failed:${failed:- none}"
[ -z "$failed" ]
