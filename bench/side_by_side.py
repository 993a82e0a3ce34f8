#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares echo servers on one machine: the raw epoll loop, coracle, Go.

What is compared is the server's CPU time per message. Servers take turns (A B C, A B C, ...), each sample has a fresh
process, the server has one CPU and the load generator another. Before and after each sample the distance between the
two CPUs is measured: when it differs, or when other programs used CPU time meanwhile, the sample is taken again.
Servers are compared within a round, and the median of the rounds' ratios is given. README.md says how to read the
result, and why the generator works a little on each message (--work).
"""
import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from servers import HERE, LOAD_CPU, Server, about, commands, pinned, raise_file_limit

SAME_STATE = 1.5  # distances of the CPUs that differ by less are one state of the machine
FOREIGN_MAX = 0.03  # of one CPU's time may be used by others during a sample


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build", "release"), metavar="DIR")
    parser.add_argument("--connections", default="100,1000", metavar="N,...")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--warmup", type=float, default=0.4)
    parser.add_argument("--size", type=int, default=64, help="bytes of a message")
    parser.add_argument("--depth", type=int, default=1, help="messages under way per connection")
    parser.add_argument("--work", type=int, default=250, metavar="NS", help="the generator spends on each message")
    # Not a real-time class: within it Go's background threads would not come to run, and connections would starve.
    parser.add_argument("--priority", action="store_true",
                        help="run everything at the highest niceness (root; for a machine that others use too)")
    parser.add_argument("--servers", default="raw,coracle,go", metavar="NAME,...")
    parser.add_argument("--with", action="append", default=[], dest="extra", metavar="NAME=COMMAND",
                        help="compare this server as well; it prints `listening echo tcp ADDRESS`")
    parser.add_argument("--tries", type=int, default=4, help="of a sample that is disturbed")
    parser.add_argument("--output", metavar="FILE", help="write the tables here too")
    return parser.parse_args()


class Sample:
    """One run of the load generator against one server."""

    def __init__(self, values, before, after, foreign):
        self.values = values
        self.distance = min(before, after)
        self.changed = max(before, after) > SAME_STATE * min(before, after)
        self.foreign = foreign

    def disturbed(self):
        return self.changed or self.foreign > FOREIGN_MAX

    def __getitem__(self, name):
        return self.values[name]


class Bench:
    def __init__(self, options, servers):
        self.options = options
        self.servers = servers
        self.tools = os.path.join(options.build, "bench")

    def distance(self):
        out = subprocess.run([os.path.join(self.tools, "raw_c2c")], capture_output=True, text=True, check=True)
        return float(out.stdout)

    def load(self, server, connections):
        command = [os.path.join(self.tools, "raw_load"), "--connections", str(connections), "--pid", str(server.pid),
                   "--size", str(self.options.size), "--depth", str(self.options.depth),
                   "--work", str(self.options.work),
                   "--seconds", str(self.options.seconds), "--warmup", str(self.options.warmup), server.address]
        limit = 20 + 5 * (self.options.seconds + self.options.warmup)
        out = subprocess.run(pinned(LOAD_CPU, command), capture_output=True, text=True, check=False, timeout=limit)
        if out.returncode != 0:
            raise SystemExit("load generator: " + out.stderr.strip())
        return {name: float(value) for name, value in (pair.split("=") for pair in out.stdout.split())}

    def sample_once(self, name, connections):
        before = self.distance()
        with Server(self.servers[name]) as server:
            busy, own, start = busy_seconds(), own_seconds(server), time.monotonic()
            values = self.load(server, connections)
            took = time.monotonic() - start
            foreign = (busy_seconds() - busy - (own_seconds(server) - own)) / took
        return Sample(values, before, self.distance(), foreign)

    def sample(self, name, connections):
        """Takes a sample until it is undisturbed; the least disturbed one if that never happens."""
        taken = []
        for _ in range(self.options.tries):
            taken.append(self.sample_once(name, connections))
            if not taken[-1].disturbed():
                return taken[-1]
        return min(taken, key=lambda one: (one.changed, one.foreign))

    def run(self, connections):
        """The rounds: a list of name -> sample."""
        rounds = []
        for number in range(self.options.rounds):
            rounds.append({name: self.sample(name, connections) for name in self.servers})
            note("%d connections, round %d of %d: %s" % (connections, number + 1, self.options.rounds, "  ".join(
                "%s %.3f us%s" % (name, one["server_us"], " (disturbed)" if one.disturbed() else "")
                for name, one in rounds[-1].items())))
        return rounds


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


def busy_seconds():
    """CPU time that anybody has used on this machine."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds(server):
    """CPU time of the server and of the children that have ended: the load generator."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return server.cpu_ticks() / os.sysconf("SC_CLK_TCK") + children.ru_utime + children.ru_stime


def ratios(rounds, name, base):
    """Ratio to another server in each round in which the machine was in one state."""
    if base not in rounds[0]:
        return []
    return [one[name]["server_us"] / one[base]["server_us"] for one in rounds
            if max(one[name].distance, one[base].distance) <= SAME_STATE * min(one[name].distance, one[base].distance)]


def spread(values, form):
    if not values:
        return "-"
    return ("%s (%s to %s)" % (form, form, form)) % (statistics.median(values), min(values), max(values))


def table(connections, rounds):
    lines = ["", "### %d connections" % connections, "",
             "| server | CPU per message, us | to raw | to Go | busy | messages/s | p50, us | p99, us | starved | "
             "disturbed |", "|---|---|---|---|---|---|---|---|---|---|"]
    for name in rounds[0]:
        samples = [one[name] for one in rounds]
        median = lambda key: statistics.median(one[key] for one in samples)  # noqa: E731
        lines.append("| %s | %s | %s | %s | %.0f %% | %.0f | %.0f | %.0f | %.0f | %d of %d |" % (
            name, spread([one["server_us"] for one in samples], "%.3f"), spread(ratios(rounds, name, "raw"), "%.3f"),
            spread(ratios(rounds, name, "go"), "%.3f"), 100 * median("server_cpu"), median("per_s"),
            median("p50_us"), median("p99_us"),
            max(one["starved"] for one in samples), sum(one.disturbed() for one in samples), len(samples)))
    return lines


def main():
    options = arguments()
    raise_file_limit()
    if options.priority:
        take_priority()
    with tempfile.TemporaryDirectory() as folder:
        servers = commands(options.build, options.extra, options.servers.split(","), folder)
        bench = Bench(options, servers)
        lines = ["%s. Messages of %d bytes, %d under way per connection; the generator works %d ns on each. "
                 "%d rounds of %g s; median (least to most)." % (
                     about(), options.size, options.depth, options.work, options.rounds, options.seconds)]
        for connections in map(int, options.connections.split(",")):
            rounds = bench.run(connections)
            distances = [one.distance for each in rounds for one in each.values()]
            lines += table(connections, rounds)
            lines.append("")
            lines.append("Cache line from CPU to CPU and back: %.0f to %.0f ns." % (min(distances), max(distances)))
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
