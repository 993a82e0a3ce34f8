# SPDX-License-Identifier: MIT
"""Attack F2: a stranger in the sandboxed process (stranger.c) reaches for files, programs, hosts, and rings."""
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import need_tool, run_coracle, serve, wait_until

from ground import EACH, Ground, ask, has_status

EPERM, EACCES = -1, -13
# What a filter denies, and what Landlock does on the way to a file; all of it is logged by its name.
CALLS = {"shadow": ("openat", EACCES), "write": ("openat", EACCES), "unlink": ("unlink", EACCES),
         "socket": ("socket", EPERM), "connect": ("connect", EPERM), "fork": ("clone", EPERM),
         "code": ("mmap", EPERM), "ptrace": ("ptrace", EPERM), "kill": ("kill", EPERM), "exec": ("execve", EPERM),
         "new_ring": ("io_uring_setup", EPERM)}


class F2(Ground):
    """Whatever it tries, on each thread that it can be on, is denied, counted and logged; clients notice nothing."""

    @classmethod
    def setUpClass(cls):
        if os.environ.get("COR_SANITIZE"):
            raise unittest.SkipTest("a sanitizer is to be the first library, and so is the stranger's")
        version = run_coracle("--version").out
        if "sandbox: on" not in version:
            raise unittest.SkipTest("built without libseccomp")
        cls.folder = tempfile.TemporaryDirectory(prefix="attack-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.has_ring = "io_uring is available" in version
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stranger.c")
        subprocess.run((need_tool("cc"), "-shared", "-fPIC", "-O1", *(["-DRING"] if cls.has_ring else []), "-o",
                        cls.folder.name + "/stranger.so", source, *(["-luring"] if cls.has_ring else [])), check=True)

    def setUp(self):
        if os.getuid() != 0:
            self.skipTest("without root it is no feat to keep anybody from /etc/shadow")
        self.aim = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.aim.close)
        with open(self.folder.name + "/left", "w", encoding="ascii"):
            pass
        self.env = {"LD_PRELOAD": self.folder.name + "/stranger.so", "STRANGER_FILE": self.folder.name + "/left",
                    "STRANGER_PORT": str(self.aim.getsockname()[1])}

    def threads(self, server):
        """What the kernel says of each thread."""
        found = {}
        for thread in os.listdir("/proc/%d/task" % server.pid):
            with open("/proc/%d/task/%s/status" % (server.pid, thread), encoding="ascii") as status:
                found[int(thread)] = dict(re.split(r":\s*", line.strip(), maxsplit=1) for line in status)
        return found

    def let_loose(self, server, thread):
        """Gives what the stranger says of its attempts on that thread."""
        before = server.err.count("stranger exec=")
        self.assertEqual(ctypes.CDLL(None).tgkill(server.pid, thread, signal.SIGRTMIN + 3), 0)
        server.wait_text("stranger exec=", count=before + 1, name="err")
        words = "".join(re.findall(r"^stranger .*$", server.err, re.M)[-2:])
        return {word: int(code) for word, code in re.findall(r" (\w+)=(-?\d+)", words)}

    def expected(self, poller, landlock):
        found = {word: code for word, (_, code) in CALLS.items() if self.has_ring or word != "new_ring"}
        if self.has_ring:  # through a ring only Landlock sees it, and by another poller no ring can be entered
            denied = EACCES if poller == "io_uring" else EPERM
            found.update(ring_shadow=denied, ring_connect=denied if landlock >= 4 or denied == EPERM else 0)
        return found

    def test_stranger(self):
        for poller, workers in EACH:
            if poller == "io_uring" and not self.has_ring:
                continue
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked(poller=poller, workers=workers, env=self.env, options=("--sandbox", "on")) as server:
                landlock = int(re.search(r"event=sandbox\w+ landlock=(\d+)", server.err).group(1))
                tried = 0
                for _ in range(self.size(20, 1)):
                    tried += self.round(server, workers, self.expected(poller, landlock))
                self.check_told(server, poller, tried)
                self.assertTrue(os.path.exists(self.env["STRANGER_FILE"]))

    def round(self, server, workers, wanted):
        """On each worker once; as often the healthy client has had its turn. Gives how many there are."""
        bit, tried = 1 << (signal.SIGRTMIN + 3 - 1), 0
        for thread, status in self.threads(server).items():
            self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"), status["Name"])
            if not int(status["SigBlk"], 16) & bit:
                tried += 1
                turns = len(server.probe.times) + self.size(2, 0)
                found = self.let_loose(server, thread)
                self.assertEqual({word: found[word] for word in wanted}, wanted)
                wait_until(lambda turns=turns: len(server.probe.times) >= turns, "the healthy client's turn")
        self.assertEqual(tried, workers)
        return tried

    def check_told(self, server, poller, tried):
        wanted = [call for word, (call, _) in CALLS.items() if self.has_ring or word != "new_ring"]
        if self.has_ring and poller == "epoll":
            wanted += ["io_uring_enter"] * 2
        server.wait_text("event=sandbox_denied ", count=tried * len(wanted), name="err")
        told = re.findall(r"event=sandbox_denied call=(\w+) number=\d+", server.err)
        self.assertEqual(sorted(told), sorted(tried * wanted))
        if has_status():
            status = json.loads(ask(server, "/status?limit=1")[1])
            self.assertEqual(status["sandbox"]["denied"], len(told))

    def test_without_a_sandbox(self):
        """The same attempts reach their aims: that they fail is the sandbox's doing."""
        with serve("echo", options=("--quiet",), env=self.env) as server:
            server.signal(signal.SIGRTMIN + 3)
            self.assertEqual(server.wait(), 0, server.describe())  # it has become /bin/true
            found = dict(re.findall(r" (\w+)=(-?\d+)", re.search(r"^stranger .*$", server.err, re.M).group()))
            del found["ptrace"]  # whoever traces this test would be in the way
            self.assertEqual({word for word, code in found.items() if code != "0"},
                             set() if self.has_ring else {"new_ring", "ring_shadow", "ring_connect"})
