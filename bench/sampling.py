# SPDX-License-Identifier: MIT
"""One sample: one fresh server under one load, with the state of the machine before, during and after it."""
import math
import os
import resource
import statistics
import subprocess
import time

from servers import BOTH_CPUS, ENVIRONMENT, LOAD_CPU, SERVER_CPU, Server, pinned

SAME_STATE = 1.5  # distances of the CPUs that differ by less are one state of the machine
FOREIGN_MAX = 0.03  # of one CPU's time may be used by others during a sample
# Two standard deviations of what /proc/stat is wrong by in a second if it counts 250 ticks of each of two CPUs that are
# half used, as a part of one CPU. Servers and generators use theirs all the time; benchmarks with two workers may not.
TICKS_ERROR = 0.09
FAILURES_MAX = 3  # of one sample: a short one may fail once on a machine that is very busy
STRACE_CALLS = {  # what belongs to a message, not to starting, accepting or ending
    "read", "readv", "recvfrom", "recvmsg", "write", "writev", "sendto", "sendmsg", "epoll_wait", "epoll_pwait",
    "epoll_pwait2", "epoll_ctl", "io_uring_enter", "futex", "sched_yield", "nanosleep", "poll",
}


class Failed(Exception):
    """A sample that could not be taken, and why."""


def same_state(*distances):
    return max(distances) <= SAME_STATE * min(distances)


def disturbed(sample):
    return sample["changed"] or sample["foreign"] > FOREIGN_MAX


def pairs(text):
    """A line of key=value, as the load generators print it; without what was divided by nothing."""
    values = {name: float(value) for name, _, value in (word.partition("=") for word in text.split()) if value}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def busy_seconds():
    """CPU time that anybody has used on this machine."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds(server):
    """CPU time of the server, if there is one, and of the children that have ended: the load generators."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0 if server is None else server.cpu_ticks()
    return ticks / os.sysconf("SC_CLK_TCK") + children.ru_utime + children.ru_stime


class Sampler:
    """Takes samples of entries (see scenarios.py) with the programs of one build."""

    def __init__(self, build, commands, seconds, warmup, tries):
        self.build = build
        self.commands = commands
        self.seconds = seconds
        self.warmup = warmup
        self.tries = tries

    def tool(self, name):
        path = os.path.join(self.build, "bench", name)
        if not os.access(path, os.X_OK):
            raise Failed("%s is not there" % name)
        return path

    def distance(self):
        out = subprocess.run([self.tool("raw_c2c"), SERVER_CPU, LOAD_CPU], capture_output=True, text=True, check=True)
        return float(out.stdout)

    def generators(self, tool, server, options, seconds, cpus=(LOAD_CPU,)):
        """Runs a load generator on each of some CPUs at the same time; what each printed."""
        argv = [self.tool(tool), "--pid", str(server.pid), "--seconds", str(seconds), "--warmup", str(self.warmup),
                *map(str, options), server.address]
        running = [subprocess.Popen(pinned(cpu, argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                   for cpu in cpus]
        try:
            printed = [process.communicate(timeout=30 + 5 * (seconds + self.warmup)) for process in running]
        except subprocess.TimeoutExpired as late:
            raise Failed("%s did not end" % tool) from late
        finally:
            for process in running:
                process.kill()
                process.wait()
        for process, (_, error) in zip(running, printed):
            if process.returncode != 0:
                raise Failed(error.strip() or "%s: exit %d" % (tool, process.returncode))
        each = [pairs(out) for out, _ in printed]
        if any("kept" not in one and one.get("messages", one.get("deliveries")) == 0 for one in each):
            raise Failed("%s: nothing came back" % tool)
        return each

    def take(self, scenario, entry):
        """Takes a sample until it is undisturbed; the least disturbed one if that never happens. What failed before it
        is told in it, for it may have been a wrong byte."""
        taken, failed = [], []
        while len(taken) < self.tries and not (taken and not disturbed(taken[-1])):
            try:
                taken.append(self.take_once(scenario, entry))
            except Failed as reason:
                failed.append(str(reason))
                if len(failed) == FAILURES_MAX:
                    raise
        least = min(taken, key=lambda one: (disturbed(one), one["changed"], one["foreign"]))
        return dict(least, failed=failed) if failed else least

    def take_once(self, scenario, entry):
        try:
            before = self.distance()
            values, foreign = scenario.measure(self, entry)
            after = self.distance()
        except (OSError, subprocess.SubprocessError, SystemExit) as error:  # a server that died, a tool that gave up
            raise Failed(str(error)) from error
        return {"values": values, "distance": min(before, after), "changed": not same_state(before, after),
                "foreign": foreign}

    def start(self, entry, **how):
        return Server(self.commands[entry.server] + list(entry.arguments), **how)


class Foreign:
    """Counts the CPU time that others use while one server or program is measured, as a part of one CPU."""

    def __init__(self, server=None):
        self.server = server
        self.start = time.monotonic()
        self.busy, self.own = busy_seconds(), own_seconds(server)

    def part(self):
        used = busy_seconds() - self.busy - (own_seconds(self.server) - self.own)
        return used / (time.monotonic() - self.start)


def load(sampler, entry):
    """Messages there and back, or connections opened and closed: raw_load."""
    with sampler.start(entry, cpus=entry.cpus) as server:
        foreign = Foreign(server)
        cpus = entry.cpus.split(",") if "," in entry.cpus else [LOAD_CPU]
        each = sampler.generators("raw_load", server, entry.load, sampler.seconds * entry.longer, cpus)
        values = dict(each[0])
        if len(each) > 1:
            for name in ("messages", "per_s", "starved"):
                values[name] = sum(one[name] for one in each)
            values["server_cpu"] = statistics.mean(one["server_cpu"] for one in each)
            values["server_us"] = values["server_cpu"] * 1e6 / values["per_s"]
            values["p99_us"] = max(one["p99_us"] for one in each)
        return values, foreign.part()


def packets(sockets):
    """A measure for datagrams there and back, with a server of so many sockets: raw_load_udp."""
    def measure(sampler, entry):
        with sampler.start(entry, listeners=sockets) as server:
            foreign = Foreign(server)
            values = sampler.generators("raw_load_udp", server, entry.load, sampler.seconds * entry.longer)[0]
            if values["lost"] > 0:
                raise Failed("%d datagrams were lost" % values["lost"])
            return values, foreign.part()
    return measure


def fanout(sampler, entry):
    """One publisher and many receivers: raw_fanout."""
    with sampler.start(entry) as server:
        foreign = Foreign(server)
        values = sampler.generators("raw_fanout", server, entry.load, sampler.seconds * entry.longer)[0]
        return dict(values, memory_mb=values["grew_kib"] * 1024 / 1e6), foreign.part()


def system_calls(sampler, entry):
    """System calls per message, counted by strace; it slows the server down and is no measure of time."""
    counted = os.path.join(sampler.build, "bench", "strace.%d" % os.getpid())
    try:
        with sampler.start(entry, wrapper=["strace", "-c", "-f", "-o", counted]) as server:
            warmup, sampler.warmup = sampler.warmup, 0
            try:
                printed = sampler.generators("raw_load", server, entry.load, sampler.seconds * entry.longer)
            finally:
                sampler.warmup = warmup
        with open(counted, encoding="utf-8") as file:
            rows = [line.split() for line in file]
    finally:
        if os.path.exists(counted):
            os.remove(counted)
    messages = printed[0]["messages"]
    calls = {row[-1]: int(row[3]) / messages for row in rows if len(row) >= 5 and row[-1] in STRACE_CALLS}
    return dict(calls, total=sum(calls.values())), 0.0


def run_program(sampler, entry, cpus):
    """Runs a benchmark to its end: what it printed, and what others used meanwhile."""
    program = sampler.commands.get(entry.server) or [sampler.tool(entry.server)]
    foreign = Foreign()
    out = subprocess.run(pinned(cpus, program + list(entry.load)), capture_output=True, text=True, timeout=120,
                         check=False, env=dict(ENVIRONMENT, **entry.environment))
    if out.returncode != 0:
        raise Failed(out.stderr.strip() or "%s: exit %d" % (entry.server, out.returncode))
    error = TICKS_ERROR / math.sqrt(time.monotonic() - foreign.start)
    return out.stdout, max(foreign.part() - error, 0.0)


def cases(printed):
    """The lines of a micro-benchmark: case -> ns per operation, the median of its rounds."""
    rows = [line.split() for line in printed.splitlines()]
    return {row[0]: float(row[1]) for row in rows if row[2:3] == ["ns/op"]}


def primitives(sampler, entry):
    """What a primitive costs: one program of bench/, ns per operation by case."""
    printed, _ = run_program(sampler, entry, SERVER_CPU)
    # Between two workers on one CPU nothing is measured but the kernel's scheduler.
    return {case: ns for case, ns in cases(printed).items() if not case.endswith("_across")}, 0.0


def one_case(value, unit_ns):
    """A measure for one case of a program that has both CPUs, as a value in some unit."""
    def measure(sampler, entry):
        printed, foreign = run_program(sampler, entry, BOTH_CPUS)
        if not cases(printed):
            raise Failed("%s has no such case" % entry.server)
        return {value: next(iter(cases(printed).values())) / unit_ns}, foreign
    return measure


def storm(sampler, entry):
    """Very many tasks started without a pause: bench_storm and its peer."""
    printed, foreign = run_program(sampler, entry, BOTH_CPUS)
    values = pairs(printed)
    peak = values["peak_kib"] * 1024
    return {"ms": values["ms"], "peak_mb": peak / 1e6, "task_bytes": peak / values["tasks"]}, foreign
