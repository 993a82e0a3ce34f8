#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the CPU that proxies spend per GiB: much at once in both directions, every byte checked, and each direction
ended by a half-close that must arrive.

Measured are examples/port_forward over both pollers, bench/go/proxy.go (io.Copy, which splices), and `socat -u`, one
process for each direction, all on one CPU; the ends of the streams run on the other one. The rounds are interleaved,
and the median (least to most) is printed.
"""
import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PIECE = 1 << 18
PATTERN = bytes(number % 251 for number in range(PIECE + 251))
SOCAT, GO = "socat -u", "Go io.Copy"
AIMS = {SOCAT: 0.5, GO: 0.9}  # of their CPU, at most
PATIENCE = 120.0  # seconds until what should happen counts as failed


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build", "release"), metavar="DIR")
    parser.add_argument("--mib", type=int, default=1024, help="in each direction")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu", type=int, default=1, help="the proxies'; the load runs on the others")
    return parser.parse_args()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def send(connection, size):
    at = 0
    while at < size:
        start = at % 251
        at += connection.send(memoryview(PATTERN)[start:start + min(PIECE, size - at)])
    connection.shutdown(socket.SHUT_WR)


def receive(connection, size):
    at, got = 0, bytearray(PIECE)
    while True:
        count = connection.recv_into(got)
        if count == 0:
            break
        start = at % 251
        if memoryview(got)[:count] != memoryview(PATTERN)[start:start + count]:
            raise SystemExit("a byte near %d is wrong" % at)
        at += count
    if at != size:
        raise SystemExit("%d bytes came, %d were sent" % (at, size))


def start_way(cpus, function, connection, size):
    """Runs one end of a direction in a process of its own."""
    child = os.fork()
    if child == 0:
        try:
            os.sched_setaffinity(0, cpus)
            function(connection, size)
            os._exit(0)
        finally:
            os._exit(1)
    return child


def connect(port):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def measure(commands, environment, size, cpu):
    """CPU seconds per GiB. Each command serves a port of its own: one for both directions, or one for each."""
    listener = socket.create_server(("127.0.0.1", 0))
    there = "127.0.0.1:%d" % listener.getsockname()[1]
    ports = [free_port() for _ in commands]
    others = set(os.sched_getaffinity(0)) - {cpu} or {cpu}
    proxies = [subprocess.Popen([word.format(port=port, there=there) for word in command],
                                env=dict(os.environ, **environment), stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
               for command, port in zip(commands, ports)]
    try:
        near, far = [], []
        for port in ports:
            near.append(connect(port))
            far.append(listener.accept()[0])
        ways = [start_way(others, send, near[0], size), start_way(others, receive, far[0], size),
                start_way(others, send, near[1] if len(ports) > 1 else far[0], size),
                start_way(others, receive, far[-1] if len(ports) > 1 else near[0], size)]
        codes = [os.waitpid(child, 0)[1] for child in ways]
        if any(codes):
            raise SystemExit("%s: the streams did not arrive whole" % commands[0][0])
        for connection in near + far:
            connection.close()
        return sum(finish(proxy) for proxy in proxies) / (2 * size / (1 << 30))
    finally:
        for proxy in proxies:
            if proxy.returncode is None:
                proxy.kill()
                proxy.wait()
        listener.close()


def finish(proxy):
    """Ends a proxy: the CPU seconds it has used."""
    os.kill(proxy.pid, signal.SIGTERM)  # and not terminate(), which may reap it
    _, status, used = os.wait4(proxy.pid, 0)
    proxy.returncode = status
    return used.ru_utime + used.ru_stime


def entries(build, directory):
    ours = [os.path.join(build, "examples", "example_port_forward"), "127.0.0.1:{port}", "{there}"]
    for poller in ("epoll", "io_uring"):
        yield "coracle " + poller, [ours], {"COR_POLLER": poller, "COR_WORKERS": "1"}
    if shutil.which("go"):
        program = os.path.join(directory, "proxy")
        subprocess.run(["go", "build", "-o", program, os.path.join(HERE, "go", "proxy.go")], check=True)
        yield GO, [[program, "127.0.0.1:{port}", "{there}"]], {}
    if shutil.which("socat"):
        command = ["socat", "-u", "TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", "TCP:{there}"]
        yield SOCAT, [command, command], {}


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as directory:
        all_entries = list(entries(options.build, directory))
        figures = {name: [] for name, _, _ in all_entries}
        for _ in range(options.rounds):
            for name, commands, environment in all_entries:
                figures[name].append(measure(commands, environment, options.mib << 20, options.cpu))
    show(figures)


def show(figures):
    """Ratios are made within rounds: what disturbed one proxy is likely to have disturbed the others."""
    others = [name for name in AIMS if name in figures]
    print("| proxy | CPU seconds per GiB | %s |" % " | ".join("to %s" % name for name in others))
    print("|---|---|%s" % ("---|" * len(others)))
    for name, values in figures.items():
        cells = [spread(values)] + [spread([a / b for a, b in zip(values, figures[other])]) for other in others]
        print("| %s | %s |" % (name, " | ".join(cells)))
    for name in figures:
        for other in others if name.startswith("coracle") else ():
            ratio = statistics.median(a / b for a, b in zip(figures[name], figures[other]))
            print("%s to %s: %.2f, aimed at %.2f at most: %s" % (
                name, other, ratio, AIMS[other], "met" if ratio <= AIMS[other] else "MISSED"))


def spread(values):
    return "%.3f (%.3f to %.3f)" % (statistics.median(values), min(values), max(values))


if __name__ == "__main__":
    main()
