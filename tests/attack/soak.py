#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Loads a server for a long time with all kinds of clients and looks whether anything grows.

    tests/attack/soak.py --minutes 60 --svg soak.svg

Clients: some stay and say something now and then; others come, have an echo and go; members of a room talk, one after
the other stops reading and is cut; some break off by RST; some are silent until they are cut. Once a minute the server
is told to read its files again (SIGHUP). Every five seconds memory, descriptors and tasks are asked for, the last two
less the connections that are open then. After a tenth of the time a line is fitted through each. Growth of memory by
more than 1 MiB an hour, of descriptors or tasks by more than one an hour, a lost echo or a wrong answer fail it.
COR_BIN is the program. --quick takes three seconds, and says of growth only what it saw.
"""
import argparse
import csv
import json
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

from ground import ask, has_status  # noqa: E402
from harness import ACK_ANSWER, TOLD, Peer, message, serve, split_address  # noqa: E402

SAMPLE_S = 5.0
LIMITS = {"Rss in KiB": 1024.0, "descriptors": 1.0, "tasks": 1.0}  # an hour
COLOURS = {"Rss in KiB": "#3366cc", "descriptors": "#cc6633", "tasks": "#339966"}


class Load:
    """All clients: each kind is a thread that goes round until `over` is set, and notes what went wrong."""

    def __init__(self, server, seed):
        self.server, self.over = server, threading.Event()
        self.problems, self.counts, self.times = [], {}, []
        self.cut = 0  # members of the room, as the server counts
        kinds = (self.staying, self.passing, self.talking, self.breaking, self.silent)
        self.threads = [threading.Thread(target=self.go, args=(kind, random.Random("%d %s" % (seed, kind.__name__))))
                        for kind in kinds]
        for thread in self.threads:
            thread.start()

    def go(self, kind, choice):
        try:
            kind(choice)
        except Exception as error:  # whatever it is, it is a finding
            self.problems.append("%s: %r" % (kind.__name__, error))

    def count(self, name):
        self.counts[name] = self.counts.get(name, 0) + 1

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def expect(self, got, wanted):
        if got != wanted:
            raise AssertionError("got %r for %r" % (got[:100], wanted[:100]))

    def staying(self, choice):
        peers = [self.server.connect("echo") for _ in range(100)]
        for peer in peers:  # each in time
            peer.send("x")
            self.expect(peer.read(1), b"x")
        while not self.over.wait(0.02):
            peer, text = choice.choice(peers), choice.randbytes(choice.randint(1, 3000))
            begin = time.monotonic()
            peer.send(text)
            self.expect(peer.read(len(text)), text)
            self.times.append(time.monotonic() - begin)
            self.count("echoes")
        for peer in peers:
            peer.close()

    def passing(self, choice):
        while not self.over.wait(0.01):
            with self.server.connect("random") as peer:
                for _ in range(choice.randint(0, 3)):
                    peer.send("\n")
                    if not re.fullmatch(rb"\d+\n", peer.line()):
                        raise AssertionError("no number")
                self.count("passing")

    def member(self, **more):
        peer = Peer(self.server.address("broadcast"), **more)
        peer.send(message("here"))
        while not peer.line().endswith(ACK_ANSWER):
            pass
        return peer

    def talking(self, choice):
        """Ten members; all that one says the others have. Another one does not read: it is cut and replaced."""
        members, stalled, told = [self.member() for _ in range(10)], self.member(small_buffer=4096), 0
        for peer in members:
            peer.sock.settimeout(20)
        while not self.over.wait(0.02):
            told += 1
            speaker, text = members[told % 10], "%d %s" % (told, "z" * choice.choice((10, 100, 5000)))
            speaker.send(message(text))
            for peer in members:
                wanted = speaker.name.encode() + (ACK_ANSWER if peer is speaker else TOLD + text.encode() + b"\n")
                line = peer.line()
                while line.endswith(TOLD + b"here\n"):
                    line = peer.line()
                self.expect(line, wanted)
            self.count("messages")
            if self.cut > self.counts.get("stalled", 0):
                self.count("stalled")
                stalled.close()
                stalled = self.member(small_buffer=4096)
        for peer in (*members, stalled):
            peer.close()

    def breaking(self, choice):
        while not self.over.wait(0.1):
            peers = [self.server.connect(choice.choice(("echo", "random", "broadcast"))) for _ in range(5)]
            for peer in peers:
                peer.send(b'{"mess' * choice.randint(1, 1000))
                peer.reset()
                self.count("resets")

    def silent(self, choice):
        """Says nothing, or half a line, until it is cut."""
        peers = []
        while not self.over.wait(0.5):
            peers.append(self.server.connect("random"))
            peers[-1].send("x" * choice.randint(0, 10))
            if len(peers) > 20:
                peer = peers.pop(0)
                self.expect(peer.gone(), b"")
                peer.close()
                self.count("silent")
        for peer in peers:
            peer.close()


def sample(server, load, begin):
    status = json.loads(ask(server, "/status?limit=1")[1])
    counters = status["counters"]
    still, reasons = counters["open"], counters["closed_by_reason"]
    if counters["accepted"] != still + counters["closed"] or counters["closed"] != sum(reasons.values()):
        load.problems.append("the counters do not add up: %s" % counters)
    load.cut = reasons["slow_consumer"]
    if "tasks" not in status["runtime"]:
        load.count("looks without tasks")  # no worker had half a second for the question
        return None
    return {"seconds": time.monotonic() - begin, "Rss in KiB": server.smaps("Rss"),
            "descriptors": status["process"]["open_fds"] - still, "tasks": status["runtime"]["tasks"] - still,
            "open": still}


def fit(samples, name):
    """Least squares: the growth of one hour, and the value at the beginning."""
    times, values = [one["seconds"] / 3600 for one in samples], [one[name] for one in samples]
    middle_t, middle_v = sum(times) / len(times), sum(values) / len(values)
    spread = sum((one - middle_t) ** 2 for one in times)
    slope = sum((at - middle_t) * (value - middle_v) for at, value in zip(times, values)) / spread if spread else 0.0
    return slope, middle_v - slope * middle_t


def polyline(samples, name, top, height, width, end):
    values = [one[name] for one in samples]
    highest = max(values) * 1.15 or 1
    points = " ".join("%.1f,%.1f" % (70 + width * one["seconds"] / end, top + height - height * one[name] / highest)
                      for one in samples)
    return ('<text x="70" y="%d" fill="%s">%s: %d to %d</text><line x1="70" x2="%d" y1="%d" y2="%d" stroke="#888"/>'
            '<text x="4" y="%d">%d</text><text x="4" y="%d">0</text>'
            '<polyline fill="none" stroke="%s" points="%s"/>') % (
                top - 6, COLOURS[name], name, min(values), max(values), 70 + width, top + height, top + height,
                top + 12, highest, top + height, COLOURS[name], points)


def plot(path, samples, title, slopes):
    """A picture of its own, without any library: three curves above each other, from zero."""
    width, height, end = 720, 120, samples[-1]["seconds"]
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="820" height="560" font-family="sans-serif" '
             'font-size="12">',
             '<rect width="820" height="560" fill="white"/>', '<text x="70" y="20" font-size="14">%s</text>' % title]
    for number, name in enumerate(LIMITS):
        top = 60 + number * 165
        parts.append(polyline(samples, name, top, height, width, end))
        parts.append('<text x="520" y="%d">%+.2f an hour</text>' % (top - 6, slopes[name]))
    for tick in range(7):
        parts.append('<text x="%d" y="548">%.0f min</text>' % (60 + width * tick // 6, end * tick / 360))
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(parts) + "\n</svg>\n")


def p99(times):
    return sorted(times)[len(times) * 99 // 100] * 1000 if times else 0.0


def run(options, server):
    load, begin, samples, reloads = Load(server, options.seed), time.monotonic(), [], 0
    try:
        pause = SAMPLE_S if options.seconds > 60 else 0.5
        while time.monotonic() < begin + options.seconds and not load.problems and server.alive():
            threading.Event().wait(pause)
            one = sample(server, load, begin)
            samples += [one] if one else []
            if time.monotonic() - begin > 60 * (reloads + 1):
                reloads += 1
                server.signal(signal.SIGHUP)
            if options.csv and samples:
                with open(options.csv, "w", encoding="ascii", newline="") as file:
                    writer = csv.DictWriter(file, samples[0])
                    writer.writeheader()
                    writer.writerows(samples)
    finally:
        load.stop()
    server.signal(signal.SIGTERM)
    if server.wait() != 0:
        load.problems.append(server.describe())
    return load, samples, reloads


def judge(options, load, samples, reloads):
    settled = samples[len(samples) // 10:]
    slopes = {name: fit(settled, name)[0] for name in LIMITS}
    half = len(load.times) // 2
    title = "%.0f minutes, %s, %d workers" % (samples[-1]["seconds"] / 60, options.poller, options.workers)
    if options.svg:
        plot(options.svg, samples, title, slopes)
    print("%s, %d reloads; %s" % (title, reloads, ", ".join("%d %s" % (count, name)
                                                          for name, count in sorted(load.counts.items()))))
    print("p99 of an echo: %.2f ms in the first half, %.2f ms in the second" % (
        p99(load.times[:half]), p99(load.times[half:])))
    for name, slope in slopes.items():
        values = [one[name] for one in settled]
        print("%s: %d to %d, %+.2f an hour, at most %+.0f" % (name, min(values), max(values), slope, LIMITS[name]))
    grown = [name for name in LIMITS if slopes[name] > LIMITS[name]] if options.seconds > 60 else []
    for problem in load.problems:
        print("problem: " + problem)
    print("verdict: " + ("flat" if not grown and not load.problems else "NOT flat: " + ", ".join(grown)))
    return 1 if grown or load.problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--poller", default="epoll")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--svg")
    parser.add_argument("--csv")
    options = parser.parse_args()
    options.seconds = 3 if options.quick else options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        with open(folder + "/deny", "w", encoding="ascii") as file:
            file.write("192.0.2.0/24\n")
        with serve("echo", "random", "broadcast", workers=options.workers, options=(
                "--quiet", "--log-level", "error", "--poller", options.poller, "--outbox", "1M", "--slow-after", "2s",
                "--first-byte-timeout", "5s", "--deny", "@" + folder + "/deny", "--admin", "127.0.0.1:0")) as server:
            server.wait_text("listening admin")
            address = re.search(r"^listening admin \S+ (\S+)$", server.out, re.M).group(1)
            server.addresses["admin"] = split_address(address)
            load, samples, reloads = run(options, server)
    return judge(options, load, samples, reloads)


if __name__ == "__main__":
    if not has_status():
        sys.exit(77)
    sys.exit(main())
