#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Plays the first seeds of the swarm and compares what happened, event by event, by the runs' hashes.

Within this build: once as usual, and once with memory elsewhere and full of other bytes, so that a run that depends on
an address or on memory that nobody has set is found. Beside other builds: what came out lies in build/same.json, with a
digest of the sources it was built from; a build of the same sources that finds another's result there must have the
same. So the release build, that with sanitizers and that of another compiler are compared as each runs its tests.

    same.py PROGRAM NAME COUNT
"""
import fcntl
import glob
import hashlib
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RECORD = os.path.join(ROOT, "build", "same.json")
OTHER_MEMORY = {"MALLOC_PERTURB_": "165", "MALLOC_TOP_PAD_": "1000000", "FILLER": "x" * 10000,
                "COR_SIM_SAME": "max_malloc_fill_size=4096:malloc_fill_byte=165"}


def sources():
    """The files that decide what a run does."""
    return sorted(path for folder in ("src", "include", "cmd/coracle", "tests/sim")
                  for path in glob.glob(os.path.join(ROOT, folder, "**", "*.[chS]"), recursive=True))


def digest(paths):
    whole = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            whole.update(f"{os.path.relpath(path, ROOT)}\n".encode() + file.read())
    return whole.hexdigest()


def play(program, count, memory):
    """A list of [seed, hash], one for each seed."""
    environment = dict(os.environ, **memory)
    if memory and "ASAN_OPTIONS" in environment:
        environment["ASAN_OPTIONS"] += ":" + memory["COR_SIM_SAME"]
    done = subprocess.run([program, "--hashes", "--seeds", "1", count], stdout=subprocess.PIPE, text=True, check=False,
                          env=environment)
    if done.returncode != 0:
        sys.exit(done.stdout)
    return [line.split() for line in done.stdout.splitlines() if line.count(" ") == 1]


def compare(one, other, what):
    for (seed, found), (_, before) in zip(one, other):
        if found != before:
            sys.exit(f"seed {seed} is another run {what}: {found}, there {before}.\n"
                     f"COR_SIM_TRACE=1 test_sim_room {seed} prints each event; diff shows where they part.")


def compare_builds(name, digested, hashes):
    """Leaves the result for other builds of these sources, and compares it with theirs: with how many."""
    with open(RECORD, "a+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        record = json.loads(text) if text else {}
        builds = record["builds"] if record.get("sources") == digested else {}
        builds.pop(name, None)
        for other, theirs in builds.items():
            compare(hashes, theirs, f"than in the build {other}")
        others = len(builds)
        builds[name] = hashes
        file.truncate(0)
        json.dump({"sources": digested, "builds": builds}, file)
        return others


def main():
    program, name, count = sys.argv[1:]
    hashes = play(program, count, {})
    if not hashes:
        sys.exit("no seed was played")
    compare(hashes, play(program, count, OTHER_MEMORY), "with memory elsewhere")
    paths = sources()
    if os.path.getmtime(program) < max(os.path.getmtime(path) for path in paths):
        print("not compared with other builds: a source is newer than the program")
        return
    print(f"{len(hashes)} runs are the same, here and in {compare_builds(name, digest(paths), hashes)} other builds")


if __name__ == "__main__":
    main()
