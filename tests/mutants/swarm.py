#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Puts faults back, one after the other, and lets the swarm of tests/sim look for each: how many seeds does it need?

A mutant takes part if it names `sim.room` among its `tests:` (README.md tells the format). It is found if a seed of the
first SEEDS fails, and fails in the same way when it is run again alone. The table says how many seeds that took, how
much time on the runs' own clocks, and how much real time. The copy of the tree lies in build/mutants/swarm.
"""
import argparse
import fnmatch
import os
import re
import subprocess
import sys
import time

import mutant as mutants
import run as runner

TEST = "sim.room"
FOUND = re.compile(r"^seed (\d+): (.*)$", re.MULTILINE)
SWEPT = re.compile(r"^(\d+) seeds from .*?: ([0-9.]+) s, .* ([0-9]+) virtual s", re.MULTILINE)


def prepare(jobs):
    """A copy of the tree, configured, with the swarm built."""
    runner.TREE = os.path.join(os.path.dirname(os.path.dirname(mutants.HERE)), "build", "mutants", "swarm")
    runner.BUILD = os.path.join(runner.TREE, "build", "release")
    runner.copy_tree()
    os.makedirs(runner.BUILD, exist_ok=True)
    subprocess.run(runner.CONFIGURE, cwd=runner.TREE, capture_output=True, check=True)
    said = runner.make({"test_sim_room"}, jobs)
    if said:
        sys.exit(f"swarm: the copy in {runner.TREE} does not build:\n{said[-4000:]}")


def swarm(arguments):
    done = subprocess.run([os.path.join(runner.BUILD, "tests", "test_sim_room"), *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, errors="replace", timeout=600, check=False)
    return done.returncode, done.stdout


def look_for(seeds):
    """What the sweep finds: (seed, what, virtual s, real s), or None."""
    code, said = swarm(["--seeds", "1", str(seeds)])
    found, swept = FOUND.search(said), SWEPT.search(said)
    if code == 0 or found is None:
        return None
    again, text = swarm([found[1]])
    same = again != 0 and (again < 0 or found[2] in text)
    what = found[2] if same else found[2] + " (NOT AGAIN)"
    return int(found[1]), what, int(swept[3]) if swept else 0, float(swept[2]) if swept else 0.0


def try_one(mutant, files, options):
    """A row of the table, and whether it was found."""
    changed = {}
    try:
        changed = mutants.mutate(mutant, files)
        for path, text in changed.items():
            runner.write(os.path.join(runner.TREE, path), text.encode())
        said = runner.make({"test_sim_room"}, options.jobs)
        found = None if said else look_for(options.seeds)
    finally:
        for path in changed:
            runner.write(os.path.join(runner.TREE, path), "\n".join(files[path]).encode())
    if said:
        return f"| {mutant.title} | does not build | | | |", False
    if found is None:
        return f"| {mutant.title} | NOT FOUND in {options.seeds} | | | |", False
    seed, what, virtual_s, real_s = found
    return f"| {mutant.title} | {seed} | {virtual_s} | {real_s:.1f} | {what} |", "NOT AGAIN" not in what


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PATTERN", help="any mutants whose name fits a glob, as in 'room/*,sim/*'")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("CTEST_PARALLEL_LEVEL", "2")))
    options = parser.parse_args()
    wanted = (options.only or "").split(",")
    chosen = [one for one in mutants.load()
              if (any(fnmatch.fnmatch(one.name, glob) for glob in wanted) if options.only else TEST in one.tests)]
    prepare(options.jobs)
    files = mutants.c_files(runner.TREE)
    print("| what is broken | seeds needed | virtual s | real s | what the run says |\n|---|---|---|---|---|",
          flush=True)
    all_found = True
    for mutant in chosen:
        began = time.monotonic()
        row, found = try_one(mutant, files, options)
        all_found = all_found and found
        print(row, flush=True)
        print(f"  {mutant.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return 0 if all_found else 1


if __name__ == "__main__":
    sys.exit(main())
