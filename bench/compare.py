#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares this tree's build with that of an earlier commit: has a change made anything slower?

The earlier commit is checked out and built below build/before/. Then each scenario of side_by_side.py that measures
coracle is run with both builds in turn (A B, B A, ...): each sample has a fresh process, and the ratio of this build to
the earlier one is formed within a round. The table gives the median of the rounds' ratios with the least and the most.
A line above --limit is marked, and the exit code is 1. A line that one of the builds does not have is left out.

With --instructions the primitives are compared by executed instructions instead (valgrind's callgrind), which repeat to
the last one whatever else the machine does. They tell nothing of caches and of the kernel.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys

import report
import scenarios
from sampling import Failed, Sampler, disturbed, same_state
from servers import HERE, Missing, command, need_two_cpus, raise_file_limit

ROOT = os.path.dirname(HERE)
OURS = scenarios.OURS + scenarios.LOGGED + ("room", "room_uring")
SKIPPED = ("control", "system_calls")  # no cost of ours


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("commit", help="the commit to compare with")
    parser.add_argument("--only", default="", metavar="NAME,...", help="scenarios whose names begin so")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="that a sample is measured")
    parser.add_argument("--warmup", type=float, default=0.3)
    parser.add_argument("--tries", type=int, default=3, help="of a sample that is disturbed")
    parser.add_argument("--limit", type=float, default=1.02, help="ratio from which a line is marked")
    parser.add_argument("--instructions", action="store_true",
                        help="count the instructions of the primitives, measure no time")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"), metavar="DIR")
    parser.add_argument("--output", metavar="FILE", help="keep all samples there, as JSON")
    return parser.parse_args()


def run(*argv, **how):
    subprocess.run(argv, check=True, **how)


def build_before(commit):
    """Checks the commit out and builds it; the folder of its build."""
    found = subprocess.run(["git", "-C", ROOT, "rev-parse", "--verify", commit + "^{commit}"], capture_output=True,
                           text=True, check=False)
    if found.returncode != 0:
        raise SystemExit("%s is no commit of this repository" % commit)
    name = found.stdout.strip()
    folder = os.path.join(ROOT, "build", "before", name[:12])
    if not os.path.isdir(folder):
        run("git", "-C", ROOT, "worktree", "prune")
        run("git", "-C", ROOT, "worktree", "add", "--detach", folder, name, stdout=subprocess.DEVNULL)
    print("building %s in %s ..." % (commit, os.path.relpath(folder)), file=sys.stderr)
    run("cmake", "--preset", "release", "-DCOR_BUILD_TESTS=OFF", cwd=folder, stdout=subprocess.DEVNULL)
    run("cmake", "--build", "--preset", "release", cwd=folder, stdout=subprocess.DEVNULL)
    return os.path.join(folder, "build", "release")


def ours(one):
    return [entry for entry in one.entries if entry.server in OURS or entry.server.startswith("bench_")]


def choose(only):
    chosen = [one for one in scenarios.all_scenarios(False) if one.name not in SKIPPED
              and one.name.startswith(tuple(only.split(",")))]
    for one in chosen:
        one.entries = ours(one)
    return [one for one in chosen if one.entries]


def sampler_of(build, tools, chosen, options):
    """A sampler for the servers and benchmarks of one build. Load generators are always this tree's."""
    servers = {entry.server for one in chosen for entry in one.entries if not entry.server.startswith("bench_")}
    made = Sampler(tools, {name: command(name, build, os.path.join(build, "bench")) for name in servers},
                   options.seconds, options.warmup, options.tries)
    tool = made.tool
    other = Sampler(build, {}, 0, 0, 0)
    made.tool = lambda name: other.tool(name) if name.startswith("bench_") else tool(name)
    return made


def figures(one, entry, sample):
    """What is compared of a sample: name of the line -> figure."""
    if one.main == "cases":
        return {"%s, %s" % (one.name, case): figure for case, figure in sample["values"].items()}
    return {"%s, %s" % (one.name, entry.key): sample["values"][one.main]}


def measure(one, samplers, rounds, kept, left_out):
    """Appends a line's ratios to `kept`: name -> list of (ratio, disturbed). What one build does not have is told."""
    for number in range(min(rounds, max(one.rounds_max, rounds if one.main != "idle_bytes" else 1))):
        for entry in list(one.entries):
            order = samplers if number % 2 == 0 else samplers[::-1]
            try:
                taken = {id(sampler): sampler.take(one, entry) for sampler in order}
            except (Failed, Missing) as reason:
                left_out.append("%s, %s is left out: %s" % (one.name, entry.key, reason))
                print(left_out[-1], file=sys.stderr)
                one.entries.remove(entry)
                continue
            now, before = (taken[id(sampler)] for sampler in samplers)
            spoilt = disturbed(now) or disturbed(before) or not same_state(now["distance"], before["distance"])
            old = figures(one, entry, before)
            for name, figure in figures(one, entry, now).items():
                if old.get(name, 0) > 0 and figure > 0:
                    ratio = old[name] / figure if one.main in report.HIGHER_IS_BETTER else figure / old[name]
                    kept.setdefault(name, []).append((ratio, spoilt, figure, old[name]))
        if not one.entries:
            return
        print("%s, round %d: %s" % (one.name, number + 1, "  ".join(
            "%s %.3f%s" % (name.partition(", ")[2], rows[-1][0], " disturbed" if rows[-1][1] else "")
            for name, rows in kept.items() if name.startswith(one.name + ","))), file=sys.stderr, flush=True)


def instructions(build, program, case):
    """Instructions per operation of one case: the difference of two runs leaves start and end out."""
    counted = []
    for operations in (20000, 60000):
        out = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                              os.path.join(build, "bench", program), "--only", case, "--ops", str(operations),
                              "--rounds", "1"], capture_output=True, text=True, check=True,
                             env=dict(os.environ, COR_WORKERS="1")).stderr
        counted.append(int(re.search(r"Collected : (\d+)", out)[1]))
    return (counted[1] - counted[0]) / 40000


def count(builds, kept):
    """Compares all cases of all primitives by instructions."""
    primitives = next(one for one in scenarios.all_scenarios(False) if one.name == "primitives")
    for entry in primitives.entries:
        listed = subprocess.run([os.path.join(builds[0], "bench", entry.server), "--rounds", "1", "--ops", "1"],
                                capture_output=True, text=True, check=True).stdout
        for case in (line.split()[0] for line in listed.splitlines() if " ns/op" in line):
            if case.endswith("_across") or case.startswith("tcp_"):
                continue  # threads and the kernel decide
            now, before = (instructions(build, entry.server, case) for build in builds)
            print("%s: %.1f, was %.1f" % (case, now, before), file=sys.stderr, flush=True)
            if before > 0:
                kept["instructions, " + case] = [(now / before, False, now, before)]


def table(kept, limit):
    """The lines, and whether one is above the limit. Disturbed rounds count only if there are no others."""
    lines, above = ["| line | this build to the earlier one | rounds | undisturbed | |", "|---|---|---|---|---|"], False
    for name, rows in kept.items():
        calm = [row[0] for row in rows if not row[1]]
        used = calm or [row[0] for row in rows]
        worse = statistics.median(used) > limit
        above = above or worse
        lines.append("| %s | %s | %d | %d | %s |" % (name, report.spread(used), len(rows), len(calm),
                                                    "**above %g**" % limit if worse else ""))
    return lines, above


def main():
    options = arguments()
    need_two_cpus()
    raise_file_limit()
    chosen = [] if options.instructions else choose(options.only)
    if not chosen and not options.instructions:
        raise SystemExit("no scenario begins with %s" % options.only)
    builds = (options.build, build_before(options.commit))
    samplers = [sampler_of(build, options.build, chosen, options) for build in builds]
    kept, left_out = {}, []
    if options.instructions:
        count(builds, kept)
    for one in chosen:
        measure(one, samplers, options.rounds, kept, left_out)
        if options.output:
            with open(options.output, "w", encoding="utf-8") as file:
                json.dump(kept, file, indent=1)
    lines, above = table(kept, options.limit)
    print("\n".join(lines + ([""] + left_out if left_out else [])))
    sys.exit(1 if above else 0)


if __name__ == "__main__":
    main()
