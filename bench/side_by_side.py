#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares coracle with bare kernel loops and with other servers on one machine, scenario by scenario.

What is compared first of all is the server's CPU time per message. Servers take turns (A B C, B C A, ...), each sample
has a fresh process, the server has one CPU and the load generator another. Before and after each sample the distance
between the two CPUs is measured: when it differs, or when other programs used CPU time meanwhile, the sample is taken
again, and a round whose samples saw the machine in different states is taken again as a whole. Servers are compared
within a round, and the median of the rounds' ratios is given. README.md says how to read the result.

Everything is kept in DIR/result.json after each sample; --resume goes on where an interrupted run has stopped.
"""
import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import time

import report
import scenarios
from sampling import Failed, Sampler, disturbed, same_state
from servers import HERE, Missing, about, command, need_two_cpus, raise_file_limit

ROOT = os.path.dirname(HERE)
QUICK = {"rounds": 2, "seconds": 0.3, "warmup": 0.1, "tries": 1}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", default="", metavar="NAME,...", help="these scenarios, or all whose names begin so")
    parser.add_argument("--list", action="store_true", help="list the scenarios and end")
    parser.add_argument("--servers", default="", metavar="NAME,...", help="only these")
    parser.add_argument("--with", action="append", default=[], dest="extra", metavar="NAME=COMMAND",
                        help="an echo server to compare as well; it prints `listening echo tcp ADDRESS`")
    parser.add_argument("--connections", default="", metavar="N,...",
                        help="instead of the scenarios: echo with so many connections, --size and --depth")
    parser.add_argument("--size", type=int, default=64, help="bytes of a message")
    parser.add_argument("--depth", type=int, default=1, help="messages under way per connection")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="that a sample is measured")
    parser.add_argument("--warmup", type=float, default=0.3)
    parser.add_argument("--tries", type=int, default=3,
                        help="of a sample that is disturbed, and of a round in which the machine changed")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.3 s, few connections: to try it out")
    # Not a real-time class: within it Go's background threads would not come to run, and connections would starve.
    parser.add_argument("--priority", action="store_true",
                        help="run everything at the highest niceness (root; for a machine that others use too)")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"), metavar="DIR")
    parser.add_argument("--output", metavar="DIR", help="for results, default build/bench/<date and time>")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output, or with the newest one")
    options = parser.parse_args()
    if options.quick:
        for name, value in QUICK.items():
            if getattr(options, name) == parser.get_default(name):
                setattr(options, name, value)
    return options


def note(text):
    print(text, file=sys.stderr, flush=True)


def take_priority():
    """The highest niceness, for this process and its children; sessions share the CPU before processes do."""
    os.nice(-20)
    try:
        if os.getsid(0) != os.getpid():
            os.setsid()
        with open("/proc/self/autogroup", "w", encoding="ascii") as file:
            file.write("-20")
    except OSError as error:
        note("--priority: %s" % error)


def choose(options):
    """The scenarios to measure, with the servers in each."""
    if options.connections:
        chosen = [scenarios.echo(count, options.size, options.depth,
                                 "Echo, %d B, %d connections, %d under way on each" % (
                                     options.size, count, options.depth))
                  for count in map(int, options.connections.split(","))]
    else:
        known = scenarios.all_scenarios(options.quick)
        names = {one.name for one in known}
        starts = [start for start in options.only.split(",") if start not in names]
        chosen = [one for one in known if one.name in options.only.split(",") or one.name.startswith(tuple(starts))]
    if not chosen:
        raise SystemExit("no scenario begins with %s; --list lists them" % options.only)
    names = options.servers.split(",")
    for one in chosen:
        if options.servers:
            one.entries = [entry for entry in one.entries if entry.server in names]
        if one.name.startswith(("echo", "churn")):
            for text in options.extra:
                name = text.partition("=")[0]
                one.entries.append(scenarios.Entry(name, name, one.entries[0].load))
    return [one for one in chosen if one.entries]


def find_commands(options, chosen):
    """The commands of all servers that the scenarios need; entries whose server is not installed are taken out."""
    found, missing = {}, {}
    for text in options.extra:
        name, _, rest = text.partition("=")
        found[name] = rest.split()
    for name in {entry.server for one in chosen for entry in one.entries} - set(found):
        try:
            found[name] = [] if name.startswith("bench_") else command(
                name, options.build, os.path.join(options.build, "bench"))
        except Missing as reason:
            missing[name] = str(reason)
            note("%s is left out: %s" % (name, reason))
    for one in chosen:
        one.entries = [entry for entry in one.entries if entry.server not in missing]
    return found


def output_folder(options, kind="bench"):
    folder = os.path.join(ROOT, "build", kind)
    if options.output:
        folder = options.output
    elif options.resume:
        runs = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        runs = [name for name in runs if os.path.exists(os.path.join(folder, name, "result.json"))]
        if not runs:
            raise SystemExit("there is no run in %s to go on with" % folder)
        folder = os.path.join(folder, runs[-1])
    else:
        folder = os.path.join(folder, datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S"))
    os.makedirs(folder, exist_ok=True)
    return folder


def commit():
    out = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True,
                         check=False)
    return out.stdout.strip() or "unknown"


class Run:
    """All samples of one run, kept in a file."""

    def __init__(self, folder, options):
        self.path = os.path.join(folder, "result.json")
        self.data = {"date": datetime.datetime.now().strftime("%Y-%m-%d %H:%M"), "machine": about(),
                     "commit": commit(), "rounds": options.rounds, "seconds": options.seconds,
                     "scenarios": {}}
        if options.resume and os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                self.data = json.load(file)
            if self.data["seconds"] != options.seconds:
                raise SystemExit("--resume: that run was made with --seconds %g" % self.data["seconds"])
            if self.data["commit"] != commit():
                note("warning: the run was begun at commit %s, this is %s" % (self.data["commit"], commit()))

    def scenario(self, one):
        """What is known of a scenario: its title, the labels of its entries, the rounds, what failed."""
        kept = self.data["scenarios"].setdefault(one.name, {"title": one.title, "entries": {}, "rounds": [],
                                                            "failures": {}})
        kept["entries"].update((entry.key, entry.label()) for entry in one.entries)
        kept.update(main=one.main, bases=list(one.bases), aims=[vars(aim) for aim in one.aims])
        return kept

    def save(self):
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(self.data, file, indent=1)
        os.replace(self.path + ".new", self.path)


class Progress:
    """Says how far it is and how long it will take, from what was planned and what it took until now."""

    def __init__(self, planned):
        self.planned, self.done, self.start = planned, 0.0, time.monotonic()

    def left(self):
        slower = (time.monotonic() - self.start) / self.done if self.done > 0 else 1
        return "%.0f min left" % ((self.planned - self.done) * slower / 60)


def measure_round(sampler, one, number, kept):
    """One sample of each entry; again if the machine changed between them."""
    order = one.entries[number % len(one.entries):] + one.entries[:number % len(one.entries)]
    for _ in range(sampler.tries):
        samples = {}
        for entry in order:
            try:
                samples[entry.key] = sampler.take(one, entry)
                kept["failures"].pop(entry.key, None)
            except (Failed, Missing) as reason:
                kept["failures"][entry.key] = str(reason)
                note("%s, %s: %s" % (one.name, entry.label(), reason))
                one.entries = [other for other in one.entries if other is not entry]
        if not samples or same_state(*(sample["distance"] for sample in samples.values())):
            break
    return samples


def measure(sampler, one, rounds, run, progress):
    kept = run.scenario(one)
    for number in range(len(kept["rounds"]), min(rounds, one.rounds_max)):
        samples = measure_round(sampler, one, number, kept)
        kept["rounds"].append(samples)
        run.save()
        progress.done += one.duration(sampler.seconds, sampler.warmup, 1)
        note("%s, round %d of %d: %s (%s)" % (one.name, number + 1, min(rounds, one.rounds_max), "  ".join(
            "%s %s%s" % (key, report.brief(one.main, sample["values"]), " disturbed" if disturbed(sample) else "")
            for key, sample in samples.items()), progress.left()))


def main():
    options = arguments()
    chosen = choose(options)
    if options.list:
        for one in chosen:
            print("%-18s %s: %s" % (one.name, one.title, ", ".join(entry.label() for entry in one.entries)))
        return
    need_two_cpus()
    raise_file_limit()
    if options.priority:
        take_priority()
    sampler = Sampler(options.build, find_commands(options, chosen), options.seconds, options.warmup, options.tries)
    folder = output_folder(options)
    run = Run(folder, options)
    progress = Progress(sum(one.duration(options.seconds, options.warmup, options.rounds) for one in chosen))
    note("%d scenarios, %d rounds; about %.0f minutes, longer if the machine is busy. Results: %s" % (
        len(chosen), options.rounds, progress.planned / 60, folder))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stopped = False
    try:
        for one in chosen:
            measure(sampler, one, options.rounds, run, progress)
    except KeyboardInterrupt:
        stopped = True
    run.save()
    print(report.write(run.path), end="")
    if stopped:
        note("stopped; go on with: bench/side_by_side.py --resume --output %s and the same options" % folder)
        sys.exit(130)


if __name__ == "__main__":
    main()
