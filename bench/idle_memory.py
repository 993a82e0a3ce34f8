#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the memory that an echo server needs per idle connection: connected, after one echo each, after all closed.

Counted is what belongs to the server's process alone: private pages, and the page tables they need. Beside it stands
what the kernel keeps for a connection, on both ends together (as root; the clients are plain sockets without a poller).
"""
import argparse
import os
import select
import socket
import tempfile
import time

from kernel_memory import settled
from servers import HERE, Server, about, commands, raise_file_limit

PATIENCE = 60.0  # seconds until something that should happen counts as failed
IP_BIND_ADDRESS_NO_PORT = 24  # the port is chosen when the other end is known
MESSAGE = b"sixty-four bytes, the size that the side-by-side runs use, too.\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build", "release"), metavar="DIR")
    parser.add_argument("--connections", type=int, default=10000)
    parser.add_argument("--servers", default="raw,coracle,coracle_uring,go", metavar="NAME,...")
    parser.add_argument("--with", action="append", default=[], dest="extra", metavar="NAME=COMMAND")
    parser.add_argument("--output", metavar="FILE", help="write the table here too")
    return parser.parse_args()


def connect(address, count):
    """Connects from several addresses, so that ports do not run out, even if those of earlier runs are still held."""
    host, port = address.rsplit(":", 1)
    connections = []
    for number in range(count):
        connection = socket.socket()
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind(("127.0.0.%d" % (2 + number % 200), 0))
        connection.settimeout(PATIENCE)
        connection.connect((host, int(port)))
        connections.append(connection)
    return connections


def echo(connections):
    """Each sends a message and gets it back, in portions so that all are parked again in between."""
    for connection in connections:
        connection.sendall(MESSAGE)
    for connection in connections:
        got = b""
        while len(got) < len(MESSAGE):
            part = connection.recv(len(MESSAGE) - len(got))
            if not part:
                raise SystemExit("the server closed a connection")
            got += part
        if got != MESSAGE:
            raise SystemExit("the server sent back something else")


def open_files(server):
    """Asked for their number (Linux 6.2) the kernel makes no inode for each, as it does for a list of them."""
    folder = "/proc/%d/fd" % server.pid
    return os.stat(folder).st_size or len(os.listdir(folder))


def await_files(server, least, most):
    """Waits until the server has between `least` and `most` open files: then it has accepted, or closed, them all."""
    deadline = time.monotonic() + PATIENCE
    while not least <= open_files(server) <= most:
        if time.monotonic() > deadline:
            raise SystemExit("the server has %d open files" % open_files(server))
        select.select([], [], [], 0.02)


def await_calm(server):
    """Waits until the server has used no CPU time for 0.2 s."""
    deadline = time.monotonic() + PATIENCE
    used = -1
    while used != server.cpu_ticks() and time.monotonic() < deadline:
        used = server.cpu_ticks()
        select.select([], [], [], 0.2)
    return server.private_bytes()


def measure(command, count):
    """What the server needs without connections, for each of `count`, and when all have been closed, in bytes."""
    return observe(command, count)[0]


def observe(command, count):
    """The same, and what the kernel has added for each connection: cache -> objects, bytes of one."""
    with Server(command) as server:
        first = connect(server.address, 1)
        echo(first)
        base = await_calm(server)
        files = open_files(server)
        kernel, tables = settled(), server.status_bytes("VmPTE")
        connections = connect(server.address, count)
        await_files(server, files + count, files + count)
        idle = await_calm(server)
        kernel_idle, tables = settled(), server.status_bytes("VmPTE") - tables
        echo(connections)
        after_echo = await_calm(server)
        for connection in connections:
            connection.close()
        await_files(server, 0, files)
        closed = await_calm(server)
        first[0].close()
    values = {"base_bytes": base, "idle_bytes": (idle - base) // count, "echo_bytes": (after_echo - base) // count,
              "closed_bytes": closed, "table_bytes": tables // count}
    if kernel_idle.caches:
        values["kernel_bytes"] = round(kernel_idle.bytes_since(kernel, count))
    return values, kernel_idle.caches_since(kernel, count)


def row(name, values):
    return "| %s | %d | %d | %d | %d | %d | %s |" % (
        name, values["base_bytes"] // 1024, values["idle_bytes"], values["echo_bytes"], values["closed_bytes"] // 1024,
        values["table_bytes"], values.get("kernel_bytes", "not readable"))


def listed(caches):
    """Which objects of the kernel make up its share, the greatest first."""
    return ", ".join("%.1f %s of %d" % (each, name, size) for name, (each, size) in sorted(
        caches.items(), key=lambda item: -item[1][0] * item[1][1]))


def main():
    options = arguments()
    raise_file_limit()
    lines = ["%s. %d connections." % (about(), options.connections), "",
             "| server | without, KiB | per idle connection, bytes | after an echo each, bytes | all closed, KiB "
             "| page tables per connection, bytes | kernel per connection, both ends, bytes |",
             "|---|---|---|---|---|---|---|"]
    kernel = []
    with tempfile.TemporaryDirectory() as folder:
        for name, command in commands(options.build, options.extra, options.servers.split(","), folder).items():
            values, caches = observe(command, options.connections)
            lines.append(row(name, values))
            kernel.append("%s: %s" % (name, listed(caches)))
    lines += ["", "The kernel's objects per connection, each with its bytes:", *kernel]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
