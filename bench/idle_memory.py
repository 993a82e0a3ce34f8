#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the memory that an echo server needs per idle connection: connected, after one echo each, after all closed.

Counted is what belongs to the server's process alone (private pages); the kernel's share, about 9 KB per connection
for sockets on both ends, is the same for every server and not counted.
"""
import argparse
import os
import select
import socket
import tempfile
import time

from servers import HERE, Server, about, commands, raise_file_limit

PATIENCE = 60.0  # seconds until something that should happen counts as failed
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
    host, port = address.rsplit(":", 1)
    return [socket.create_connection((host, int(port)), PATIENCE) for _ in range(count)]


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


def await_files(server, least, most):
    """Waits until the server has between `least` and `most` open files: then it has accepted, or closed, them all."""
    deadline = time.monotonic() + PATIENCE
    while not least <= len(os.listdir("/proc/%d/fd" % server.pid)) <= most:
        if time.monotonic() > deadline:
            raise SystemExit("the server has %d open files" % len(os.listdir("/proc/%d/fd" % server.pid)))
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
    with Server(command) as server:
        first = connect(server.address, 1)
        echo(first)
        base = await_calm(server)
        files = len(os.listdir("/proc/%d/fd" % server.pid))
        connections = connect(server.address, count)
        await_files(server, files + count, files + count)
        idle = await_calm(server)
        echo(connections)
        after_echo = await_calm(server)
        for connection in connections:
            connection.close()
        await_files(server, 0, files)
        closed = await_calm(server)
        first[0].close()
    return {"base_bytes": base, "idle_bytes": (idle - base) // count, "echo_bytes": (after_echo - base) // count,
            "closed_bytes": closed}


def row(name, values):
    return "| %s | %d | %d | %d | %d |" % (name, values["base_bytes"] // 1024, values["idle_bytes"],
                                          values["echo_bytes"], values["closed_bytes"] // 1024)


def main():
    options = arguments()
    raise_file_limit()
    lines = ["%s. %d connections." % (about(), options.connections), "",
             "| server | without, KiB | per idle connection, bytes | after an echo each, bytes | all closed, KiB |",
             "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for name, command in commands(options.build, options.extra, options.servers.split(","), folder).items():
            lines.append(row(name, measure(command, options.connections)))
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
