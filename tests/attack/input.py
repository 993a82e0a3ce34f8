# SPDX-License-Identifier: MIT
"""Attacks C: what clients send."""
import contextlib
import itertools
import json
import re
import signal

from harness import ACK_ANSWER, message, need_json, serve

from ground import EACH, Ground


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
