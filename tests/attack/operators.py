# SPDX-License-Identifier: MIT
"""Attack E5: the status server. While it lasts, the healthy client has its echoes, and /livez is answered."""
import contextlib
import json
import re
import socket
import tempfile
import unittest

from harness import Peer, close_all, wait_until

from ground import EACH, Ground, ask, has_status

HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
KICK = b"POST /kick?id=%d HTTP/1.1\r\nHost: localhost\r\n"
END = b"\r\n"
REFUSED = (0, 400, 403, 404, 405, 411, 413, 414, 421, 431, 501, 505)  # 0: the connection was ended without a word


class E5(Ground):
    """Heads that are too big, two requests in one, pages of other servers, clients that neither write nor read, and
    names that are programs. Nothing of it reaches a connection or a second answer."""

    def setUp(self):
        if not has_status():
            raise unittest.SkipTest("built without libmicrohttpd: no status over HTTP")

    def test_strangers(self):
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("random", poller=poller, workers=workers) as server:
                for _ in self.cycles(server):
                    with server.connect("random") as victim:
                        victim.send("\nand")
                        victim.line()
                        rows = json.loads(ask(server, "/status")[1])["connections"]
                        number, = (row["id"] for row in rows if row["peer"] == victim.name)
                        self.bombs(server)
                        self.pairs(server, number)
                        self.pages(server, number)
                        victim.send("\n")
                        self.assertRegex(victim.line(), rb"\A\d+\n\Z")
            self.assertNotIn("kicked", server.counters)

    def answers(self, server, data):
        """The status of each answer, whatever the end."""
        with Peer(server.address("admin")) as peer:
            with contextlib.suppress(ConnectionError):
                peer.send(data)
            told = peer.gone()
        return [int(number) for number in re.findall(rb"HTTP/1\.[01] (\d{3}) ", told)] or [0]

    def bombs(self, server):
        for data in (HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(10000)) + END,
                     HEAD + b"X: " + b"y" * self.size(100 << 20, 1 << 20) + END + END,
                     HEAD + b"X" * (1 << 20) + b": y\r\n\r\n",
                     HEAD + b"".join(b"Cookie: a%d=b\r\n" % number for number in range(10000)) + END,
                     b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     b"GET /status?" + b"limit=1&" * 20000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     b"A" * (1 << 20) + b" / HTTP/1.1\r\n\r\n", b"\r\n" * 100000, b"\0" * 100000,
                     HEAD + b" folded\r\n" * 20000 + END):
            found = self.answers(server, data)
            self.assertEqual(len(found), 1, data[:60])
            self.assertIn(found[0], REFUSED, data[:60])

    def pairs(self, server, number):
        """A request that may be taken for one or for two: the second is never answered, nor done. (libmicrohttpd says
        its own refusal of a length twice.)"""
        kick = KICK % number + END
        for inner in (b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(kick),
                      b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % len(kick),
                      b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n" % len(kick),
                      b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                      b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding:\tchunked\r\n",
                      b"Transfer-Encoding : chunked\r\n",
                      b"Content-Length: +0\r\n", b"Content-Length: 0x0\r\n", b"Content-Length: -1\r\n",
                      b"Content-Length: 0, 0\r\n", b"Content-Length: 99999999999999999999\r\n",
                      b"X: y\nContent-Length: 0\r\n", b"X: y\rContent-Length: 0\r\n", b"Expect: 100-continue\r\n",
                      b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"Connection: keep-alive\r\n"):
            for body in (b"", b"0\r\n\r\n"):
                found = self.answers(server, HEAD + inner + END + body + kick)
                self.assertTrue(len(found) == 1 or set(found) <= {400, 413}, (inner, found))

    def pages(self, server, number):
        """What a browser sends for a page of another server, also if its name leads here."""
        port = b":%d" % server.address("admin")[1]
        for host in (b"evil.example", b"evil.example" + port, b"localhost.evil.example" + port,
                     b"127.0.0.1.evil.example",
                     b"localhost@evil.example", b"evil.example#localhost", b"127.1", b"2130706433",
                     b""):
            for line in (b"GET /status", b"POST /kick?id=%d" % number):
                found = self.answers(server, line + b" HTTP/1.1\r\nHost: " + host + END + END)
                self.assertIn(found[0], (0, 400, 421), host)
        for line in (b"Origin: http://evil.example", b"Origin: null", b"Origin: https://localhost" + port,
                     b"Origin: http://localhost:1", b"Origin: http://localhost" + port + b".evil.example", b"Origin: ",
                     b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Site: same-site"):
            self.assertIn(self.answers(server, KICK % number + line + END + END)[0], (400, 403), line)
        for kind in (b"application/x-www-form-urlencoded", b"text/plain", b"multipart/form-data"):  # of a page's form
            line = b"Content-Type: " + kind + b"\r\nContent-Length: 4\r\n\r\nid=1"
            self.assertIn(self.answers(server, KICK % number + line)[0], REFUSED, line)
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"):
            self.assertIn(ask(server, "/kick?id=%d" % number, method)[0], (0, 400, 405, 501), method)

    def test_slow_ones(self):
        """Some ask for everything and read nothing, some send a byte now and then of a head that never ends."""
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("random", poller=poller, workers=workers) as server:
                for _ in self.cycles(server):
                    self.crowd_out(server, self.size(1000, 60))

    def crowd_out(self, server, count):
        peers = [server.connect("random") for _ in range(count)]
        slow = []
        for number in range(count):
            slow.append(Peer(server.address("admin"), small_buffer=2048))
            with contextlib.suppress(OSError):
                slow[-1].send(b"GET /status?limit=4096 HTTP/1.1\r\nHost: localhost\r\n" + END * (number % 2))
        for _ in range(self.size(20, 3)):
            for peer in slow[::2]:
                with contextlib.suppress(OSError):
                    peer.send(b"X: y\r\n")
            wait_until(lambda: self.is_ready(server), "an answer")
        close_all(*peers, *slow)

    @staticmethod
    def is_ready(server):
        with contextlib.suppress(OSError):
            return ask(server, "/readyz") == (200, "ok\n")
        return False

    def test_names(self):
        """A unix socket may be called anything: as JSON it is text, and not a page's part either."""
        name = "\0</script><img src=x onerror=alert(1)>\"'\u2028\x1b[31m"
        with tempfile.TemporaryDirectory(prefix="attack-") as folder, \
                self.attacked("echo=unix://" + folder + "/echo") as server, socket.socket(socket.AF_UNIX) as sock:
            sock.bind(name)
            sock.connect(folder + "/echo")
            sock.sendall(b"x")
            sock.recv(1)
            status, text = ask(server, "/status")
            self.assertEqual(status, 200)
            self.assertIsNone(re.search("[<>\x1b\u2028]", text), text)
            self.assertIn("@" + name[1:], [row["peer"] for row in json.loads(text)["connections"]])
            for path in ("/tasks", "/metrics"):
                self.assertNotIn("<", re.sub(r"<unknown>", "", ask(server, path)[1]))
