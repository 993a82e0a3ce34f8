# SPDX-License-Identifier: MIT
"""Whether the server lives, as the status server says it while workers get no further."""
import contextlib
import ctypes
import os
import time
import unittest

from harness import Case, main, run_coracle, wait_until
from test_status import POLLERS, Asked, echo, setUpModule  # noqa: F401: the last is for unittest


class Held(Case):
    """Workers that get no further, as if their task computed: their threads are stopped, and no other."""
    SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17  # of ptrace(2)
    DEAD = 10.0  # seconds

    def ptrace(self, request, thread):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(request, ctypes.c_long(thread), None, None) != 0:
            raise unittest.SkipTest("ptrace: " + os.strerror(ctypes.get_errno()))

    def hold_first(self, asked):
        """The first worker's thread is the one that began."""
        self.ptrace(self.SEIZE, asked.server.pid)
        self.ptrace(self.INTERRUPT, asked.server.pid)
        os.waitpid(asked.server.pid, 0x40000000)  # __WALL: that it has stopped

    @staticmethod
    def command(asked):
        """What a container's health check hears."""
        done = run_coracle("status", "--live", "%s:%d" % asked.address)
        return done.code, done.out, done.err

    def test_life_ends_with_the_last_worker_and_comes_back(self):
        with contextlib.ExitStack() as stack:
            dead = [stack.enter_context(Asked("echo", poller=poller)) for poller in POLLERS]
            half = [stack.enter_context(Asked("echo", poller=poller, workers=2)) for poller in POLLERS]
            for asked in dead + half:
                self.assertEqual(asked.ask("/livez").text, "ok\n")
                self.assertEqual(self.command(asked), (0, "ok\n", ""))
                self.hold_first(asked)
            begin = time.monotonic()
            for asked in dead:
                self.assertEqual(asked.ask("/livez").status, 200)  # not yet
            for asked in dead:
                wait_until(lambda asked=asked: asked.ask("/livez").status == 503, "/livez to turn")
                self.assertIn("no worker has run a new task", asked.ask("/livez").text)
                self.assertEqual(self.command(asked),
                                 (1, "", "coracle status: 503 no worker has run a new task for 10 s\n"))
                self.assertEqual(asked.ask("/readyz").status, 200)  # it was not told to stop
            self.assertGreaterEqual(time.monotonic() - begin, self.DEAD)
            for asked in half:
                self.assertEqual(asked.ask("/livez").status, 200)  # the other worker
            for asked in dead + half:
                self.ptrace(self.DETACH, asked.server.pid)
                wait_until(lambda asked=asked: asked.ask("/livez").status == 200, "life")
                with asked.server.connect() as peer:
                    self.assertEqual(echo(peer), b"x")


if __name__ == "__main__":
    main()
