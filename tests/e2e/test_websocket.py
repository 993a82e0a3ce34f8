# SPDX-License-Identifier: MIT
# test: timeout=300
"""The WebSocket entry of the room: who is let in, frames by the rules and against them (the cases of the Autobahn suite
that concern a server without extensions, written here), a room shared with other entries, and how members leave."""
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import threading
from datetime import datetime

from harness import (ACK_ANSWER, SOURCE, TOLD, WORKERS, Case, Peer, main, message, need_json, serve,
                     wait_until)
from websocket import (BINARY, CLOSE, CONT, PING, PONG, TEXT, WebPeer, answered, close, frame, need_websocket, request)

POLLERS = ("epoll", "io_uring")
DEBIAN_PYTHON = "/usr/bin/python3"  # has Debian's websockets, whatever python3 runs this
WS = "broadcast=ws://127.0.0.1:0"
HELLO = '{"message":"hello"}'
ACK = ACK_ANSWER.decode().rstrip("\n")
SAYS = TOLD.decode()


def setUpModule():
    need_json()
    need_websocket()


def address(server):
    return server.address("broadcast ws")


def counted(server):
    """The reasons of a server that has ended; its counters add up."""
    accepted, closed, left = map(int, re.search(r"event=stopped accepted=(\d+) closed=(\d+) open=(\d+)",
                                                server.err).groups())
    assert (accepted, left) == (closed, 0), server.describe()
    found = re.findall(r" (\w+)=(\d+)", re.search(r"event=reasons(.*)", server.err).group(1))
    reasons = {word: int(count) for word, count in found}
    assert sum(reasons.values()) == closed, server.describe()
    return reasons


def every_way(*services, options=(), pollers=POLLERS):
    """Decorates test(self, server): it runs on both pollers, with each number of workers. The server must be there at
    the end and end with 0; the reasons must be those that the test returns, if it does."""
    def decorate(test):
        def run(self):
            for poller, workers in itertools.product(pollers, WORKERS):
                words = ("--quiet", "--grace", "1s", "--poller", poller, *options)
                with self.subTest(poller=poller, workers=workers), \
                        serve(*services, workers=workers, options=words) as server:
                    reasons = test(self, server)
                    if "event=stopping" not in server.err:
                        server.signal(signal.SIGTERM)
                    self.assertEqual(server.wait(), 0, server.describe())
                    found = counted(server)
                    self.assertEqual(reasons or found, found, server.describe())
        run.__doc__, run.__name__ = test.__doc__, test.__name__
        return run
    return decorate


class Handshake(Case):
    def ask(self, server, bytes_):
        with Peer(address(server)) as peer:
            peer.send(bytes_)
            return answered(peer)

    def come_and_go(self, at, **fields):
        with WebPeer(at, fields=fields) as peer:
            peer.send(close(1000))
            self.assertEqual(peer.closed()[0], 1000)

    @every_way(WS)
    def test_who_is_let_in(self, server):
        at = address(server)
        good = ({}, {"Connection": "keep-alive, Upgrade"}, {"Upgrade": "WebSocket"}, {"Upgrade": ["h2c", "websocket"]},
                {"Origin": "http://%s:%d" % at}, {"Origin": "HTTPS://%s:%d" % at}, {"Cookie": "x" * 4000})
        for count, fields in enumerate(good, 1):
            with WebPeer(at, fields=fields) as peer:
                peer.say(HELLO)
                self.assertEqual(peer.hear(), peer.name + ACK)
            # Else the next one's words may still be sent to it, and reset what it has closed.
            wait_until(lambda wanted=count: server.told("closed") == {"eof": wanted}, "the end of it")
        bad = (
            (400, {"Upgrade": "h2c"}), (400, {"Connection": "close"}), (400, {"Connection": None}),
            (400, {"Sec_WebSocket_Key": None}), (400, {"Sec_WebSocket_Key": "c2hvcnQ="}),
            (400, {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ="}), (400, {"Sec_WebSocket_Key": "*" * 22 + "=="}),
            (400, {"Sec_WebSocket_Key": ["dGhlIHNhbXBsZSBub25jZQ=="] * 2}), (400, {"Host": None}), (400, {"Host": ""}),
            (400, {"Content_Length": "5"}), (400, {"Transfer_Encoding": "chunked"}), (400, {"version": "HTTP/1.0"}),
            (400, {"version": "HTTP/2.0"}), (405, {"method": "POST"}), (405, {"method": "HEAD"}), (404, {"path": "/x"}),
            (426, {"Sec_WebSocket_Version": "8"}), (426, {"Sec_WebSocket_Version": None}),
            (403, {"Origin": "http://evil.example"}), (403, {"Origin": "null"}), (403, {"Origin": ""}),
            (403, {"Origin": "http://%s:%d.evil.example" % at}), (403, {"Origin": "ftp://%s:%d" % at}),
            (431, {"Cookie": "x" * 9000}),
        )
        for status, fields in bad:
            got, answer, _ = self.ask(server, request(at, **fields))
            self.assertEqual(got, status, fields)
            self.assertEqual(answer["Connection"], "close")
            self.assertEqual(answer.get("Sec-WebSocket-Version"), "13" if status == 426 else None)
        for bytes_ in (b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\nHost: x\n\n", b"\x81\x80", b"hello\r\n",
                       b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"):
            self.assertEqual(self.ask(server, bytes_)[0], 400, bytes_)
        with Peer(at) as peer:
            peer.dribble(request(at))
            self.assertEqual(peer.line(), b"HTTP/1.1 101 Switching Protocols\r\n")
            peer.half_close()
            peer.read_all()  # to leave with something unread is to break off
        return {"eof": len(good) + 2, "denied": 5, "too_long": 1, "protocol": 23}

    @every_way(WS)
    def test_names_that_lead_here(self, server):
        """A page under a name that is nobody's but its own (DNS rebinding) does not get in, nor does it get the page,
        which says why; programs name no site, and call this host what they like."""
        at = address(server)
        no_upgrade = {"Upgrade": None, "Connection": None, "Sec_WebSocket_Key": None}
        for host in ("evil.example", "evil.example:%d" % at[1], "localhost.evil.example", "127.0.0.1.evil.example",
                     "x" * 300):
            status, _, body = self.ask(server, request(at, Host=host, Origin="http://" + host))
            self.assertEqual((status, "--origin http://NAME" in body), (403, True), host)
            status, _, body = self.ask(server, request(at, Host=host, **no_upgrade))
            self.assertEqual((status, "--origin http://NAME" in body), (403, True), host)
            self.come_and_go(at, Host=host)
        for host in ("localhost", "LOCALHOST:81", "192.0.2.1", "[::1]:81"):
            self.come_and_go(at, Host=host, Origin="http://" + host)
            self.assertEqual(self.ask(server, request(at, Host=host, **no_upgrade))[0], 200, host)
        return {"denied": 10, "eof": 13}

    def test_the_name_in_the_address(self):
        """Whoever gives it says that it is this host's."""
        name = socket.gethostname()
        if not all(place[4][0] == "127.0.0.1" for place in self.places_of(name)):
            self.skipTest("%s is not this machine's name for its loopback" % name)
        with serve("broadcast=ws://%s:0" % name) as server:
            at = address(server)
            self.come_and_go(at, Host=name.upper() + ":80", Origin="http://%s:80" % name)
            self.assertEqual(self.ask(server, request(at, Host="x" + name, Origin="http://x" + name))[0], 403)

    @staticmethod
    def places_of(name):
        try:
            return socket.getaddrinfo(name, None)
        except OSError:
            return [(None, None, None, None, ("nowhere",))]

    @every_way(WS, options=("--origin", "https://chat.example,,http://other.example:81"))
    def test_sites_that_are_listed(self, server):
        at = address(server)
        for origin in ("https://chat.example", "HTTP://OTHER.example:81", None):
            WebPeer(at, fields={"Origin": origin}).close()
        for origin in ("", "https://chat.example:444", "http://chat.example", "http://%s:%d" % at,
                       "https://chat.exampl"):
            self.assertEqual(self.ask(server, request(at, Origin=origin))[0], 403, origin)
        page = {"Host": "chat.example", "Upgrade": None, "Connection": None, "Sec_WebSocket_Key": None}
        self.assertEqual(self.ask(server, request(at, **page))[0], 200)

    @every_way(WS, options=("--origin", "*"))
    def test_any_site(self, server):
        WebPeer(address(server), fields={"Origin": "http://evil.example"}).close()

    @every_way(WS)
    def test_the_page(self, server):
        for path in ("/", "/?x=1"):
            status, fields, body = self.ask(server, request(address(server), path=path, Upgrade=None,
                                                            Connection=None, Sec_WebSocket_Key=None))
            self.assertEqual(status, 200)
            self.assertEqual(fields["Content-Type"], "text/html; charset=utf-8")
            self.assertIn("default-src 'none'; script-src 'sha256-", fields["Content-Security-Policy"])
            self.assertNotIn("unsafe", fields["Content-Security-Policy"])
            self.assertTrue(body.startswith("<!DOCTYPE html>") and body.endswith("</html>\n"))
            self.assertNotRegex(body, r"""(src|href)=["'](?!data:,)|@import|https?://""")

    @every_way("broadcast", WS, options=("--first-byte-timeout", "300ms"))
    def test_a_head_that_does_not_come(self, server):
        """Nothing at all, a part, and a byte now and then: the limit is of the whole head."""
        silent, part, slow = (Peer(address(server)) for _ in range(3))
        part.send("GET / HTTP/1.1\r\nHost: x\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(10000):
                slow.send("G")
                slow.sock.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    if slow.sock.recv(1) == b"":
                        break
        for peer in (silent, part, slow):
            peer.sock.settimeout(20)
            self.assertEqual(peer.gone(), b"")
        return {"first_byte_timeout": 3}

    def test_who_is_refused_is_told_by_http(self):
        for options, status, words in ((("--max-conns", "1"), 503, "too many connections"),
                                       (("--per-ip", "1"), 429, "from your address"),
                                       (("--accept-rate", "1"), 429, "try again later"),
                                       (("--deny", "127.0.0.0/8"), 403, "may not connect")):
            with serve(WS, options=options) as server:
                first = WebPeer(address(server)) if status != 403 else None
                with Peer(address(server)) as peer:
                    peer.send(request(address(server)))
                    got, _, body = answered(peer)
                    self.assertEqual(got, status)
                    self.assertRegex(body, "^refused: .*" + words)
                if first:
                    first.close()
                server.stop()
                counted(server)

    def test_other_services_have_no_such_entry(self):
        with self.assertRaisesRegex(AssertionError, "echo does not serve ws: only broadcast does"):
            serve("echo=ws://127.0.0.1:0")


def text(*pieces, **more):
    """The frames of a message in these pieces."""
    last = len(pieces) - 1
    return b"".join(frame(CONT if i else TEXT, piece, fin=i == last, **more) for i, piece in enumerate(pieces))


INVALID = "invalid message: "
LONG = "x" * 65000
# Name, what is sent, what comes back: texts (with {} for the own address), (PONG, payload), or the code of the end.
CASES = (
    ("text", text(HELLO), ["{}" + ACK]),
    ("empty text", text(""), []),
    ("no json", text("hello"), [INVALID + "expected a JSON object"]),
    ("a message ends with its frames", text('{"message":"a"') + text('}'),
     [INVALID + "unexpected end of data", INVALID]),
    ("two in one", text(HELLO + HELLO), ["{}" + ACK] * 2),
    ("of 125 bytes", text('{"message":"%s"}' % ("x" * 111)), ["{}" + ACK]),
    ("of 126 bytes", text('{"message":"%s"}' % ("x" * 112)), ["{}" + ACK]),
    ("of 65000 bytes", text('{"message":"%s"}' % LONG), ["{}" + ACK]),
    ("in two frames", text('{"message"', ':"hello"}'), ["{}" + ACK]),
    ("in frames of a byte", text(*HELLO), ["{}" + ACK]),
    ("in frames with empty ones", text("", HELLO, "", ""), ["{}" + ACK]),
    ("a character in three frames", text(b'{"message":"\xf0', b"\x9f\x9b", b'\xb6"}'), ["{}" + ACK]),
    ("ping", frame(PING, b"x" * 125), [(PONG, b"x" * 125)]),
    ("empty ping", frame(PING), [(PONG, b"")]),
    ("binary ping", frame(PING, b"\x00\xff\xfe"), [(PONG, b"\x00\xff\xfe")]),
    ("ten pings", b"".join(frame(PING, b"%d" % i) for i in range(10)), [(PONG, b"%d" % i) for i in range(10)]),
    ("pong that nobody asked for", frame(PONG, b"x") + frame(PING, b"y"), [(PONG, b"y")]),
    ("ping within a message", frame(TEXT, '{"message"', fin=False) + frame(PING, b"now") +
     frame(CONT, ':"hello"}'), {(PONG, b"now"), "{}" + ACK}),
    ("ping of 126 bytes", frame(PING, b"x" * 126), 1002),
    ("ping in parts", frame(PING, b"x", fin=False), 1002),
    ("close in parts", frame(CLOSE, b"\x03\xe8", fin=False), 1002),
    ("pong in parts", frame(PONG, b"", fin=False), 1002),
    ("binary", frame(BINARY, b"x"), 1003),
    ("empty binary", frame(BINARY), 1003),
    ("binary within a text", frame(TEXT, "{", fin=False) + frame(BINARY, b"x"), 1002),
    ("text within a text", frame(TEXT, "{", fin=False) + frame(TEXT, "x"), 1002),
    ("nothing to continue", frame(CONT, "x"), 1002),
    ("nothing to continue after a message", text("{", "}") + frame(CONT, "x", fin=False),
     (INVALID + "no ", 1002)),
    ("no mask", frame(TEXT, HELLO, mask=False), 1002),
    ("ping without a mask", frame(PING, mask=False), 1002),
    *(("reserved bits %d" % rsv, frame(TEXT, HELLO, rsv=rsv), 1002) for rsv in range(1, 8)),
    *(("reserved bits %d of a ping" % rsv, frame(PING, rsv=rsv), 1002) for rsv in range(1, 8)),
    *(("reserved opcode %d" % opcode, frame(opcode, b"x"), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    *(("reserved opcode %d in a text" % opcode, frame(TEXT, "{", fin=False) + frame(opcode), 1002)
      for opcode in (3, 7, 11, 15)),
    ("length of two bytes too many", frame(TEXT, HELLO, length=2), 1002),
    ("length of eight bytes too many", frame(TEXT, HELLO, length=8), 1002),
    ("negative length", b"\x81\xff" + b"\xff" * 8 + b"abcdx", 1002),
    *(("utf-8 %r" % bad, text(b'{"message":"' + bad + b'"}'), 1007)
      for bad in (b"\x80", b"\xff", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
                  b"\xce\xbae\xcd", b"\xf8\x88\x80\x80\x80")),
    ("utf-8 outside of json", text(b"\xc3\x28"), 1007),
    ("utf-8 in frames", text(b'{"message":"\xf0', b"\x9fx", b'"}'), 1007),
    ("utf-8 cut by the end", text(b'{"message":"\xf0\x9f'), 1007),
    ("utf-8 cut by the end of frames", text(b'{"message":"', b"\xf0\x9f"), 1007),
    ("too big", text('{"message":"%s"}' % ("x" * 65536)), (INVALID + "too long", 1009)),
    ("too big in frames", text(*['{"message":"'] + ["x" * 1000] * 66), (INVALID + "too long", 1009)),
    ("too big by its head", b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"abcdx", (INVALID + "too long", 1009)),
    *(("close %d" % code, close(code, b"bye"), code)
      for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)),
    ("close without a code", frame(CLOSE), None),
    ("close with a long reason", close(1000, b"x" * 123), 1000),
    *(("close %d" % code, close(code), 1002)
      for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)),
    ("close of a byte", frame(CLOSE, b"\x03"), 1002),
    ("close with bad text", close(1000, b"\xc3\x28"), 1007),
    ("close of 126 bytes", close(1000, b"x" * 124), 1002),
    ("close within a message", frame(TEXT, "{", fin=False) + close(1000), 1000),
    ("text after a close", close(1000) + text(HELLO), 1000),
    ("ping after a close", close(1000) + frame(PING), 1000),
    ("a message, then a close", text(HELLO) + close(1000), ("{}" + ACK, 1000)),
)


class Frames(Case):
    def check(self, peer, wanted):
        more = wanted if isinstance(wanted, (tuple, list, set)) else (wanted,)
        got = []
        for one in more:
            if one is None or isinstance(one, int):
                self.assertEqual(peer.closed()[0], one)
                return
            opcode, payload = peer.frame()
            got.append(payload.decode() if opcode == TEXT else (opcode, payload))
        named = [one.format(peer.name) if isinstance(one, str) else one for one in more]
        if isinstance(wanted, set):
            self.assertCountEqual(got, named)
        else:
            for one, name in zip(got, named):
                if isinstance(name, str) and name.startswith(INVALID):
                    self.assertTrue(one.startswith(name), (one, name))
                else:
                    self.assertEqual(one, name)
        peer.send(close(1000))  # still there, and in step
        self.assertEqual(peer.closed()[0], 1000)

    @every_way(WS)
    def test_cases(self, server):
        ends = {"eof": 0, "protocol": 0, "too_long": 0}
        for name, bytes_, wanted in CASES:
            for dribble in (False, True):
                if dribble and len(bytes_) > 300:
                    continue
                with self.subTest(case=name, dribble=dribble), WebPeer(address(server)) as peer:
                    with contextlib.suppress(ConnectionError):
                        (peer.dribble if dribble else peer.send)(bytes_)
                    self.check(peer, wanted)
                code = wanted[-1] if isinstance(wanted, tuple) else wanted
                own = name.startswith("close") and "1002" not in name and code in (1002, 1007) and \
                    not name.startswith("close %s" % code)
                ends["too_long" if code == 1009 and "too big" in name else
                     "protocol" if own or (code in (1002, 1003, 1007) and not name.startswith("close")) else "eof"] += 1
        return ends

    @every_way(WS)
    def test_frames_that_come_with_the_request(self, server):
        with WebPeer(address(server), early=text(HELLO) + frame(PING, b"x") + text(*HELLO)) as peer:
            got = [peer.frame() for _ in range(3)]
            self.assertCountEqual(got, [(TEXT, (peer.name + ACK).encode())] * 2 + [(PONG, b"x")])
            peer.send(close(1000))
            self.assertEqual(peer.closed()[0], 1000)

    @every_way(WS)
    def test_many_pings_of_one_that_does_not_listen(self, server):
        """Only the newest pongs are kept; the others in the room notice nothing."""
        count, size = 70000, 125  # twice what a system's buffers take: 4 MiB, the most of net.ipv4.tcp_wmem
        pings = b"".join(frame(PING, b"%0*d" % (size, i)) for i in range(count))
        with WebPeer(address(server), small_buffer=4096) as rude, WebPeer(address(server)) as other:
            rude.send(pings)
            other.say(HELLO)
            self.assertEqual(other.hear(), other.name + ACK)
            rude.send(frame(PING, b"last"))
            pongs = []
            while not pongs or pongs[-1] != b"last":
                opcode, payload = rude.frame()
                pongs += [payload] if opcode == PONG else []
            self.assertEqual(pongs[:-1], sorted(pongs[:-1]))
            self.assertLess(len(pongs), count)


class Room(Case):
    def all_in(self, *peers):
        """Waits until the room has these members."""
        for peer in peers:
            peer.send(frame(PING, b"in?") if isinstance(peer, WebPeer) else "{}")
            if isinstance(peer, WebPeer):
                self.assertEqual(peer.frame(), (PONG, b"in?"))
            else:
                self.assertEqual(peer.line(), (INVALID + 'no "message" text in it\n').encode())

    @every_way("broadcast", WS)
    def test_one_room(self, server):
        """Members by TCP and by WebSocket hear each other, in order; a line is a message without its end."""
        with server.connect("broadcast tcp") as tcp, WebPeer(address(server)) as web, \
                WebPeer(address(server)) as second:
            self.all_in(tcp, web, second)
            for i in range(50):
                web.say('{"message":"w%d \u20ac"}' % i)
                self.assertEqual(web.hear(), web.name + ACK)
                self.assertEqual(tcp.line().decode(), web.name + SAYS + "w%d \u20ac\n" % i)
                self.assertEqual(second.hear(), web.name + SAYS + "w%d \u20ac" % i)
                tcp.send(message("t%d" % i))
                self.assertEqual(tcp.line(), tcp.name.encode() + ACK_ANSWER)
                self.assertEqual(web.hear(), tcp.name + SAYS + "t%d" % i)
                self.assertEqual(second.hear(), tcp.name + SAYS + "t%d" % i)
            web.say('{"message":"a\\nb\\u0007"}')  # no message passes for two
            self.assertEqual(second.hear(), web.name + SAYS + "a\\nb\\x07")

    @every_way("broadcast", WS, options=("--max-line", "200k"))
    def test_much(self, server):
        """Pieces and sizes at their edges: what is written in pieces of 16 KiB comes whole."""
        sizes = [1, 60, 125, 126, 16000, 16384, 16385, 65400, 65535, 65536, 150000] + [200] * 400
        with server.connect("broadcast tcp") as tcp, WebPeer(address(server)) as web:
            self.all_in(tcp, web)
            tcp.send(b"".join(message("%06d" % i + "y" * size) for i, size in enumerate(sizes)))
            for i, size in enumerate(sizes):
                self.assertEqual(web.hear(), tcp.name + SAYS + "%06d" % i + "y" * size)
            web.send(b"".join(text(json.dumps({"message": "z" * size})) for size in sizes))
            for size in sizes:
                self.assertEqual(web.hear(), web.name + ACK)

    @every_way(WS, options=("--ping", "1s"))
    def test_the_silent_are_asked(self, server):
        """Who answers stays; who says nothing at all has vanished; who talks is not asked."""
        with WebPeer(address(server)) as answers, WebPeer(address(server)) as dead:
            heard = []

            def answer():
                """As a browser does it: whatever else the test waits for."""
                while not heard or heard[-1][0] not in (CLOSE, None):
                    heard.append(answers.frame())
                    if heard[-1][0] == PING:
                        answers.send(frame(PONG))
            answering = threading.Thread(target=answer)
            answering.start()
            self.assertEqual(dead.frame(), (PING, b""))
            self.assertEqual(dead.frame(), (None, b""))
            wait_until(lambda: server.told("closed").get("reset"), "the dead one's end to be told")
            wait_until(lambda: heard.count((PING, b"")) >= 3, lambda: "pings: %s" % heard)
            answers.say(HELLO)
            wait_until(lambda: (TEXT, (answers.name + ACK).encode()) in heard, lambda: "an answer: %s" % heard)
            answers.send(close(1000))
            answering.join()
            self.assertEqual(heard[-1], (CLOSE, b"\x03\xe8"))
        return {"reset": 1, "eof": 1}

    @every_way(WS, options=("--ping", "1ns"))
    def test_asked_all_the_time(self, server):
        """However short the time is, the room has its turn."""
        with WebPeer(address(server)) as peer:
            peer.send(frame(PONG) + text(HELLO))
            opcode = PING
            while opcode == PING:
                opcode, payload = peer.frame()
            self.assertEqual(payload.decode(), peer.name + ACK)

    @every_way("broadcast", WS)
    def test_drain(self, server):
        """Idle members are told that the server goes away, and why; what was said before has been heard."""
        with WebPeer(address(server)) as a, WebPeer(address(server)) as b, server.connect("broadcast tcp") as tcp, \
                Peer(address(server)) as asking:
            asking.send("GET / HT")
            self.all_in(tcp, a, b)
            tcp.send(message("last words"))
            self.assertEqual(tcp.line(), tcp.name.encode() + ACK_ANSWER)
            server.signal(signal.SIGTERM)
            server.wait_text("event=stopping", name="err")
            for one in (a, b):
                self.assertEqual(one.hear(), tcp.name + SAYS + "last words")
                self.assertEqual(one.closed(), (1001, "drain"))
            self.assertEqual(tcp.gone(), b"")
            self.assertEqual(asking.gone(), b"")
        return {"drain": 4}

    def test_lame_duck(self):
        """The ends are spread over the time, and the last member is served until its turn."""
        for workers in WORKERS:
            with serve(WS, workers=workers, options=("--lame-duck", "2s", "--quiet")) as server:
                peers = [WebPeer(address(server)) for _ in range(12)]
                server.signal(signal.SIGTERM)
                server.wait_text("event=stopping", name="err")
                for peer in peers:
                    self.assertEqual(peer.closed(), (1001, "drain"))
                self.assertEqual(server.wait(), 0, server.describe())
                self.assertEqual(counted(server), {"drain": 12})
                times = sorted(map(datetime.fromisoformat, re.findall(r"time=(\S+) .*event=closed ", server.err)))
                self.assertGreater((times[-1] - times[0]).total_seconds(), 0.5)

    @every_way("broadcast", WS, options=("--outbox", "64k", "--slow-after", "500ms"))
    def test_one_that_reads_nothing(self, server):
        """It is cut as any slow member is, and the others hear everything."""
        with WebPeer(address(server), small_buffer=4096) as slow, WebPeer(address(server)) as web, \
                server.connect("broadcast tcp") as tcp:
            self.all_in(tcp, web, slow)
            count = 0
            while not server.told("closed").get("slow_consumer"):
                for _ in range(20):
                    tcp.send(message("%06d" % count + "x" * 8000))
                    count += 1
                    self.assertEqual(tcp.line(), tcp.name.encode() + ACK_ANSWER)
                    self.assertEqual(web.hear()[len(tcp.name + SAYS):][:6], "%06d" % (count - 1))
                self.assertLess(count, 20000, server.describe())
            with contextlib.suppress(ConnectionError):
                while slow.sock.recv(1 << 20):
                    pass

    @every_way(WS, options=("--idle-timeout", "1s"))
    def test_idle(self, server):
        """A limit that is given holds for all, and a pong is no message."""
        with WebPeer(address(server), early=text(HELLO)) as peer:
            self.assertEqual(peer.hear(), peer.name + ACK)
            self.assertEqual(peer.closed(), (1008, "idle"))

    @every_way(WS)
    def test_ways_to_leave(self, server):
        half = WebPeer(address(server))
        half.half_close()
        self.assertEqual(half.frame(), (CLOSE, b"\x03\xe8"))
        part = WebPeer(address(server))
        part.send(frame(TEXT, '{"message"', fin=False))
        part.half_close()
        self.assertEqual(part.hear(), INVALID + "unexpected end of data")
        part.gone()
        gone = WebPeer(address(server))
        gone.say(HELLO)
        gone.hear()
        gone.reset()
        return {"eof": 2, "reset": 1}

    def test_a_name_for_the_status(self):
        from test_status import Asked
        with Asked("broadcast", WS) as asked, WebPeer(address(asked.server)) as peer:
            peer.say(HELLO)
            peer.hear()
            listens = asked.status()["services"]
            self.assertEqual([one["network"] for one in listens], ["tcp", "ws"])
            self.assertEqual(asked.status()["connections"][0]["peer"], peer.name)
            asked.ask("/kick?id=1", method="POST")
            self.assertEqual(peer.closed(), (1008, "kicked"))
            metrics = asked.ask("/metrics").text
            self.assertRegex(metrics, r'connections_closed_total\{reason="kicked"\} 1\n')
            self.assertRegex(metrics, r'connections_closed_total\{reason="protocol"\} 0\n')


class Library(Case):
    """Debian's python3-websockets as the other side."""

    @every_way("broadcast", WS)
    def test_it_talks_to_us(self, server):
        if subprocess.run([DEBIAN_PYTHON, "-c", "import websockets"], capture_output=True, check=False).returncode != 0:
            self.skipTest("python3-websockets is not installed")
        script = os.path.join(SOURCE, "tests", "e2e", "websockets_peer.py")
        done = subprocess.run([DEBIAN_PYTHON, script, "ws://%s:%d/" % address(server)], capture_output=True, text=True,
                              timeout=120, check=False, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
        self.assertEqual((done.returncode, done.stdout), (0, "ok\n"), done.stderr)


if __name__ == "__main__":
    main()
