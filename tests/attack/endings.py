# SPDX-License-Identifier: MIT
"""Attacks D: connections and the server itself end at bad moments."""
import signal
import time

from harness import GREETING, REPLY, close_all, serve

from ground import EACH, Ground, crowd


class D3(Ground):
    """SIGTERM under load: what was accepted is answered, clients that are stuck are cut at the deadline, exit code 0.
    There is no readiness to look at yet, so that it turns false first is not shown here."""

    def test_drain(self):
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers):
                self.attack(poller, workers, self.size(2000, 60), self.size(20, 4), self.size(5.0, 1.5))

    def attack(self, poller, workers, count, stuck_count, grace):
        with serve("ack", "random", workers=workers,
                   options=("--quiet", "--poller", poller, "--log-level", "debug",
                            "--grace", "%dms" % (grace * 1000))) as server:
            stuck = [server.connect("random") for _ in range(stuck_count)]
            for peer in stuck:
                peer.send("\nin the middle of a li")  # one segment, so one read
                self.assertRegex(peer.line(), rb"\A\d+\n\Z")
            clients = crowd(server, "ack", count)
            server.wait_text("event=accepted ", count=count + stuck_count, name="err")
            for peer in clients:
                peer.send("x")
            begin = time.monotonic()
            server.signal(signal.SIGTERM)
            for peer in clients:
                self.assertEqual(peer.read_all(), REPLY)
            self.assertEqual(server.wait(), 0, server.describe())
            seconds = time.monotonic() - begin
            self.assertGreaterEqual(seconds, grace)
            if self.full:
                self.assertLess(seconds, grace + 1)
            counters = self.check_sums(server)
            self.assertEqual(counters, {"eof": count, "drain": stuck_count})
            close_all(*stuck, *clients)

    def test_a_second_signal(self):
        """At once, however long the grace is."""
        for poller, workers in EACH[::3]:
            with self.subTest(poller=poller, workers=workers), \
                    serve("greet", "random", workers=workers,
                          options=("--poller", poller, "--grace", "10m")) as server, \
                    server.connect("random") as peer, server.connect("greet") as idle:
                self.assertEqual(idle.line(), GREETING)
                peer.send("\npart")
                peer.line()
                server.signal(signal.SIGTERM)
                self.assertEqual(idle.read_all(), b"")
                begin = time.monotonic()
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 128 + signal.SIGTERM)
                if self.full:
                    self.assertLess(time.monotonic() - begin, 0.2)
