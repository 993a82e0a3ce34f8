# SPDX-License-Identifier: MIT
"""Attacks A: many clients at once, and such as do nothing, too little or too much. Each runs with its full numbers, or
scaled down as the quick suite has it; where less is asked than the catalogue asks, the attack says so."""
import contextlib
import re
import select
import signal
import time

from harness import PATIENCE, Peer, close_all, serve, wait_until

from ground import EACH, KIB_PER_WORKER, MEMORY_KIB, Ground, crowd


class A1(Ground):
    """Slowloris: some send a byte now and then and never a whole line, as many send nothing at all."""

    def test_slowloris(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers):
                self.attack(poller, workers, self.size(2000, 40), self.size(15.0, 0.3), self.size(5.0, 0.05))

    def attack(self, poller, workers, count, limit, pause):
        with self.attacked("random", poller=poller, workers=workers, patience=limit,
                           options=("--first-byte-timeout", "%dms" % (limit * 1000))) as server:
            made = 0
            for _ in self.cycles(server, warm=2):  # the log's rings fill during the second time
                self.drip(server, count, limit, pause)
                made += 2 * count
        lasted = [int(ms) for ms in re.findall(r"service=random .*reason=first_byte_timeout .*ms=(\d+)", server.err)]
        self.assertEqual(server.counters["first_byte_timeout"], made)
        self.assertGreaterEqual(min(lasted), limit * 1000)

    def drip(self, server, count, limit, pause):
        peers, longest = {}, 0.0  # the log has some of the times only
        with select.epoll() as ends:
            for peer in crowd(server, "random", 2 * count):
                peer.sock.setblocking(False)
                peers[peer.sock.fileno()] = peer
                ends.register(peer.sock, select.EPOLLRDHUP)
            dripping, still = list(peers.values())[:count], len(peers)
            over = time.monotonic() + limit + PATIENCE
            while still > 0:
                self.assertLess(time.monotonic(), over, "not cut")
                for peer in dripping:
                    with contextlib.suppress(OSError):
                        peer.sock.send(b"x")
                next_drip = time.monotonic() + pause
                while time.monotonic() < next_drip and still > 0:
                    for number, _ in ends.poll(pause, 100):
                        ends.unregister(peers[number].sock)
                        longest = max(longest, time.monotonic() - peers[number].made)
                        still -= 1
        if self.full:
            print("cut after %.2f s at most" % longest, flush=True)
            self.assertLess(longest, limit + 1)
        close_all(*peers.values())


class A6(Ground):
    """Clients come and go by the thousand while others just stay. What a silent one costs is what is published, and the
    coming and going costs nothing that lasts."""
    BYTES_EACH = 4300  # of test_idle.py, without deadlines

    def test_churn(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked(poller=poller, workers=workers, options=("--no-limits",)) as server:
                for _ in self.cycles(server):
                    self.attack(server, poller, workers, self.size(10000, 100), self.size(100000, 600))

    def attack(self, server, poller, workers, staying, passing):
        base, idle = server.private_kib(), crowd(server, "echo", staying, each=5000)
        wait_until(lambda: server.fds() >= server.base + staying, "all to be accepted")
        if self.full and not server.is_sanitized():
            each = (wait_until(lambda: self.at_rest(server), "memory to settle") - base) * 1024 / staying
            print("%d idle connections: %.0f bytes each" % (staying, each), flush=True)
            self.assertLess(each, self.BYTES_EACH + KIB_PER_WORKER[poller] * workers * 1024 / staying)
        series = []
        for number in range(passing):
            with Peer(server.address("echo"), source="127.0.4.%d" % (1 + number % 8)) as peer:
                peer.send("x")
                self.assertEqual(peer.read(1), b"x")
            if number % (passing // 10) == 0:
                series.append(server.smaps("Rss"))
        if self.full and not server.is_sanitized():
            print("Rss in KiB during %d connections: %s" % (passing, series), flush=True)
            self.assertLess(series[-1] - series[1], MEMORY_KIB)
        for peer in idle[::100]:
            peer.send("still")
            self.assertEqual(peer.read(5), b"still")
        close_all(*idle)

    @staticmethod
    def at_rest(server, before={}):
        """KiB, once two looks see the same."""
        last, before[server.pid] = before.get(server.pid), server.private_kib()
        return before[server.pid] if last == before[server.pid] else 0


class A7(Ground):
    """Over the limits: more clients than --max-conns, than one address may have, and faster than it may."""

    def test_one_address(self):
        """The address .2 asks for more than its share. .3 has its own, and so has the probe."""
        most, more = self.size(500, 15), self.size(500, 20)
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers):
                with self.attacked("random", poller=poller, workers=workers, options=("--per-ip", str(most))) as server:
                    refused = 0
                    for _ in self.cycles(server):
                        self.crowd_in(server, most, more)
                        refused += more
                self.assertEqual(server.counters.get("per_ip"), refused)

    def crowd_in(self, server, most, more):
        inside = [self.client(server, "127.0.0.2") for _ in range(most)]
        outside = [self.client(server, "127.0.0.2", False) for _ in range(more)]
        self.assertIn(b"refused: too many connections from your address\n", outside)
        inside += [self.client(server, "127.0.0.3") for _ in range(most)]
        self.leave(inside.pop(0))
        inside.append(self.client(server, "127.0.0.2"))  # there is room again at once
        close_all(*inside)

    def test_no_room(self):
        """Nobody has a place kept, the probe neither: it is left out."""
        most, more = self.size(1000, 30), self.size(500, 20)
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    serve("random", workers=workers,
                          options=("--quiet", "--poller", poller, "--max-conns", str(most))) as server:
                inside = [self.client(server, "127.0.0.2") for _ in range(most)]
                outside = [self.client(server, "127.0.0.3", False) for _ in range(more)]
                self.assertIn(b"refused: too many connections\n", outside)
                self.leave(inside.pop())
                inside.append(self.client(server, "127.0.0.3"))
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 0, server.describe())
                close_all(*inside)
                self.assertEqual(self.check_sums(server), {"max_conns": more, "eof": 1, "drain": most})

    def test_too_fast(self):
        rate = self.size(200, 30)  # more than the probe needs
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers):
                with self.attacked("random", poller=poller, workers=workers,
                                   options=("--accept-rate", str(rate))) as server:
                    refused = 0
                    for _ in self.cycles(server):
                        refused += self.come_at_once(server, 10 * rate)
                        self.client(server, "127.0.0.3").close()
                    self.assertGreater(refused, 0)
                self.assertEqual(server.counters.get("rate"), refused)

    def come_at_once(self, server, count):
        """Gives how many of them are refused."""
        peers = [Peer(server.address("random"), source="127.0.0.2") for _ in range(count)]
        refused = sum(not self.is_served(peer) for peer in peers)
        close_all(*peers)
        return refused

    @staticmethod
    def is_served(peer):
        """Whether a client is, and not refused: it may be told why, or have a reset."""
        try:
            peer.send("\n")
            return peer.line()[:1].isdigit()
        except ConnectionError:
            return False

    def leave(self, peer):
        """A client leaves, and has seen that the server knows."""
        peer.half_close()
        self.assertEqual(peer.read_all(), b"")

    def client(self, server, source, served=True):
        """A client that is served; or, if it must not be, what it is told."""
        peer = Peer(server.address("random"), source=source)
        answer = b""
        with contextlib.suppress(ConnectionError):
            peer.send("\n")
            answer = peer.line()
        self.assertEqual(re.fullmatch(rb"\d+\n", answer) is not None, served, answer)
        if served:
            return peer
        peer.close()
        return answer
