# SPDX-License-Identifier: MIT
"""Attacks D and F on the life of a server: killed and started again, reloaded, and replaced under load."""
import os
import pwd
import re
import signal
import statistics
import tempfile
import time

from harness import BIN, Peer, Program, need_tool, serve

from ground import EACH, Ground
from load import Load


class D4(Ground):
    """Reloads and restarts under load: no client is refused or cut, and what is wrong changes nothing. The load wants
    more than there is of the processors, so the healthy client's times are shown, not judged."""

    def load(self, server, rate):
        """`rate` clients a second, and some that are there for longer than a reload or a restart takes."""
        return Load(server.address("echo"), rate=rate, lasting=self.size(50, 10), messages=self.size(20, 5),
                    pause=self.size(100, 40))

    @staticmethod
    def pace(begin, seconds):
        """The next one not before its time: each is a line in the log, or several."""
        time.sleep(max(0, begin + seconds - time.monotonic()))  # pacing: so many a second

    def all_served(self, load):
        load.finish()
        if self.full:
            print(load.summary(), flush=True)
        self.assertEqual(load.bad(), {})
        self.assertGreater(load.counts["passing"], 0)
        self.assertGreater(load.counts["lasting"], 0)

    def test_reloads(self):
        """Every third list is wrong: the one before stays in force."""
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "allow")
                self.write(path, "127.0.0.0/8\n")
                with self.attacked("echo", poller=poller, workers=workers, options=("--allow", "@" + path),
                                   timed=False) as server:
                    for _ in self.cycles(server):
                        with self.load(server, self.size(5000, 500)) as load:
                            self.reloads(server, path, self.size(500, 12))
                            self.all_served(load)

    def reloads(self, server, path, count):
        for number in range(count):
            wrong = number % 3 == 2
            more = "no address" if wrong else "10.0.0.0/%d" % (8 + number % 8)
            self.write(path, "127.0.0.0/8\n%s\n" % more)
            word = "event=reload_failed " if wrong else "event=reloaded "
            before = server.err.count(word)
            begin = time.monotonic()
            server.signal(signal.SIGHUP)
            server.wait_text(word, count=before + 1, name="err")
            self.pace(begin, 0.025)

    @staticmethod
    def write(path, text):
        """In one step, as an editor should: the server may be reading."""
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def test_restarts(self):
        """A new process each time, and nobody notices. Each client is served by one of them, to the end of what it
        wants to say, and nothing is handed on but the sockets."""
        for poller, workers in self.size(EACH, EACH[1:3]):
            with self.subTest(poller=poller, workers=workers):
                begun = 0
                with self.attacked("echo", poller=poller, workers=workers,
                                   options=("--grace", self.size("20s", "4s")), timed=False) as server:
                    for _ in self.cycles(server):
                        with self.load(server, self.size(2000, 300)) as load:
                            for _ in range(self.size(100, 3)):
                                before = time.monotonic()
                                server.take_over()
                                self.pace(before, 0.1)
                            self.all_served(load)
                            begun += load.counts["begun"]
                self.assertLessEqual(set(server.counters), {"eof", "reset", "drain"})
                others = 2 + len(server.probe.times)  # two before the probe
                self.assertEqual(sum(server.counters.values()), begun + others)


class D2(Ground):
    """kill -9 and a start anew: the port is free at once, a dead socket file is removed, a live one is respected, and
    all clients are back in time. They come back as they should, each at a moment of its own."""

    def test_kill_and_start(self):
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), tempfile.TemporaryDirectory() as folder:
                path = "unix://" + os.path.join(folder, "x")
                with self.start(("echo", "random=" + path), poller, workers, ()) as server:
                    self.settle(server, ("echo", "random"))
                    load = Load(server.address("echo"), staying=self.size(500, 40), pause=500)
                    with load:
                        load.wait_text("together ")
                        self.end_by_kill(server)
                        self.kill_and_start(server, load, path, poller, workers)

    def end_by_kill(self, server):
        server.signal(signal.SIGKILL)
        self.assertEqual(server.wait(), -signal.SIGKILL)

    def kill_and_start(self, first, load, path, poller, workers):
        """The last one is ended in order, and has nothing that the first one had not."""
        address, many, starts, others = "%s:%d" % first.address("echo"), load.options["staying"], [], []
        for number in range(2, 2 + self.size(200, 4)):
            with serve("echo=" + address, "random=" + path, workers=workers,
                       options=("--quiet", "--poller", poller)) as server:
                starts.append(1000 * (server.served - server.started))
                others.append(self.start_elsewhere(poller, workers))
                with server.connect("random") as peer:
                    peer.send("\n")
                    self.assertRegex(peer.line(), rb"\A\d+\n\Z")
                self.refuses_a_second(path, poller)
                load.wait_back(number * many)
                self.end_by_kill(server)
        with self.start(("echo=" + address, "random=" + path), poller, workers, ()) as server:
            load.wait_back((len(starts) + 2) * many)
            load.finish()
            server.base, server.tasks = first.base, first.tasks
            self.rest(server)
            self.check_end(server)
        self.judge(load, starts, others)

    def start_elsewhere(self, poller, workers):
        """How many ms it takes to start a server on an address that nobody has had."""
        with serve("echo", workers=workers, options=("--quiet", "--poller", poller)) as server:
            self.end_by_kill(server)
            return 1000 * (server.served - server.started)

    def judge(self, load, starts, others):
        """None had to wait, or heard anything wrong. A start takes no longer on an address of which somebody has just
        been killed; where others take as long it is the machine, and times are not judged."""
        self.assertEqual(load.bad().keys() & {"late", "wrong", "other", "skipped"}, set(), load.counts)
        if self.full:
            away, late, elsewhere = load.away()[1:], self.p95(starts), self.p95(others)
            print("%d starts: median %.0f ms, 95 of 100 %.0f ms, on a new address %.0f and %.0f ms; all were back "
                  "after %.0f ms, at most %d ms; %d came, %d were refused" % (
                      len(starts), statistics.median(starts), late, statistics.median(others), elsewhere,
                      statistics.median(away), max(away), load.counts["back"], load.counts["refused"]), flush=True)
            self.assertLess(max(away), 5000)
            if elsewhere < 100:
                self.assertLess(late, 100)

    @staticmethod
    def p95(times):
        return sorted(times)[len(times) * 95 // 100]

    def refuses_a_second(self, path, poller):
        with Program([BIN, "serve", "--poller", poller, "random=" + path]) as second:
            self.assertEqual(second.wait(), 75)
            self.assertIn("address already in use", second.err)


class F1(Ground):
    """Started by root with --user: it listens where only root may, and there is no way back."""

    def setUp(self):
        if os.getuid() != 0:
            self.skipTest("only root can become somebody else")
        need_tool("unshare")
        self.user = pwd.getpwnam("nobody")

    def status(self, server):
        """What the kernel says of each thread: dicts of /proc/PID/task/TID/status."""
        found = []
        for thread in os.listdir("/proc/%d/task" % server.pid):
            with open("/proc/%d/task/%s/status" % (server.pid, thread), encoding="ascii") as status:
                found.append(dict(re.split(r":\s*", line.strip(), maxsplit=1) for line in status))
        return found

    def powerless(self, server):
        for thread in self.status(server):
            self.assertEqual(thread["Uid"].split(), [str(self.user.pw_uid)] * 4)
            self.assertEqual(thread["Gid"].split(), [str(self.user.pw_gid)] * 4)
            self.assertEqual(set(map(int, thread["Groups"].split())),
                             set(os.getgrouplist("nobody", self.user.pw_gid)))
            for word in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertEqual(int(thread[word], 16), 0, word)
            self.assertEqual(thread["NoNewPrivs"], "1")

    def test_no_way_back(self):
        """Port 80 of a network of its own, a socket file in root's folder, a list that is read again."""
        for poller, workers in EACH[::3]:
            with self.subTest(poller=poller, workers=workers), tempfile.TemporaryDirectory() as folder, \
                    tempfile.NamedTemporaryFile("w", encoding="ascii") as allowed:
                allowed.write("127.0.0.0/8\n")
                allowed.flush()
                os.chmod(allowed.name, 0o644)
                path = os.path.join(folder, "x")
                argv = ["unshare", "-n", BIN, "serve", "--quiet", "--poller", poller, "--workers", str(workers),
                        "--user", "nobody", "--allow", "@" + allowed.name, "echo=0.0.0.0:80", "echo=unix://" + path]
                with Program(argv) as server:
                    if "unshare failed" in server.err:
                        self.skipTest("no network namespace here")
                    server.wait_text("listening echo unix ")
                    self.powerless(server)
                    with Peer(path) as peer:
                        peer.send("x")
                        self.assertEqual(peer.read(1), b"x")
                    server.signal(signal.SIGHUP)
                    server.wait_text("event=reloaded blocks=1", name="err")
                    self.powerless(server)
                    server.signal(signal.SIGTERM)
                    self.assertEqual(server.wait(), 0, server.describe())

    def test_what_cannot_be(self):
        for options, code, text in ((("--user", "no-such-user"), 78, "--user: there is no user 'no-such-user'"),
                                    (("--group", "no-such-group"), 78, "--group: there is no group 'no-such-group'")):
            with Program([BIN, "serve", *options, "echo=127.0.0.1:0"]) as server:
                self.assertEqual(server.wait(), code)
                self.assertIn(text, server.err)

    def test_only_root_can(self):
        with Program([BIN, "serve", "--user", "root", "echo=127.0.0.1:0"],
                     preexec=lambda: os.setuid(self.user.pw_uid)) as server:
            self.assertEqual(server.wait(), 77)
            self.assertIn("only root can switch", server.err)
