# SPDX-License-Identifier: MIT
"""The attacks, by the letters of the catalogue. Each runs with its full numbers, or scaled down as the quick suite has
it; where less is asked than the catalogue asks, the attack says so."""
import contextlib
import itertools
import json
import re
import select
import signal
import time

from harness import ACK_ANSWER, GREETING, REPLY, PATIENCE, Peer, close_all, message, need_json, serve

from ground import Ground

EACH = tuple(itertools.product(("epoll", "io_uring"), (1, 2)))


def crowd(server, service, count, each=8000):
    """Connects many clients, from several addresses so that ports do not run out."""
    return [Peer(server.address(service), source="127.0.1.%d" % (1 + number // each)) for number in range(count)]


class A1(Ground):
    """Slowloris: some send a byte now and then and never a whole line, as many send nothing at all."""

    def test_slowloris(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers):
                self.attack(poller, workers, self.size(2000, 40), self.size(15.0, 0.3), self.size(5.0, 0.05))

    def attack(self, poller, workers, count, limit, pause):
        with self.attacked("random", poller=poller, workers=workers, patience=limit,
                           options=("--first-byte-timeout", "%dms" % (limit * 1000))) as server, \
                select.epoll() as ends:
            peers = {}
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
                        still -= 1
            close_all(*peers.values())
        lasted = [int(ms) for ms in re.findall(r"service=random .*reason=first_byte_timeout .*ms=(\d+)", server.err)]
        self.assertEqual(len(lasted), 2 * count)
        self.assertGreaterEqual(min(lasted), limit * 1000)
        if self.full:
            self.assertLess(max(lasted), limit * 1000 + 1000)


class A7(Ground):
    """Over the limits: more clients than --max-conns, than one address may have, and faster than it may."""

    def test_one_address(self):
        """The address .2 asks for more than its share. .3 has its own, and so has the probe."""
        most, more = self.size(500, 15), self.size(500, 20)
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers):
                with self.attacked("random", poller=poller, workers=workers, options=("--per-ip", str(most))) as server:
                    inside = [self.client(server, "127.0.0.2") for _ in range(most)]
                    outside = [self.client(server, "127.0.0.2", False) for _ in range(more)]
                    self.assertIn(b"refused: too many connections from your address\n", outside)
                    inside += [self.client(server, "127.0.0.3") for _ in range(most)]
                    self.leave(inside.pop(0))
                    inside.append(self.client(server, "127.0.0.2"))  # there is room again at once
                    close_all(*inside)
                self.assertEqual(server.counters.get("per_ip"), more)

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
                    for _ in range(10 * rate):
                        refused += not self.is_served(server)
                    self.assertGreater(refused, 0)
                    self.client(server, "127.0.0.3").close()
                self.assertEqual(server.counters.get("rate"), refused)

    @staticmethod
    def is_served(server):
        """Whether a client is, and not refused: it may be told why, or have a reset."""
        with Peer(server.address("random"), source="127.0.0.2") as peer:
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


class C1(Ground):
    """Oversized: no line end for ever, lines of the limit and one more, empty ones, CR only, NUL bytes."""
    LIMIT = 65536

    def test_oversized(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("random", poller=poller, workers=workers) as server:
                self.attack(server)
            self.assertEqual(server.counters.get("too_long"), 3)

    def attack(self, server):
        number = rb"\d+\n"
        memory = server.smaps("Rss")
        for text, answer in ((b"x" * self.LIMIT + b"\n", number), (b"x" * (self.LIMIT + 1) + b"\n", b"line too long\n"),
                             (b"x" * (self.LIMIT - 1) + b"\n", number), (b"\n" * 500, b"(" + number + b"){500}"),
                             (b"\r" * 500, number), (b"\0" * 500 + b"\n\0\n", b"(" + number + b"){2}"),
                             (b"\r" * (self.LIMIT + 1), b"line too long\n"), (b"", b"")):
            with server.connect("random") as peer:
                peer.send(text)
                peer.half_close()
                self.assertRegex(peer.gone(), rb"\A" + answer + rb"\Z", text[:10])
        with server.connect("random") as peer, contextlib.suppress(ConnectionError):
            for _ in range(self.size(1 << 30, 4 << 20) >> 16):
                peer.send(b"x" * 65536)
        if not server.is_sanitized():
            self.assertLess(server.smaps("Rss") - memory, 4096, "KiB")


class C3(Ground):
    """Nested ever deeper: 32 levels are a message, more are refused, and the next message counts again."""

    def test_nesting(self):
        need_json()
        depths = (10, 31, 32, 33, 1000, 30000) + self.size((10_000_000,), (200_000,))
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("broadcast", poller=poller, workers=workers) as server:
                for depth in depths:
                    self.attack(server, depth)
                self.assertNotIn("stack overflow", server.err)

    def attack(self, server, depth):
        """An object with arrays in it, which is a level more."""
        with server.connect("broadcast") as peer:
            with contextlib.suppress(ConnectionError):
                peer.send(b'{"message":"deep","x":' + b"[" * depth)
                peer.send(b"]" * depth + b"}\n" + message("after"))
                peer.half_close()
            told = peer.gone().split(b"\n")
        if depth <= 31:
            self.assertEqual(len(told), 3, told)  # twice acknowledged, and the end
        elif depth <= 1000:
            self.assertEqual(told[0], b"invalid message: nesting too deep")
            self.assertTrue(told[1].endswith(ACK_ANSWER[:-1]), told)
        elif told != [b""]:  # a reset may have taken the rest: there was more on its way
            self.assertEqual(told[0], b"invalid message: nesting too deep")


class C4(Ground):
    """What clients send must not act on the operator's terminal or make up lines of the log."""
    EVIL = (b"\x1b]0;owned\x07", b"\x1b[2J\x1b[1;1H", b"\xc2\x9b31m", b"\x9b31m", b"good\rbad",
            "\u202eevil\u2066".encode(), b"x event=closed reason=eof\n", b'a" level=error "', b"\xff\xfe\xc0\xaf",
            b"\0\x7f\x08", "\u200b\ufeff".encode())
    UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

    def test_what_is_shown(self):
        need_json()
        for (poller, workers), form in itertools.product(EACH[::3], ("logfmt", "json")):
            with self.subTest(poller=poller, form=form), \
                    serve("ack", "print", "greet", "echo", "random", "broadcast", workers=workers,
                          options=("--grace", "2s", "--poller", poller, "--log-format", form, "--log-level",
                                   "debug")) as server:
                self.attack(server)
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 0)
                self.check(server, form)

    def attack(self, server):
        for evil in self.EVIL:
            for service in ("ack", "print", "greet", "echo", "random"):
                with server.connect(service) as peer:
                    peer.send(evil)
                    peer.half_close()
                    peer.gone()
            with server.connect("broadcast") as peer:
                peer.send(message(evil.decode("latin-1")) + b'{"message":"' + evil + b'"}' +
                          json.dumps({evil.decode("latin-1"): 1, "message": "x"}).encode())
                peer.half_close()
                peer.gone()

    def check(self, server, form):
        for name in ("out", "err"):
            text = server.raw(name).decode("utf-8")  # strict: all of it is valid
            self.assertIsNone(self.UNSAFE.search(text), text[-300:])
        events = [line for line in server.err.splitlines() if not line.startswith("try: ")]
        connections = 6 * len(self.EVIL)
        if form == "json":
            names = [json.loads(line)["event"] for line in events]
        else:
            names = [re.match(r"time=\S+ level=\w+ event=(\w+)", line).group(1) for line in events]
        self.assertEqual((names.count("accepted"), names.count("closed")), (connections, connections))


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
