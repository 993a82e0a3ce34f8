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
                        self.targets(server)
                        self.mirrors(server)
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
                      b"Content-Length:\r\n %d\r\n" % len(kick), b"Content-Length: 0\r\nContent-Length: 0\r\n",
                      b"Content-Length: %d\r\n\tX: y\r\n" % len(kick), b"Content-Length: 0\0%d\r\n" % len(kick),
                      b"Transfer-Encoding: chunked\r\n\r\n0;x=\r\nX: y\r\n", b"TE: chunked, trailers\r\n",
                      b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding:\r\n chunked\r\n",
                      b"X: y\nContent-Length: 0\r\n", b"X: y\rContent-Length: 0\r\n", b"Expect: 100-continue\r\n",
                      b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"Connection: keep-alive\r\n"):
            for body in (b"", b"0\r\n\r\n"):
                found = self.answers(server, HEAD + inner + END + body + kick)
                self.assertTrue(len(found) == 1 or set(found) <= {400, 413}, (inner, found))

    def pages(self, server, number):
        """What a browser sends for a page of another server, also if its name leads here."""
        port = b":%d" % server.address("admin")[1]
        for head in (b"Host: localhost\r\nHost: evil.example\r\n", b"Host: evil.example\r\nHOST: localhost\r\n",
                     b"Host: localhost\r\n evil.example\r\n", b"Host: localhost, evil.example\r\n", b"Host\r\n",
                     b"X-Forwarded-Host: localhost\r\nHost: evil.example\r\n", b"Host: evil.example\0localhost\r\n",
                     b" Host: localhost\r\nHost: evil.example\r\n"):
            found = self.answers(server, b"POST /kick?id=%d HTTP/1.1\r\n" % number + head + END)
            self.assertIn(found[0], (0, 400, 421), head)
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

    def targets(self, server):
        """Paths that are none of ours, or not written as ours are; one with another server's name is not ours."""
        for target in (b"http://evil.example/status", b"//evil.example/status", b"/../status", b"/status/", b"/STATUS",
                       b"/%73tatus/", b"/status%00", b"/status%2f..", b"*", b"localhost:80", b"/status\t", b"?", b"",
                       b"/./status", b"\\status"):
            found = self.answers(server, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertIn(found[0], REFUSED, target)

    def mirrors(self, server):
        """Nothing of a request is in its answer, which no browser takes for a page."""
        mark = b"<script>alert(7)</script>"
        paths = (mark, mark.replace(b"<", b"%3c"), b"status?format=" + mark, b"status?limit=" + mark,
                 b"status?" + mark + b"=1")
        heads = (b"Referer: " + mark, b"Accept: " + mark, b"Origin: http://" + mark, mark + b": y")
        for line, head in (*((b"GET /" + path, b"") for path in paths), *((b"GET /x", head + END) for head in heads),
                           (b"POST /kick?id=" + mark, b""), (mark + b" /status", b"")):
            with Peer(server.address("admin")) as peer:
                peer.send(line + b" HTTP/1.1\r\nHost: localhost\r\n" + head + END)
                told = peer.gone()
            self.assertNotIn(b"alert", told, line)
            is_safe = b"X-Content-Type-Options: nosniff\r\n" in told and b"Content-Security-Policy: default-" in told
            self.assertTrue(is_safe or not told or told[9:10] == b"4", told)  # libmicrohttpd's own have no such

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
