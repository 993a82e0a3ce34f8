# SPDX-License-Identifier: MIT
"""Attacks D and F on the life of a server: killed and started again, reloaded, and replaced under load."""
import contextlib
import json
import os
import pwd
import re
import signal
import subprocess
import sys
import tempfile

from harness import BIN, Peer, Program, gone, need_tool, serve, wait_until

from ground import EACH, Ground

HERE = os.path.dirname(os.path.abspath(__file__))


class Load:
    """Short connections at a rate, made by processes of their own. After `with`, `counts` says how they went."""

    def __init__(self, address, rate, processes=1):
        self.counts = {}
        self.children = [subprocess.Popen(
            [sys.executable, os.path.join(HERE, "load.py"), address[0], str(address[1]), str(rate / processes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(processes)]

    def __enter__(self):
        for child in self.children:
            child.stdout.readline()
        return self

    def __exit__(self, *_):
        for child in self.children:
            out, _ = child.communicate(b"\n", timeout=60)
            for word, value in json.loads(out).items():
                if word == "error":
                    self.counts[word] = value
                else:
                    self.counts[word] = self.counts.get(word, 0) + value


class D4(Ground):
    """Reloads and restarts under load: no client is refused or cut, and what is wrong changes nothing."""

    def only_done(self, load):
        self.assertEqual({word: value for word, value in load.counts.items() if word not in ("done", "seconds")},
                         {"refused": 0, "reset": 0, "cut": 0, "late": 0})
        self.assertGreater(load.counts["done"], 0)
        if self.full:
            seconds = load.counts["seconds"] / len(load.children)
            print("%d connections, %.0f a second" % (load.counts["done"], load.counts["done"] / seconds))

    def test_reloads(self):
        """Every third list is wrong: the one before stays in force."""
        count = self.size(500, 12)
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "allow")
                self.write(path, "127.0.0.0/8\n")
                with serve("echo", workers=workers, options=("--quiet", "--poller", poller, "--allow", "@" + path)) as \
                        server, Load(server.address(), self.size(5000, 200), self.size(2, 1)) as load:
                    bad = 0
                    for number in range(count):
                        wrong = number % 3 == 2
                        more = "no address" if wrong else "10.0.0.0/%d" % (8 + number % 8)
                        self.write(path, "127.0.0.0/8\n%s\n" % more)
                        before = len(server.err)
                        server.signal(signal.SIGHUP)
                        bad += wrong
                        word = "event=reload_failed" if wrong else "event=reloaded"
                        wait_until(lambda word=word, before=before: word in server.err[before:], word)
                    self.assertEqual(server.err.count("event=reload_failed"), bad)
                self.only_done(load)

    @staticmethod
    def write(path, text):
        """In one step, as an editor should: the server may be reading."""
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def test_restarts(self):
        """A new process each time, and nobody notices."""
        for poller, workers in self.size(EACH, EACH[1:3]):
            with self.subTest(poller=poller, workers=workers):
                self.restarts(poller, workers, self.size(100, 3), self.size(2000, 200))

    def restarts(self, poller, workers, count, rate):
        server = serve("echo", workers=workers,
                       options=("--quiet", "--poller", poller, "--grace", self.size("5s", "1s")))
        pids = [server.pid]
        try:
            with Load(server.address(), rate, self.size(2, 1)) as load:
                for number in range(count):
                    os.kill(pids[-1], signal.SIGUSR2)
                    server.wait_text("event=taken_over ", count=number + 1, name="err", seconds=60)
                    pids.append(int(re.findall(r"event=taken_over pid=(\d+)", server.err)[-1]))
            self.only_done(load)
            os.kill(pids[-1], signal.SIGTERM)
            for pid in pids[1:]:
                wait_until(lambda pid=pid: gone(pid), "the end of process %d" % pid, 60)
            self.assertEqual(server.wait(), 0, server.describe())
            ends = re.findall(r"event=stopped accepted=(\d+) closed=(\d+) open=(\d+)", server.err)
            self.assertEqual(len(ends), count + 1)
            for accepted, closed, still in ends:
                self.assertEqual((accepted, still), (closed, "0"))
            # Each client was served by one of them.
            self.assertEqual(sum(int(end[0]) for end in ends), load.counts["done"])
            reasons = "".join(re.findall(r"event=reasons(.*)", server.err))
            self.assertEqual(set(re.findall(r" (\w+)=", reasons)) - {"eof", "reset", "drain"}, set())
        finally:
            for pid in pids[1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            server.stop()


class D2(Ground):
    """kill -9 and a start anew: the port is free at once, a dead socket file is removed, a live one is respected."""

    def test_kill_and_start(self):
        for poller, workers in EACH[::3]:
            with self.subTest(poller=poller, workers=workers), tempfile.TemporaryDirectory() as folder:
                path = "unix://" + os.path.join(folder, "x")
                address = "127.0.0.1:0"
                for _ in range(self.size(200, 4)):
                    with serve("echo=" + address, "random=" + path, workers=workers,
                               options=("--quiet", "--poller", poller)) as server:
                        address = "%s:%d" % server.address("echo")
                        peers = [server.connect("echo") for _ in range(self.size(500, 20))]
                        for peer in peers:
                            peer.send("x")
                            self.assertEqual(peer.read(1), b"x")
                        with server.connect("random") as peer:
                            peer.send("\n")
                            self.assertRegex(peer.line(), rb"\A\d+\n\Z")
                        self.refuses_a_second(path, poller)
                        server.signal(signal.SIGKILL)
                        self.assertEqual(server.wait(), -signal.SIGKILL)
                        for peer in peers:
                            peer.gone()
                            peer.close()

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
        for options, code, text in ((("--user", "no-such-user"), 78, "--user: there is no 'no-such-user' here"),
                                    (("--group", "no-such-group"), 78, "--group: there is no 'no-such-group' here")):
            with Program([BIN, "serve", *options, "echo=127.0.0.1:0"]) as server:
                self.assertEqual(server.wait(), code)
                self.assertIn(text, server.err)

    def test_only_root_can(self):
        with Program([BIN, "serve", "--user", "root", "echo=127.0.0.1:0"],
                     preexec=lambda: os.setuid(self.user.pw_uid)) as server:
            self.assertEqual(server.wait(), 77)
            self.assertIn("only root can become somebody else", server.err)
