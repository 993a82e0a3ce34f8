# SPDX-License-Identifier: MIT
"""What a time is judged by that a test has measured: the machine may have others to run."""
import time

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
