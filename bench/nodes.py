#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures a room on three nodes beside NATS alone: deliveries per second of CPU time, and what a second node adds to
the way of a message.

Three nodes with one worker and 100 members each share one nats-server; its other rounds are a nats-server alone with
300 subscribers. One member speaks, up to 64 messages of 64 bytes ahead of the slowest receiver that the load generator
has (100 on the speaker's node, all 300 of NATS alone). The CPU time is that of all servers. The rounds are interleaved,
and the median (least to most) is printed. COR_BIN is the program, build/release/coracle if it is not set.
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "e2e"))

import nats  # noqa: E402
from harness import BIN, close_all  # noqa: E402

NODES, MEMBERS, SIZE, WINDOW = 3, 100, 64, 64
WARM = 200  # messages of those whose way is timed that are not counted
SINK = """
import selectors, socket, sys
members = selectors.DefaultSelector()
for _ in range(int(sys.argv[2])):
    members.register(socket.create_connection(("127.0.0.1", int(sys.argv[1]))), selectors.EVENT_READ)
print("ready", flush=True)
data = bytearray(1 << 18)
while all(key.fileobj.recv_into(data) for key, _ in members.select()):
    pass
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round")
    parser.add_argument("--messages", type=int, default=3000, help="timed on their way, in each round")
    parser.add_argument("--poller", choices=("epoll", "io_uring"), default="epoll")
    return parser.parse_args()


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(options, protocol, receivers, port):
    subprocess.run([os.path.join(os.path.dirname(BIN), "bench", "raw_fanout"), "--protocol", protocol, "--receivers",
                    str(receivers), "--window", str(WINDOW), "--size", str(SIZE), "--seconds", str(options.seconds),
                    "--warmup", "0.5", "127.0.0.1:%d" % port], check=True, stdout=subprocess.DEVNULL, timeout=60)


@contextlib.contextmanager
def sink(port):
    """Members in a process of their own, who only read."""
    with subprocess.Popen([sys.executable, "-c", SINK, str(port), str(MEMBERS)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def house(options, count):
    """NATS with this many nodes."""
    with contextlib.ExitStack() as stack:
        bus = stack.enter_context(nats.Nats())
        nodes = [stack.enter_context(nats.node(bus.url(), poller=options.poller)) for _ in range(count)]
        nats.all_connected(nodes)
        yield bus, nodes


def of_nodes(options):
    """Deliveries and CPU seconds of three nodes and their NATS."""
    with house(options, NODES) as (bus, nodes), contextlib.ExitStack() as stack:
        for node in nodes[1:]:
            stack.enter_context(sink(node.address("broadcast")[1]))
        pids = [node.pid for node in nodes] + [bus.program.pid]
        before = sum(map(cpu_seconds, pids))
        load(options, "room", MEMBERS, nodes[0].address("broadcast")[1])
        told = [nats.bus_of(node) for node in nodes]
        lost = sum(of["lost"]["missed"] for of in told)
        if lost:
            print("%d messages were lost on the way" % lost)
        said = told[0]["sent"] + sum(of["received"] for of in told[1:])
        return said * MEMBERS, sum(map(cpu_seconds, pids)) - before


def of_nats(options):
    """The same of NATS alone, which counts its deliveries itself."""
    bus = nats.Nats('http: "127.0.0.1:%d"' % (port := nats.free_port()))
    with bus:
        before = cpu_seconds(bus.program.pid)
        load(options, "nats", NODES * MEMBERS, bus.port)
        used = cpu_seconds(bus.program.pid) - before
        with urllib.request.urlopen("http://127.0.0.1:%d/varz" % port, timeout=20) as answer:
            return json.load(answer)["out_msgs"], used


def ways(options):
    """Microseconds to a member on the sender's node and to one on another, as medians."""
    with house(options, 2) as (_, nodes):
        speaker, near, far = (node.connect("broadcast") for node in (nodes[0], nodes[0], nodes[1]))
        times = []
        for number in range(options.messages + WARM):
            begin = time.perf_counter()
            speaker.send(nats.message(1, number))
            near.line()
            there = time.perf_counter()
            far.line()
            times.append((there - begin, time.perf_counter() - begin))
            speaker.line()
        close_all(speaker, near, far)
        return [1e6 * statistics.median(column) for column in zip(*times[WARM:])]


def show(name, unit, figures):
    print("%-36s %12.0f (%.0f to %.0f) %s" % (name, statistics.median(figures), min(figures), max(figures), unit))


def main():
    options = arguments()
    fan = {"three nodes and NATS": (of_nodes, []), "NATS alone": (of_nats, [])}
    hops = []
    for _ in range(options.rounds):
        for measure, rates in fan.values():
            deliveries, used = measure(options)
            rates.append(deliveries / used)
        hops.append(ways(options))
    for name, (_, rates) in fan.items():
        show(name, "deliveries per second of CPU", rates)
    for name, column in zip(("to a member on the sender's node", "to a member on another node"), zip(*hops)):
        show(name, "us", column)


if __name__ == "__main__":
    main()
