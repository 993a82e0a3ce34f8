#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the CPU that the room spends to deliver a message to a member by WebSocket, beside one by TCP.

One publisher, by TCP, sends 64 messages and waits until everybody has them, then the next 64. The server
has one worker on a CPU of its own; what members get is counted, not looked at. The rounds are interleaved, and the
median (least to most) is printed.
"""
import argparse
import os
import re
import selectors
import socket
import statistics
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
WINDOW = 64
SAYS = " 地址发送了请求消息：".encode()
ACK = ": 已经收到信息\n".encode()
UPGRADE = (b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
KINDS = ("tcp", "ws")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build", "release"), metavar="DIR")
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--bytes", type=int, default=64, help="of a message")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--poller", default="epoll")
    parser.add_argument("--cpu", type=int, default=1, help="the server's; the load runs on the others")
    return parser.parse_args()


def cpu_ns(pid):
    used = 0
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, thread), encoding="ascii") as stat:
            used += int(stat.read().split()[0])
    return used


def read_exactly(sock, size):
    while size > 0:
        got = len(sock.recv(min(size, 1 << 16)))
        if got == 0:
            raise SystemExit("the server has ended a connection")
        size -= got


def connect(address, kind):
    """A member; when it returns the room knows it."""
    sock = socket.create_connection(address)
    if kind == "ws":
        sock.sendall(UPGRADE + b"\x89\x80abcd")  # and a ping, which is answered once it is a member
        head = b""
        while not head.endswith(b"\x8a\x00"):
            head += sock.recv(1)
    else:
        sock.sendall(b"{}")
        while not sock.recv(1 << 16).endswith(b"\n"):
            pass
    return sock


class Room:
    """A server with its members of one kind."""

    def __init__(self, options, kind):
        command = [os.path.join(options.build, "coracle"), "serve", "--quiet", "--workers", "1", "--poller",
                   options.poller, "--per-ip", "0", "--accept-rate", "0", "broadcast=127.0.0.1:0"]
        command += ["broadcast=ws://127.0.0.1:0"] if kind == "ws" else []
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                       preexec_fn=lambda: os.sched_setaffinity(0, {options.cpu}))
        at = {}
        while len(at) < (2 if kind == "ws" else 1):
            network, port = re.match(r"listening broadcast (\S+) 127\.0\.0\.1:(\d+)\n",
                                     self.server.stdout.readline()).groups()
            at[network] = ("127.0.0.1", int(port))
        self.publisher = connect(at["tcp"], "tcp")
        self.members = [connect(at[kind], kind) for _ in range(options.members)]
        name = b"%s:%d" % (self.publisher.getsockname()[0].encode(), self.publisher.getsockname()[1])
        self.heard = WINDOW * len(name + ACK)
        line = len(name + SAYS) + options.bytes
        self.told = WINDOW * (line + (1 if kind == "tcp" else 2 if line < 126 else 4))
        self.window = b'{"message":"%s"}' % (b"x" * options.bytes) * WINDOW
        self.selector = selectors.DefaultSelector()
        for member in self.members:
            member.setblocking(False)
            self.selector.register(member, selectors.EVENT_READ)

    def send_window(self, buffer):
        self.publisher.sendall(self.window)
        missing = self.told * len(self.members)
        while missing > 0:
            for key, _ in self.selector.select():
                missing -= key.fileobj.recv_into(buffer)
        if missing != 0:
            raise SystemExit("members have heard %d bytes too many" % -missing)
        read_exactly(self.publisher, self.heard)

    def measure(self, seconds):
        """Nanoseconds of CPU for a delivery."""
        buffer = bytearray(1 << 18)
        self.send_window(buffer)
        before, deliveries, end = cpu_ns(self.server.pid), 0, time.monotonic() + seconds
        while time.monotonic() < end:
            self.send_window(buffer)
            deliveries += WINDOW * len(self.members)
        return (cpu_ns(self.server.pid) - before) / deliveries

    def close(self):
        self.server.terminate()
        self.server.wait()


def main():
    options = arguments()
    os.sched_setaffinity(0, set(os.sched_getaffinity(0)) - {options.cpu} or {options.cpu})
    rooms = {kind: Room(options, kind) for kind in KINDS}
    found = {kind: [] for kind in KINDS}
    for _ in range(options.rounds):
        for kind, room in rooms.items():
            found[kind].append(room.measure(options.seconds))
    for room in rooms.values():
        room.close()
    ratios = [ws / tcp for tcp, ws in zip(found["tcp"], found["ws"])]
    for kind, values in (*found.items(), ("ws to tcp", ratios)):
        form = "%.2f (%.2f to %.2f)" if kind == "ws to tcp" else "%.0f ns (%.0f to %.0f)"
        print("%-10s %s" % (kind, form % (statistics.median(values), min(values), max(values))))


if __name__ == "__main__":
    main()
