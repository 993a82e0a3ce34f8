# SPDX-License-Identifier: MIT
"""What a time is judged by that a test has measured, since the machine may have others to run; and programs that are
slow at a certain thing, so that a moment which mostly passes unseen lasts."""
import os
import subprocess
import time
import unittest

from harness import need_tool

ECHO_S = 0.005  # seconds that an echo takes at most, where there is a processor for both ends


def slowness(peer, count=200):
    """How many times as long as where it is alone this machine takes for something, 1 at least: by the echoes of a
    client of the service echo. Ask right before that which is to be judged."""
    times = []
    for _ in range(count):
        begin = time.monotonic()
        peer.send("x")
        if peer.read(1) != b"x":
            raise AssertionError("no echo")
        times.append(time.monotonic() - begin)
    return max(1.0, sorted(times)[count * 99 // 100] / ECHO_S)


def held_up(call, ms):
    """The words before a command line that hold each system call of that name up for so long before it is made."""
    return spoiled(call, "delay_enter=%d" % (1000 * ms))


def spoiled(call, fault):
    """The words before a command line that have strace do this to system calls of that name."""
    strace = need_tool("strace")
    if os.environ.get("COR_SANITIZE"):
        raise unittest.SkipTest("no leak can be looked for in a traced process")
    words = (strace, "-D", "-f", "-qq", "-o", os.devnull, "-e", "trace=" + call, "-e", "inject=%s:%s" % (call, fault))
    if subprocess.run((*words, "true"), check=False, capture_output=True, timeout=60).returncode:
        raise unittest.SkipTest("strace may not trace here")
    return words
