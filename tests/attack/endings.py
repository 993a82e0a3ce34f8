# SPDX-License-Identifier: MIT
"""Attacks D: connections and the server itself end at bad moments."""
import itertools
import signal
import time

from harness import GREETING, REPLY, TOLD, close_all, join, message, need_json, serve, wait_until

from dialogues import DIALOGUES, whole
from ground import EACH, Ground, crowd


class D1(Ground):
    """Clients break off in the middle: after each byte of what they would send, and before the rest of the answers; a
    thousand in the same moment; and members of a room before they have their acknowledgements. Each has its reason, and
    the others hear what was acknowledged."""
    REASONS = {"eof", "reset", "drain"}

    def test_after_each_byte(self):
        services = tuple(DIALOGUES)
        need_json()
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked(*services, poller=poller, workers=workers) as server:
                for _ in self.cycles(server):
                    for service in services:
                        self.cut_everywhere(server, service)
                        whole(self, server, service)
            self.assertLessEqual(set(server.counters), self.REASONS)

    def cut_everywhere(self, server, service):
        words = DIALOGUES[service][0]
        step = self.size(1, 4)
        for count, how in itertools.product(range(0, len(words) + 1, step), ("reset", "close", "half_close")):
            peer = server.connect(service)
            peer.send(words[:count])
            getattr(peer, how)()
            if how == "half_close":
                peer.gone()
                peer.close()

    def test_a_thousand_at_once(self):
        count, big = self.size(1000, 60), b"x" * 100000
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("random", poller=poller, workers=workers) as server:
                # At rest a worker has 16 to some hundred pages of stacks; which one had how many clients is chance.
                for _ in self.cycles(server, warm=2):
                    halves = crowd(server, "random", count), crowd(server, "echo", count)
                    for peer in halves[0]:
                        peer.send(b"\n\nin the midd")
                    for peer in halves[1]:
                        peer.sock.setblocking(False)
                        peer.sock.send(big)  # as much as goes at once; nothing of the echo is taken
                    for number, peer in enumerate(itertools.chain(*zip(*halves))):
                        (peer.reset if number % 4 < 2 else peer.close)()
            self.assertLessEqual(set(server.counters), self.REASONS)

    def test_before_the_acknowledgements(self):
        """Whatever was told to the others was told whole and in order, without a gap."""
        need_json()
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("broadcast", poller=poller, workers=workers) as server:
                for _ in self.cycles(server):
                    self.leave_unheard(server, self.size(1000, 40))

    def leave_unheard(self, server, count):
        listener, last = join(self, server, 2)
        for number in range(count):
            peer = server.connect("broadcast")
            peer.send(b"".join(message("%d" % text) for text in range(5)))
            (peer.reset if number % 2 else peer.close)()
        last.send(message("last"))
        heard = {}
        while True:
            name, text = listener.line().split(TOLD)
            if text == b"last\n":
                break
            self.assertEqual(int(text), heard.get(name, -1) + 1, name)
            heard[name] = int(text)
        close_all(listener, last)


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
            wait_until(lambda: server.told("accepted") == {"": count + stuck_count}, "all to be accepted")
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
