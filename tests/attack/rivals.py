#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same attacks on other people's servers as on ours: what happens to the healthy clients?

    tests/attack/rivals.py [--only NAME,...] [--attacks A1,A2,A7,C4,D3] [--json FILE] [--table FILE]

Every server runs as it comes, with its own defaults but for the address; A7 alone gives each the same limit. Servers
that are not installed are left out, with a word (`tools/deps.sh rivals` installs them). An echo is asked of those that
have one or run a program; NATS and Redis answer PING; HAProxy passes on to our echo. Only servers that tell a message
to others take part in A2. Everything is on the loopback. COR_BIN is the program. --quick takes tiny numbers.
"""
import argparse
import contextlib
import json
import os
import resource
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

from contenders import RIVALS, Broker, Haproxy, OurRoom, family  # noqa: E402
from harness import BIN  # noqa: E402

STEP = 0.1


def p99(times):
    return sorted(times)[len(times) * 99 // 100] * 1000 if times else 0.0


class Probe(threading.Thread):
    """A healthy client that connects anew ten times a second; and one that has been there from the beginning."""

    def __init__(self, rival):
        super().__init__(daemon=True)
        self.rival, self.over, self.times, self.errors, self.old_errors = rival, threading.Event(), [], [], []
        self.old = rival.connect()
        rival.greet(self.old)
        rival.healthy(self.old)
        self.start()

    def run(self):
        while not self.over.wait(STEP):
            begin = time.monotonic()
            try:
                with self.rival.connect(2.0) as sock:
                    self.rival.greet(sock)
                    self.rival.healthy(sock)
                self.times.append(time.monotonic() - begin)
            except OSError as error:
                self.errors.append(str(error) or repr(error))
            try:
                if not self.old_errors:
                    self.rival.healthy(self.old)
            except OSError as error:
                self.old_errors.append(str(error) or repr(error))

    def stop(self):
        self.over.set()
        self.join()
        self.old.close()

    def text(self):
        asked = len(self.times) + len(self.errors)
        old = "the old one is served" if not self.old_errors else "the OLD one is lost (%s)" % self.old_errors[0]
        if not self.errors:
            return "%d of %d new ones are served, p99 %.0f ms; %s" % (asked, asked, p99(self.times), old)
        often = max(set(self.errors), key=self.errors.count)
        return "%d of %d new ones are NOT served (%s); %s" % (len(self.errors), asked, often, old)


def slowloris(rival, size):
    """Half of 2,000 attackers send nothing, the others a byte every five seconds, for 70 s."""
    if rival.shows:
        return None
    rival.start()
    before, probe, socks, refused = rival.memory(), Probe(rival), [], 0
    for number in range(size(2000, 40)):
        try:
            socks.append(rival.connect(1.0))
            socks[-1].setblocking(False)
        except OSError:
            refused += 1
        if refused > 50:
            break
    begin, length = time.monotonic(), size(70, 2)
    peak = rival.memory()
    while time.monotonic() < begin + length:
        for sock in socks[::2]:
            with contextlib.suppress(OSError):
                sock.send(b"x")
        threading.Event().wait(min(5.0, length / 4))
    probe.stop()
    ended = sum(is_over(sock) for sock in socks)
    for sock in socks:
        sock.close()
    return {"healthy": probe.text(), "attackers": "%d held, %d refused, %d ended after %d s" % (
        len(socks) - ended, refused, ended, length), "memory": "%+d KiB" % (peak - before)}


def is_over(sock):
    sock.setblocking(False)
    try:
        while True:
            if not sock.recv(65536):
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def slow_readers(rival, size):
    """50 MB to 20 readers, one more that takes nothing and one that takes a thousand bytes a second."""
    if not rival.room:
        return None
    rival.start()
    before, payload, count = rival.memory(), b"z" * 10000, size(5000, 50)
    readers = [member(rival) for _ in range(size(20, 3))]
    stalled, trickling, speaker = member(rival, 4096), member(rival, 4096), rival.connect()
    rival.greet(speaker)
    trickling.setblocking(False)
    name = "%s:%d" % speaker.getsockname()
    due = count * len(rival.told(payload, name.encode()))
    state = {"peak": before, "got": dict.fromkeys(readers, 0), "gaps": [], "last": {}, "next": 0.0}
    unsent, sent, over = b"", 0, time.monotonic() + size(60, 10)
    poll = select.epoll()
    for sock in (*readers, speaker):
        sock.setblocking(False)
        poll.register(sock, select.EPOLLIN)
    poll.modify(speaker, select.EPOLLIN | select.EPOLLOUT)
    by_fd, begin, lost = {sock.fileno(): sock for sock in (*readers, speaker)}, time.monotonic(), 0
    while time.monotonic() < over and (sent < count or unsent or any(got < due for got in state["got"].values())):
        for fd, events in poll.poll(0.1):
            sock = by_fd[fd]
            try:
                if sock is speaker and events & select.EPOLLOUT:
                    if not unsent and sent < count:
                        unsent, sent = rival.frame(payload), sent + 1
                    if unsent:
                        unsent = unsent[sock.send(unsent):]
                    if not unsent and sent == count:
                        poll.modify(sock, select.EPOLLIN)
                if events & ~select.EPOLLOUT:
                    lost += take(state, sock, speaker, poll)
            except BlockingIOError:
                pass
            except OSError:
                poll.unregister(sock)
                lost += 1
        look(rival, state, trickling)
        if lost == len(readers) + 1:
            break
    took = time.monotonic() - begin
    whole = sum(got >= due for got in state["got"].values())  # NATS also asks back now and then
    share = 100 * sum(state["got"].values()) / due / len(readers)
    words = "%d of %d readers have all; %.0f %% of the bytes came in %.0f s, %d connections ended" % (
        whole, len(readers), share, took, lost)
    if whole == len(readers):
        words = "%d of %d readers have all of it after %.1f s, p99 of the gaps %.0f ms" % (
            whole, len(readers), took, p99(state["gaps"]))
    result = {
        "healthy": words,
        "attackers": "stalled: %s, trickling: %s" % tuple(
            "cut" if is_over(sock) else "kept" for sock in (stalled, trickling)),
        "memory": "%+d KiB" % (state["peak"] - before)}
    for sock in (*readers, stalled, trickling, speaker):
        sock.close()
    return result


def take(state, sock, speaker, poll):
    """Reads what there is; 1 if the connection has ended."""
    data = sock.recv(1 << 18)
    if not data:
        poll.unregister(sock)
        return 1
    if sock is not speaker:
        now = time.monotonic()
        state["got"][sock] += len(data)
        state["gaps"].append(now - state["last"].get(sock, now))
        state["last"][sock] = now
    return 0


def look(rival, state, trickling):
    now = time.monotonic()
    if now >= state["next"]:
        state["next"] = now + 1.0
        state["peak"] = max(state["peak"], rival.memory())
        with contextlib.suppress(OSError):
            trickling.recv(1000)


def member(rival, buffer=None):
    sock = rival.connect(buffer=buffer)
    rival.greet(sock)
    if hasattr(rival, "join"):
        rival.join(sock)
    return sock


def over_limit(rival, size):
    """A limit of 100 (or what comes nearest), 500 clients more: what they see, and whether there is room at once."""
    if rival.shows or isinstance(rival, (Broker, OurRoom)):
        return None
    limit, more = size(100, 10), size(500, 10)
    rival.start(limit)
    inside, outside = [], []
    for number in range(limit):
        with contextlib.suppress(OSError):
            sock = rival.connect(2.0)
            inside.append(sock)
            rival.greet(sock)
            rival.healthy(sock)
    for _ in range(more):
        try:
            sock = rival.connect(0.5)
        except OSError as error:
            outside.append("connect: " + (error.strerror or str(error)))
            continue
        inside.append(sock)
        sock.settimeout(0.05)
        try:
            rival.greet(sock)
            rival.healthy(sock)
            outside.append("served")
        except TimeoutError:
            outside.append("waits without a word")
        except OSError as error:
            outside.append(error.strerror or str(error).replace("closed: b''", "closed without a word"))
    kept = 0
    for sock in inside[:limit]:
        sock.settimeout(2.0)
        with contextlib.suppress(OSError):
            rival.healthy(sock)
            kept += 1
    for sock in inside[limit:]:
        sock.close()
    inside[0].close()
    begin, served = time.monotonic(), False
    while not served and time.monotonic() < begin + 5:
        with contextlib.suppress(OSError), rival.connect(1.0) as sock:
            rival.greet(sock)
            rival.healthy(sock)
            served = True
    after = "a new one is served %.0f ms after one has left" % ((time.monotonic() - begin) * 1000) if served else \
        "no new one is served within 5 s after one has left"
    for sock in inside:
        sock.close()
    words = sorted(((outside.count(word), word) for word in set(outside)), reverse=True)
    return {"healthy": "%d of the first %d are served on; %s" % (kept, limit, after),
            "attackers": "; ".join("%d %s" % pair for pair in words[:3]), "memory": ""}


def terminal(rival, size):
    """Bytes that act on a terminal, or look like a line of the log: do they reach the server's own output?"""
    evil = (b"\x1b]0;owned\x07", b"\x1b[2J", b"\xc2\x9b31m", "\u202e".encode(), b"x\r\nFAKE ENTRY\r\n", b"\0\x7f\x08")
    rival.start()
    for text in evil:
        with contextlib.suppress(OSError), rival.connect(1.0) as sock:
            sock.sendall(text + b"\r\n")
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
    words = "it goes on"
    if not rival.shows:
        try:
            with rival.connect(5.0) as sock:
                rival.greet(sock)
                rival.healthy(sock)
            words = "a new one is served"
        except OSError as error:
            words = "a new one is NOT served (%s)" % error
    log = rival.log()
    found = [name for name, text in (("ESC", b"\x1b]0;"), ("CSI", b"\x1b[2J"), ("C1", b"\xc2\x9b"), ("bidi", evil[3]),
                                     ("a line of its own", b"\nFAKE ENTRY")) if text in log]
    return {"healthy": words if rival.process.poll() is None else "the server has ended",
            "attackers": "in its output: " + (", ".join(found) or "none of it"), "memory": ""}


def terminated(rival, size):
    """SIGTERM while 200 clients have just asked: how many have their answer, and when does it end, with what?"""
    if rival.shows or isinstance(rival, Broker):
        return None
    rival.start()
    socks = []
    for _ in range(size(200, 10)):
        with contextlib.suppress(OSError):
            sock = rival.connect(2.0)
            socks.append(sock)
            rival.greet(sock)
            rival.healthy(sock)
    served = [sock for sock in socks if not is_over(sock)]
    for sock in served:
        with contextlib.suppress(OSError):
            sock.settimeout(1.0)
            sock.sendall(rival.ask)
    begin = time.monotonic()
    rival.process.terminate()
    answered = 0
    for sock in served:
        sock.settimeout(2.0)
        with contextlib.suppress(OSError):
            answered += bool(sock.recv(65536))
    try:
        code = rival.process.wait(30)
        end = "exit code %s after %.1f s" % (code, time.monotonic() - begin)
    except subprocess.TimeoutExpired:
        end = "runs on after 30 s"
    left = len(family(rival.process.pid)) - 1 if rival.process.poll() is None else 0
    for sock in socks:
        sock.close()
    return {"healthy": "%d of %d have their answer" % (answered, len(served)), "attackers": end,
            "memory": "%d processes left" % left if left else ""}


ATTACKS = {"A1": slowloris, "A2": slow_readers, "A7": over_limit, "C4": terminal, "D3": terminated}


def table(results):
    lines = []
    for letter, attack in ATTACKS.items():
        lines += ["### %s: %s" % (letter, " ".join(attack.__doc__.split())), "",
                  "| server | healthy clients | the others | memory |", "|---|---|---|---|"]
        for name, of in results.items():
            one = of["attacks"].get(letter)
            if one:
                lines.append("| %s | %s | %s | %s |" % (name, one["healthy"], one["attackers"], one["memory"]))
        lines.append("")
    lines += ["### Versions and commands", "", "| server | version | command |", "|---|---|---|"]
    for name, of in results.items():
        lines.append("| %s | %s | `%s` |" % (name, of["version"], of["command"]))
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--attacks", default=",".join(ATTACKS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--table")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    results, only = {}, [name for name in options.only.split(",") if name]
    for rival_class in RIVALS:
        if only and rival_class.name not in only:
            continue
        if not rival_class.installed():
            print("%s: not installed, left out" % rival_class.name)
            continue
        of = results.setdefault(rival_class.name, {"attacks": {}})
        for letter in options.attacks.split(","):
            with tempfile.TemporaryDirectory(prefix="rival-") as folder:
                rival = rival_class(folder)
                try:
                    one = ATTACKS[letter](rival, lambda full, quick: quick if options.quick else full)
                finally:
                    if hasattr(rival, "process"):
                        rival.stop()
                if one:
                    of["attacks"][letter] = one
                    of["version"] = rival.version()
                    of["command"] = " ".join(rival.command()).replace(folder, "DIR").replace(BIN, "coracle").replace(
                        str(rival.port), "PORT") if not isinstance(rival, Haproxy) else "haproxy -db -f CONFIG"
                    print("%s %s: %s" % (letter, rival.name, "; ".join(filter(None, one.values()))), flush=True)
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(results, file, indent=1)
    if options.table:
        with open(options.table, "w", encoding="utf-8") as file:
            file.write(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
