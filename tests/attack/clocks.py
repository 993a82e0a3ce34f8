# SPDX-License-Identifier: MIT
"""Attacks D5 and D6: clocks that jump, a server that stands still, processors that others have."""
import calendar
import os
import re
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from harness import PATIENCE, close_all, need_tool, wait_until
from test_systemd import Manager, need_systemd

from ground import EACH, Ground, crowd
from load import Load

BIG = 1000000000  # seconds
DAY = 86400


class Signs(Manager):
    """Stands for systemd with WatchdogSec=, and notes when there were signs of life."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.times, self.over = seconds, [], threading.Event()
        self.env["WATCHDOG_USEC"] = str(seconds * 1000000)
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def listen(self):
        while not self.over.is_set():
            if "WATCHDOG" in (self.next(0.1) or {}):
                self.times.append(time.monotonic())

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        super().__exit__()

    def check(self, case):
        """None was missed: systemd would have ended the service."""
        longest = max(after - before for before, after in zip(self.times, self.times[1:]))
        case.assertLess(longest, self.seconds)
        if case.full:
            print("%d signs of life, at most %.1f s apart" % (len(self.times), longest), flush=True)


class D5(Ground):
    """The wall clock jumps a day back, and ten years on, while limits run; or the monotonic one began long ago. Limits
    in time do not know; what the log says of the time is what the wall clock says."""

    def test_the_wall_clock_jumps(self):
        if os.environ.get("COR_SANITIZE"):
            raise unittest.SkipTest("a sanitizer is to be the first library, and so is the clock's")
        with tempfile.TemporaryDirectory(prefix="attack-") as folder:
            self.build(folder)
            for poller, workers in self.size(EACH, EACH[::3]):
                with self.subTest(poller=poller, workers=workers), \
                        self.attacked("random", poller=poller, workers=workers, options=self.limit(), env={
                            "LD_PRELOAD": folder + "/clock.so", "WALL_CLOCK": folder + "/offset"}) as server:
                    for offset in (-DAY, 10 * 365 * DAY, 0):
                        self.jump(server, folder, offset)
                self.assertEqual(server.counters["first_byte_timeout"], 3)

    @staticmethod
    def build(folder):
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wall_clock.c")
        subprocess.run((need_tool("cc"), "-shared", "-fPIC", "-O1", "-o", folder + "/clock.so", source), check=True)
        with open(folder + "/offset", "wb") as file:
            file.write(struct.pack("q", 0))

    def jump(self, server, folder, offset):
        """The clock jumps while a client's time runs. The log has the date that it shows then."""
        lines, begin = server.err.count("reason=first_byte_timeout"), time.monotonic()
        with server.connect("random") as peer:
            with open(folder + "/offset", "r+b") as file:
                file.write(struct.pack("q", offset))
            today = time.time() + offset
            self.cut_in_time(peer, begin)
        server.wait_text("reason=first_byte_timeout", count=lines + 1, name="err")
        line = [line for line in server.err.splitlines() if "reason=first_byte_timeout" in line][-1]
        stamp = calendar.timegm(time.strptime(line[5:24], "%Y-%m-%dT%H:%M:%S"))
        self.assertLess(abs(stamp - today), PATIENCE, line)
        lasted = int(re.search(r" ms=(\d+)", line).group(1))
        self.assertLess(lasted, 1000 * PATIENCE, line)

    def test_the_monotonic_clock_began_long_ago(self):
        before = ("unshare", "-rT", "--monotonic", str(BIG), "--boottime", str(BIG))
        up = subprocess.run((need_tool("unshare"), *before[1:], "cat", "/proc/uptime"), capture_output=True,
                            check=False)
        if up.returncode != 0 or float(up.stdout.split()[0]) < BIG:
            raise unittest.SkipTest("no clock of its own allowed here")
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("random", poller=poller, workers=workers, options=self.limit(),
                                  before=before) as server:
                begin = time.monotonic()
                with server.connect("random") as peer:
                    self.cut_in_time(peer, begin)
            self.assertEqual(server.counters["first_byte_timeout"], 1)

    def limit(self):
        return ("--first-byte-timeout", "%dms" % self.size(3000, 250))

    def cut_in_time(self, peer, begin):
        """`begin`: before it came."""
        self.assertEqual(peer.read_all(), b"")
        lasted = time.monotonic() - begin
        self.assertGreater(lasted, self.size(2.9, 0.2))
        if self.full:
            self.assertLess(lasted, 4)


class D6(Ground):
    """The server is stopped for longer than its limits and goes on; and it has to share its processors with others that
    would take them all. Clients that did what they should meanwhile are served, not cut, those that come meanwhile too,
    and no watchdog says anything: not the one that looks for tasks that compute, nor the manager's."""

    def quiet(self, server):
        """No burst of time-outs, and no watchdog has spoken."""
        self.assertLessEqual(set(server.counters), {"eof", "reset", "idle"})
        # One that had gone already may be seen as idle before its end is; the clients say that nobody else was.
        idle, ends = server.counters.get("idle", 0), sum(server.counters.values())
        if self.full:
            print("idle: %d of %d ends" % (idle, ends), flush=True)
        self.assertLess(idle, ends / 100)
        self.assertNotIn("event=stall ", server.err)
        self.assertNotIn("event=worker_stalled ", server.err)

    def test_stopped(self):
        seconds, limit = self.size((30, 10000), (3.0, 2000))
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers):
                with self.attacked("random", poller=poller, workers=workers, patience=seconds, timed=False,
                                   options=("--idle-timeout", "%dms" % limit)) as server:
                    for _ in self.cycles(server):
                        # Fewer than the listener's queue takes while nobody accepts.
                        with Load(server.address("echo"), patience=seconds + PATIENCE, rate=100,
                                  lasting=self.size(50, 10), messages=5, pause=limit / 5) as load:
                            self.stop(server, self.size(500, 40), seconds)
                            load.finish()
                            if self.full:
                                print(load.summary(), flush=True)
                            self.assertEqual(load.bad(), {})
                self.quiet(server)

    def stop(self, server, count, seconds):
        peers = crowd(server, "random", count)
        for peer in peers:
            peer.send("\n")
            self.assertRegex(peer.line(), rb"\A\d+\n\Z")
        server.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            for peer in peers:
                peer.send("\n")
            while time.monotonic() < stopped + seconds:
                time.sleep(0.01)  # pacing: as long as the server stands still
        finally:
            server.signal(signal.SIGCONT)
        self.assertEqual(self.cut_of(peers), 0, "of %d who had sent something in time" % count)

    def cut_of(self, peers):
        """How many have no answer. Each leaves as soon as it knows: who stays may be idle while others wait."""
        cut = 0
        with selectors.DefaultSelector() as waiting:
            for peer in peers:
                waiting.register(peer.sock, selectors.EVENT_READ, peer)
            while waiting.get_map():
                ready = waiting.select(PATIENCE)
                self.assertTrue(ready, "nothing for %d clients" % len(waiting.get_map()))
                for key, _ in ready:
                    waiting.unregister(key.fileobj)
                    try:
                        cut += not key.data.line()
                    except ConnectionError:  # closed with what was sent still unread
                        cut += 1
                    key.data.close()
        return cut

    def test_starved(self):
        need_systemd()
        hogs = [subprocess.Popen((sys.executable, "-c", "while True: pass")) for _ in range(self.size(8, 2))]
        try:
            for poller, workers in self.size(EACH, EACH[1::2]):
                with self.subTest(poller=poller, workers=workers), Signs(self.size(10, 5)) as signs:
                    with self.attacked("random", poller=poller, workers=workers, env=signs.env, timed=False,
                                       options=("--idle-timeout", "%ds" % self.size(5, 2))) as server:
                        for _ in self.cycles(server):
                            self.starve(server, self.size(500, 40), self.size(20, 0.2))
                        wait_until(lambda s=signs: len(s.times) > 1, "another sign of life")
                    self.quiet(server)
                    signs.check(self)
        finally:
            for hog in hogs:
                hog.kill()
                hog.wait(PATIENCE)

    def starve(self, server, count, seconds):
        with Load(server.address("echo"), rate=self.size(500, 50), lasting=self.size(50, 10), messages=5) as load:
            peers, over = crowd(server, "random", count), time.monotonic() + seconds
            while time.monotonic() < over:
                for peer in peers:
                    peer.send("\n")
                for peer in peers:
                    self.assertRegex(peer.line(), rb"\A\d+\n\Z")
            load.finish()
            if self.full:
                print(load.summary(), flush=True)
            self.assertEqual(load.bad(), {})
            close_all(*peers)
