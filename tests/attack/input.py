# SPDX-License-Identifier: MIT
"""Attacks C: what clients send."""
import contextlib
import itertools
import json
import random
import re
import signal

from harness import ACK_ANSWER, TOLD, join, message, need_json, serve

import json_vectors as vectors
from ground import EACH, Ground


class C1(Ground):
    """Oversized: no line end for ever, lines of the limit and one more, empty ones, CR only, NUL bytes."""
    LIMIT = 65536

    def test_oversized(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("random", poller=poller, workers=workers) as server:
                made = 0
                for _ in self.cycles(server):
                    self.attack(server)
                    made += 1
            self.assertEqual(server.counters.get("too_long"), 3 * made)

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


def in_message(value):
    return b'{"message":"m","x":' + value + b"}"


def is_message(text):
    """Whether a strict reader, python's own, takes this for exactly one message."""
    def refuse(word):
        raise ValueError(word)

    def last_message(pairs):
        named = [value for name, value in pairs if name.lower().replace("\u017f", "s") == "message"]
        return {"message": named[-1]} if named else {}
    try:
        found = json.loads(text.decode("utf-8"), parse_constant=refuse, object_pairs_hook=last_message)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("message"), str) and found["message"] != ""


FIRST = "first"


def taken_of(text):
    """Whether a message comes of this, True, or one and then something invalid, FIRST: messages need nothing between
    them, so an object is one as soon as it is complete."""
    if is_message(text):
        return True
    ends = [at for at in range(1, len(text)) if text[at - 1:at] == b"}"]
    return FIRST if any(is_message(text[:at]) for at in ends) else False


class Mutator:
    """Makes JSON values, and bytes that are almost such: the same for the same seed."""
    PIECES = (b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"0", b"-", b"+", b".", b"e", b"'", b"/", b"*",
              b" ", b"\n", b"\x00", b"\x1f", b"\x7f", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
              b"\xef\xbb\xbf", b"true", b"null", b"NaN", b"1e999", b"\\ud800")

    def __init__(self, seed):
        self.choice = random.Random(seed)

    def value(self, depth=0):
        kind = self.choice.randrange(8 if depth < 4 else 6)
        if kind < 2:
            return self.choice.choice(list(vectors.VALID.values()))
        if kind < 4:
            return str(self.choice.randint(-10 ** 12, 10 ** 12)).encode()
        if kind < 6:
            return json.dumps("".join(chr(self.choice.choice((34, 92, 10, 65, 233, 8364, 128512))) for _ in range(5)),
                              ensure_ascii=self.choice.random() < 0.5).encode()
        items = [self.value(depth + 1) for _ in range(self.choice.randrange(4))]
        if kind == 6:
            return b"[" + b",".join(items) + b"]"
        return b"{" + b",".join(b'"k%d":' % number + item for number, item in enumerate(items)) + b"}"

    def text(self):
        value = bytearray(self.value())
        for _ in range(self.choice.randrange(3)):
            at = self.choice.randrange(len(value) + 1)
            end = at + self.choice.randrange(3)
            value[at:end] = self.choice.choice(self.PIECES) if self.choice.random() < 0.7 else b""
        return in_message(bytes(value))


class C2(Ground):
    """JSON that is none, or almost: what a strict reader refuses is refused, and its sender is told; what it takes is
    taken; and the others hear of the second kind only. The same of texts made at random, against python's reader."""

    def test_vectors(self):
        need_json()
        texts = [(in_message(value), True) for value in vectors.VALID.values()]
        texts += [(in_message(value), False) for value in vectors.INVALID.values()]
        texts += [(in_message(value), taken) for value, taken in vectors.CHOSEN.values()]
        texts += [(text, False) for text in vectors.WHOLE_INVALID.values()]
        texts += [(text, True) for name, text in vectors.WHOLE_VALID.items() if name != "two"]
        texts += [(text, None) for text in vectors.WHOLE_RESUMED.values()]
        self.attack(texts)

    def test_against_python(self):
        need_json()
        made = [Mutator(seed).text() for seed in range(self.size(5000, 150))]
        texts = [(text, taken_of(text)) for text in made]
        taken = sum(taken is True for _, taken in texts)
        self.assertLess(len(made) // 5, taken)
        self.assertLess(taken, len(made) * 4 // 5)
        self.attack(texts)

    def test_python_agrees(self):
        """Both readers, if both were wrong, would have to be so in the same way."""
        for value in vectors.VALID.values():
            self.assertTrue(is_message(in_message(value)), value)
        for value in vectors.INVALID.values():
            self.assertFalse(is_message(in_message(value)), value)
        for name, text in vectors.WHOLE_VALID.items():
            self.assertEqual(is_message(text), name != "two", text)
        for text in (*vectors.WHOLE_INVALID.values(), *vectors.WHOLE_RESUMED.values()):
            self.assertFalse(is_message(text), text)

    def attack(self, texts):
        for (poller, workers), shown in zip(self.size(EACH, EACH[::3]), itertools.cycle((False, True))):
            with self.subTest(poller=poller, workers=workers, shown=shown), \
                    self.attacked("broadcast", poller=poller, workers=workers, shown=shown) as server:
                for _ in self.cycles(server):
                    listener, = join(self, server, 1)
                    for text, taken in texts:
                        self.send(server, listener, text, taken)
                    listener.close()

    def send(self, server, listener, text, taken):
        """`taken`: None if something invalid comes before a message, FIRST: after one."""
        with server.connect("broadcast") as peer:
            peer.send(text)
            peer.half_close()
            told = peer.gone()
            name = peer.name.encode()
        if taken is FIRST:
            self.assertTrue(told.startswith(name + ACK_ANSWER + b"invalid message: "), (text, told))
        elif taken is not True:
            self.assertTrue(told.startswith(b"invalid message: "), (text, told))
        if taken is None:
            self.assertTrue(told.endswith(name + ACK_ANSWER), (text, told))
        if taken is not False:
            self.assertEqual(listener.line()[:len(name + TOLD)], name + TOLD, text)
        right = [line for line in told.splitlines() if not line.startswith(b"invalid message: ")]
        self.assertEqual(len(right), taken is not False, (text, told))
        if taken is True:
            self.assertEqual(told, name + ACK_ANSWER, text)


class C3(Ground):
    """Nested ever deeper: 32 levels are a message, more are refused, and the next message counts again."""

    def test_nesting(self):
        need_json()
        depths = (10, 31, 32, 33, 1000, 30000) + self.size((10_000_000,), (200_000,))
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("broadcast", poller=poller, workers=workers) as server:
                for _ in self.cycles(server):
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
