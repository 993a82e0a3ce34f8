# SPDX-License-Identifier: MIT
"""What `make bench` measures: scenarios, the servers in each, and what is aimed at."""
import dataclasses
import typing

import idle_memory
import sampling
from servers import BOTH_CPUS, LABELS, LOAD_CPU, SERVER_CPU

ECHO = ("raw", "raw_uring", "coracle", "coracle_uring", "go", "libuv", "libevent")
OURS = ("coracle", "coracle_uring")
LOGGED = ("coracle_logged", "coracle_logged_uring")
IDLE_CONNECTIONS = 10000
IDLE_BYTES = 4300  # 4.2 KB of 1,024 bytes


@dataclasses.dataclass
class Entry:
    """One row: a server, how it is started and what load it gets."""
    key: str
    server: str
    load: tuple = ()
    arguments: tuple = ()  # more of the server's command
    cpus: str = SERVER_CPU  # if there are several, each has a generator, too
    longer: float = 1  # how much longer than others this sample is measured
    note: str = ""
    environment: dict = dataclasses.field(default_factory=dict)  # more of a program that runs to its end

    def label(self):
        name = LABELS.get(self.key, "coracle") if self.server.startswith("bench_") else LABELS.get(
            self.server, self.server)
        return name + (", " + self.note if self.note else "")


@dataclasses.dataclass
class Aim:
    """A figure that should be at most (or at least) some limit: a value, or its ratio to another entry's."""
    entry: str
    value: str
    limit: float
    to: str = ""
    least: bool = False


@dataclasses.dataclass
class Scenario:
    """Entries that are compared with each other. `seconds` is what a sample takes beside the measured time."""
    name: str
    title: str
    measure: typing.Callable
    entries: list
    aims: list = dataclasses.field(default_factory=list)
    main: str = "server_us"  # what ratios are made of
    bases: tuple = ("raw", "go")  # the entries that ratios are made to
    rounds_max: int = 1000
    seconds: float = 0.3
    own_pace: bool = False  # the programs decide how long they measure

    def duration(self, seconds, warmup, rounds):
        once = sum(self.seconds + (0 if self.own_pace else warmup + seconds * entry.longer) for entry in self.entries)
        return once * min(rounds, self.rounds_max)


def each(servers, load, **how):
    return [Entry(key=name, server=name, load=load, **how) for name in servers]


def echo(connections, size, depth, title, aims=(), servers=ECHO, **how):
    name = "echo_%d_%d" % (size, connections) + ("_depth_%d" % depth if depth > 1 else "")
    load = ("--connections", connections, "--size", size, "--depth", depth, "--step")
    return Scenario(name, title, sampling.load, each(servers, load), aims=list(aims),
                    seconds=0.3 + connections / 8000, **how)


def latency(connections, entries, aims):
    """A closed loop: each connection sends again as soon as it has its answer."""
    title = "Latency of %s, 64 B" % ("one connection" if connections == 1 else "%d connections" % connections)
    return Scenario("latency_%d" % connections, title, sampling.load, entries, aims=aims,
                    main="p50_us" if connections == 1 else "p99_us")


def spin():
    """One connection, and workers that poll a while before they sleep."""
    load = ("--connections", 1)
    spinning = [Entry(name + "_spin", name, load, ("--spin", "50us"), note="--spin 50us") for name in OURS]
    return latency(1, each(("raw", "coracle", "coracle_uring"), load) + spinning + each(("go",), load),
                   [Aim(one.key, "p50_us", 0.4, "raw") for one in spinning])


def packets(sockets):
    """Datagrams to a server with so many sockets. One socket has a batch before it whatever the server's speed: see
    load_udp.c. With 100 there is one datagram on each at a time, and then it does not matter."""
    load = ("--connections", 100) + (("--depth", 2, "--stop") if sockets == 1 else ())
    more = ("--sockets", str(sockets))
    again = ("echo=udp4://127.0.0.1:0",) * (sockets - 1)
    entries = [Entry("raw_udp", "raw_udp", load, more), Entry("udp", "udp", load, again),
               Entry("udp_uring", "udp_uring", load, again), Entry("go_udp", "go_udp", load, more)]
    return Scenario("packets_%d" % sockets, "UDP echo, 64 B, server with %d socket%s" % (
        sockets, "s" if sockets > 1 else ""), sampling.packets(sockets), entries, bases=("raw_udp", "go_udp"), aims=[
            Aim(name, "server_us", limit, to) for name in ("udp", "udp_uring")
            for to, limit in (("raw_udp", 1.05), ("go_udp", 0.6))])


def churn(how, uring, go):
    load = ("--connections", 32, "--close", how, "--step")
    return Scenario("churn_" + how, "Connect, one echo, close with a %s" % how.upper(), sampling.load,
                    each(ECHO, load),
                    aims=[Aim("coracle", "server_us", 1.02, "raw"), Aim("coracle_uring", "server_us", uring, "raw"),
                          Aim("coracle", "server_us", go, "go")])


def churn_logged():
    """With a line about each connection in a file, as servers run; the raw loop says nothing."""
    return Scenario("churn_logged", "Connect, one echo, close with a FIN, and a line about it in the log",
                    sampling.load, each(("raw",) + LOGGED + ("go_logged",),
                                        ("--connections", 32, "--close", "fin", "--step")),
                    aims=[Aim(name, "server_us", 1.08, "raw") for name in LOGGED], bases=("raw", "go_logged"))


def log_line(case, title, operations):
    load = ("--only", case, "--ops", str(operations), "--rounds", "5")
    return Scenario("log_" + case, "CPU of all threads per `closed` line in a file, " + title,
                    sampling.one_case("ns", 1), [Entry("coracle", "bench_log", load)],
                    aims=[Aim("coracle", "ns", 300)], main="ns", bases=(), seconds=2, own_pace=True)


def on_two_workers(program, peer, load, peer_load, environment=None):
    """A benchmark of ours over both pollers, and the same in Go."""
    return [Entry("coracle", program, load),
            Entry("coracle_uring", program, load, environment={"COR_POLLER": "io_uring"}),
            Entry("go", peer, peer_load, environment=environment or {})]


def cores(case, title, limit, main="ns", unit_ns=1.0, operations=0, floors=()):
    """A case of cores.c beside go/cores.go, with floors beside what two threads in plain C need for a hand-off."""
    fixed = ("--ops", str(operations), "--rounds", "3") if operations else ("--rounds", "25")
    load = ("--only", case) + fixed
    return Scenario("cores_" + case, title, sampling.one_case(main, unit_ns),
                    on_two_workers("bench_cores", "go_cores", load, load) + [
                        Entry(kind, "raw_c2c", (SERVER_CPU, LOAD_CPU, kind), note=kind) for kind in floors],
                    aims=[Aim(name, main, limit) if main == "over_ideal" else Aim(name, main, limit, "go")
                          for name in OURS], main=main, bases=("go",), seconds=2 if operations else 1, own_pace=True)


def all_cores(quick):
    many = 10000 if quick else 100000
    each_ms = 1e6 / many  # ns per operation of so many, as ms of all
    return [
        cores("hand_off", "Unbuffered channel, ping-pong of two tasks, per hand-off", 1.5),
        cores("hand_off_apart", "Unbuffered channel, two tasks kept on different workers, per hand-off", 1.5,
              floors=("line", "futex", "eventfd")),
        cores("items_1_to_1", "Buffered channel (128), one producer, one consumer, per item", 1.0),
        cores("items_4_to_4", "Buffered channel (128), 4 producers, 4 consumers, per item", 1.0),
        cores("mutex_8_tasks", "Mutex, 8 tasks on 2 workers, per lock", 1.0),
        cores("close_wakes", "Close of a channel wakes %s receivers" % format(many, ","), 1.0, "ms", each_ms, many),
        cores("sleepers", "%s sleepers with one deadline, the last one late by" % format(many, ","), 1.0, "ms",
              each_ms, many),
        cores("computing_8_tasks", "8 computing tasks that yield each ms, total over ideal", 1.15, "over_ideal",
              1e6 / 2, 800),
        cores("computing_8_floating", "8 floating tasks that compute, begun on one worker, total over ideal", 1.15,
              "over_ideal", 1e6 / 2, 800),
    ]


def storm(workers, aims):
    load = ("--workers", str(workers))
    return Scenario("storm_%d" % workers, "1,000,000 spawns without a pause, %d worker%s" % (
        workers, "s" if workers > 1 else ""), sampling.storm,
                    on_two_workers("bench_storm", "go_spawn", load, (), {"GOMAXPROCS": str(workers)}),
                    aims=[Aim(name, *aim) for name in OURS for aim in aims], main="ms", bases=("go",), seconds=1.2,
                    own_pace=True)


def room(receivers, window, aims=()):
    def load(protocol):
        return ("--receivers", receivers, "--window", window, "--size", 64, "--protocol", protocol)
    entries = each(("room", "room_uring", "go_room"), load("room")) + [
        Entry("nats", "nats", load("nats")), Entry("redis", "redis", load("redis"))]
    return Scenario("fanout_%d_%d" % (receivers, window),
                    "Fan-out to %s receivers, 64 B, window %d" % (format(receivers, ","), window), sampling.fanout,
                    entries, aims=list(aims), main="per_s", bases=("go_room", "nats", "redis"),
                    seconds=0.3 + receivers / 3000)


def room_aims():
    return [aim for name in ("room", "room_uring") for aim in (
        Aim(name, "per_cpu_s", 10e6, least=True), Aim(name, "per_s", 2, "redis", True),
        Aim(name, "per_s", 2.5, "nats", True), Aim(name, "per_s", 50, "go_room", True))]


def stalled():
    """A receiver that stops reading: what the other 99 still get of what they got before, in the same time after."""
    def load(protocol):
        return ("--receivers", 100, "--window", 16, "--size", 4096, "--stalled", 1, "--protocol", protocol)
    entries = each(("room", "room_uring", "go_room"), load("room"), longer=2) + [
        Entry(name, name, load(name), longer=2) for name in ("nats", "redis")]
    return Scenario("fanout_stalled", "Fan-out to 100 receivers, 4 KB, one of them stops reading", sampling.fanout,
                    entries, main="kept", bases=("go_room",), rounds_max=3, seconds=4, aims=[
                        aim for name in ("room", "room_uring")
                        for aim in (Aim(name, "kept", 0.95, least=True), Aim(name, "memory_mb", 16))])


def workers():
    """Two workers on two CPUs, which they share with two generators, beside one worker."""
    load = ("--connections", 50)
    entries, aims = [], []
    for name in OURS:
        for count in (1, 2):
            entries.append(Entry("%s_%d" % (name, count), name, load, ("--workers", str(count)),
                                 cpus=BOTH_CPUS, note="%d worker%s" % (count, "s" if count > 1 else "")))
        aims += [Aim(name + "_2", "per_s", 1.0, name + "_1", True), Aim(name + "_2", "server_us", 1.05, name + "_1")]
    return Scenario("workers", "Two workers beside one, 2 generators of 50 connections", sampling.load, entries,
                    aims=aims, bases=(OURS[0] + "_1",))


def many(count, base):
    """As many connections as descriptors allow; each must get its answers."""
    entries, aims = [], []
    for name in ("raw",) + OURS:
        for connections in (base, count):
            entries.append(Entry("%s_%d" % (name, connections), name,
                                 ("--connections", connections, "--step"), longer=1 if connections == base else 2,
                                 note="%s connections" % format(connections, ",")))
        if name != "raw":
            aims += [Aim("%s_%d" % (name, count), "starved", 0),
                     Aim("%s_%d" % (name, count), "server_us", 1.5, "%s_%d" % (name, base))]
    return Scenario("many", "%s connections at once" % format(count, ","), sampling.load, entries, aims=aims,
                    bases=("raw_%d" % base,), rounds_max=3, seconds=1.5)


def control():
    """The harness itself: the same server twice, and one that is known to need 250 ns more on each message."""
    load = ("--connections", 100, "--step")
    return Scenario("control", "Control: the raw loop against itself, and against itself with 250 ns of work",
                    sampling.load, [Entry("raw", "raw", load), Entry("again", "raw", load, note="again"),
                                    Entry("slower", "raw", load, ("--work", "250"), note="250 ns more per message")],
                    bases=("raw",))


def system_calls():
    entries = each(ECHO, ("--connections", 100), longer=2)
    return Scenario("system_calls", "System calls per echo, 64 B, 100 connections", sampling.system_calls, entries,
                    main="total", bases=("raw", "go"), rounds_max=1, seconds=1,
                    aims=[Aim("coracle", "total", 2.05), Aim("coracle_uring", "total", 1.1)])


def primitives():
    names = ("switch", "spawn", "chan", "select", "mutex", "timer", "deadline", "pipe")
    entries = [Entry(name, "bench_" + name) for name in names]
    return Scenario("primitives", "Primitives, one worker", sampling.primitives, entries, main="cases", bases=(),
                    rounds_max=3, seconds=2.3, own_pace=True, aims=[
                        Aim("switch", "switch_2_tasks", 4.5), Aim("spawn", "spawn_exit", 25),
                        Aim("chan", "chan_unbuffered", 20), Aim("select", "select_2_hand_off", 40),
                        Aim("deadline", "deadline_set_read", 10)])


def measure_idle(sampler, entry):
    values = idle_memory.measure(sampler.commands[entry.server], *entry.load)
    return dict(values, left_bytes=values["closed_bytes"] - values["base_bytes"]), 0.0


def idle(connections):
    entries = each(("raw", "coracle", "coracle_uring", "go"), (connections,))
    return Scenario("idle", "Memory per idle connection, %s connections" % format(connections, ","), measure_idle,
                    entries, main="idle_bytes", bases=("go",), rounds_max=1, seconds=8, aims=[
                        Aim(name, value, limit) for name in OURS
                        for value, limit in (("idle_bytes", IDLE_BYTES), ("left_bytes", 8e6))])


def all_scenarios(quick):
    """In the order in which they are measured. Quick ones have fewer connections where opening them takes long."""
    few = (Aim("coracle", "server_us", 1.02, "raw"), Aim("coracle", "server_us", 0.80, "go"))
    hundred = few + (Aim("coracle_uring", "server_us", 1.05, "raw_uring"),
                     Aim("coracle_uring", "server_us", 0.83, "raw"))
    tail = [Aim(name, "p99_us", limit, to) for name in OURS for to, limit in (("raw", 1.0), ("go", 0.5))]
    great = (Aim("coracle", "server_us", 1.05, "raw"), Aim("coracle_uring", "server_us", 0.90, "raw"))
    return [
        control(),
        echo(1, 64, 1, "Echo, 64 B, 1 connection"),
        echo(10, 64, 1, "Echo, 64 B, 10 connections", few),
        echo(100, 64, 1, "Echo, 64 B, 100 connections", hundred),
        echo(1000, 64, 1, "Echo, 64 B, 1,000 connections", few),
        echo(10000, 64, 1, "Echo, 64 B, 10,000 connections", great),
        echo(100, 16384, 1, "Echo, 16 KB, 100 connections", (
            Aim("coracle", "server_us", 1.02, "raw"), Aim("coracle", "server_us", 0.88, "go"))),
        echo(100, 64, 16, "Echo, 64 B, 100 connections, 16 messages under way on each", few),
        packets(1),
        packets(100),
        churn("fin", 0.92, 0.90),
        churn("rst", 0.87, 0.72),
        churn_logged(),
        log_line("at_once", "as fast as they come", 100000),
        log_line("per_second_25000", "25,000 a second", 10000),
        spin(),
        latency(100, each(ECHO, ("--connections", 100)), tail),
        room(100, 64, room_aims()),
        room(1000, 64, room_aims()),
        room(100, 1),
        room(1000, 1),
        stalled(),
        workers(),
        many(2000 if quick else 18000, 1000),
        system_calls(),
        *all_cores(quick),
        storm(1, [("task_bytes", 160)]),
        storm(2, [("ms", 1.0, "go"), ("peak_mb", 1.0, "go")]),
        primitives(),
        idle(1000 if quick else IDLE_CONNECTIONS),
    ]
