# SPDX-License-Identifier: MIT
"""Attacks G2 and G3: the same again, ten thousand times; and with very many workers."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import BIN, SOURCE, close_all, join, message, need_json, serve

from dialogues import DIALOGUES, whole
from ground import EACH, Ground


class G2(Ground):
    """Each service 10,000 times from connect to close: no descriptor, task or memory is left. A sanitizer in the
    program, or valgrind over some hundred of each, finds what is not freed at its end."""

    def test_cycles(self):
        need_json()
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked(*DIALOGUES, poller=poller, workers=workers) as server:
                for _ in self.cycles(server):
                    for service in DIALOGUES:
                        for _ in range(self.size(10000, 25)):
                            whole(self, server, service)
            self.assertEqual(set(server.counters), {"eof"})

    def test_nothing_left_at_the_end(self):
        """By valgrind, at full size only: it takes a second to start."""
        if not self.full or os.environ.get("COR_SANITIZE"):
            raise unittest.SkipTest("at full size, and without a sanitizer")
        valgrind = shutil.which("valgrind")
        if not valgrind:
            raise unittest.SkipTest("valgrind is not installed")
        need_json()
        for poller, workers in EACH[:2]:  # it knows io_uring's calls too little
            with self.subTest(poller=poller, workers=workers), tempfile.TemporaryDirectory() as folder, serve(
                    *DIALOGUES, workers=workers, options=("--quiet", "--poller", poller, "--grace", "5s"),
                    before=(valgrind, "--leak-check=full", "--error-exitcode=99", "--log-file=" + folder + "/log")
            ) as server:
                for service in DIALOGUES:
                    for _ in range(300):
                        whole(self, server, service)
                server.signal(signal.SIGTERM)
                code = server.wait(60)
                with open(folder + "/log", encoding="utf-8") as file:
                    text = file.read()
                self.assertEqual(code, 0, text[-3000:])
                print(", ".join(re.findall(r"(?:definitely|indirectly|possibly) lost: \S+ bytes|no leaks are possible",
                                           text)))


class G3(Ground):
    """Many more workers than processors; at full size tests/attack/races.sh runs the suites so, under TSan."""

    def test_many_workers(self):
        need_json()
        for poller, workers in (("epoll", 8), ("io_uring", 8)) + self.size((("epoll", 64), ("io_uring", 64)), ()):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked(*DIALOGUES, poller=poller, workers=workers) as server:
                server.room += 1 << 30  # each has its own caches, filled one after the other
                for _ in self.cycles(server):
                    self.mix(server, self.size(200, 4))

    def mix(self, server, count):
        """All services at once, and a room that talks meanwhile."""
        members = join(self, type("Room", (), {"connect": lambda _: server.connect("broadcast")})(), 4)
        for number in range(count):
            peers = [(service, server.connect(service)) for service in DIALOGUES]
            for service, peer in peers:
                peer.send(DIALOGUES[service][0])
            members[number % 4].send(message("meanwhile"))
            for _, peer in peers:
                peer.half_close()
                peer.gone()
                peer.close()
        for member in members:
            member.half_close()
        for member in members:
            member.gone()
        close_all(*members)

    def test_the_suites(self):
        if not self.full:
            raise unittest.SkipTest("at full size: hours of a sanitizer's time")
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "races.sh")
        self.assertEqual(subprocess.run((script, os.path.dirname(os.path.dirname(BIN)) + "/tsan"), cwd=SOURCE,
                                        check=False).returncode, 0)
