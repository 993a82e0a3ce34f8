#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures lookups by DNS: 10,000 names, 200 at a time, by Coracle, by Go's resolver and by getaddrinfo on 200 threads.

They take turns beside a name server on loopback, in a network namespace and with a resolv.conf of their own: this needs
root. The server has the first CPU, who is measured the last one. Then an echo server is asked 10,000 times a second
while tasks on its worker look names up without a pause, and without them, in turn.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

from servers import HERE

INSIDE = "CORACLE_BENCH_INSIDE"
ECHO = "127.0.0.1:7777"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build", "release"), metavar="DIR")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lookups", type=int, default=1, metavar="N", help="tasks beside the echo (default 1)")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="of each measurement of the echo")
    return parser.parse_args()


def enter_namespace():
    """Runs this program again where the network and /etc/resolv.conf are its own."""
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, "-B", *sys.argv])


def on_cpu(cpu, *argv):
    return ["taskset", "-c", str(cpu), *argv]


def sample(argv):
    """One process's line of figures."""
    env = dict(os.environ, GODEBUG="netdns=go", GOMAXPROCS="1")
    out = subprocess.run(argv, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout
    found = dict(re.findall(r"(\w+)=([0-9.]+)", out))
    if found["wrong"] != "0":
        print("%s: %s lookups gave something else" % (argv[-1], found["wrong"]))
    return float(found["rate"]), float(found["cpu_us"])


def compare_lookups(options, cpu, go_program):
    bench = os.path.join(options.build, "bench")
    programs = {"coracle": os.path.join(bench, "bench_lookup"), "go": go_program,
                "libc": os.path.join(bench, "raw_lookup_libc")}
    figures = {name: [] for name in programs}
    for _ in range(options.rounds):
        for name, program in programs.items():
            figures[name].append(sample(on_cpu(cpu, program)))
    for name, found in figures.items():
        rates, costs = zip(*found)
        print("%-8s %7.0f lookups/s (%.0f to %.0f), %6.1f us CPU each (%.1f to %.1f)" % (
            name, statistics.median(rates), min(rates), max(rates), statistics.median(costs), min(costs), max(costs)))


def echo_p99(options, cpu, lookups):
    """p99 in us of an echo at 10,000 a second beside so many tasks that look up."""
    server = subprocess.Popen(  # pylint: disable=consider-using-with
        on_cpu(cpu, os.path.join(options.build, "bench", "bench_lookup"), ECHO, str(lookups)))
    try:
        load = on_cpu(0, os.path.join(options.build, "coracle"), "bench", "--connections", "20", "--rate", "10k",
                      "--warmup", "300ms", "--duration", "%dms" % (options.seconds * 1000),
                      "--format", "json", ECHO)
        for _ in range(200):  # until the server listens
            done = subprocess.run(load, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode == 0:
                return json.loads(done.stdout)["latency_p99_us"]
            time.sleep(0.02)
        raise SystemExit(done.stderr)
    finally:
        server.terminate()
        server.wait()


def compare_echo(options, cpu):
    without, beside = [], []
    for _ in range(options.rounds):
        without.append(echo_p99(options, cpu, 0))
        beside.append(echo_p99(options, cpu, options.lookups))
    print("echo p99 %.1f us (%.1f to %.1f); beside %d looking up %.1f us (%.1f to %.1f): %.2f times" % (
        statistics.median(without), min(without), max(without), options.lookups, statistics.median(beside),
        min(beside), max(beside), statistics.median(beside) / statistics.median(without)))


def run(options, folder):
    conf, go_program = os.path.join(folder, "resolv.conf"), os.path.join(folder, "lookup")
    with open(conf, "w", encoding="utf-8") as file:
        file.write("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", conf, "/etc/resolv.conf"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["go", "build", "-o", go_program, os.path.join(HERE, "go", "lookup.go")], check=True)
    cpu = sorted(os.sched_getaffinity(0))[-1]
    server = subprocess.Popen(  # pylint: disable=consider-using-with
        on_cpu(0, os.path.join(options.build, "bench", "raw_name_server")), stdout=subprocess.PIPE, text=True)
    try:
        if server.stdout.readline() != "ready\n":
            raise SystemExit("the name server does not start")
        compare_lookups(options, cpu, go_program)
        compare_echo(options, cpu)
    finally:
        server.terminate()
        server.wait()


def main():
    options = arguments()
    if os.environ.get(INSIDE) != "1":
        enter_namespace()
    with tempfile.TemporaryDirectory() as folder:
        run(options, folder)


if __name__ == "__main__":
    main()
