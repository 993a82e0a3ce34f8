# SPDX-License-Identifier: MIT
"""The status server of `coracle serve --admin`: it tells the truth, lets nobody else in, and holds up nobody."""
import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from harness import (ACK_ANSWER, BIN, Case, Peer, busy_client, close_all, join, main, message, need_admin, need_json,
                     need_tool, run_coracle, serve, settled_fds, split_address, wait_until)
from slowness import slowness

POLLERS = ("epoll", "io_uring")
EACH = tuple(itertools.product(POLLERS, (1, 2)))
MANY = 1000
SLOW_READERS = 40
SILENT_LIMIT = 5.0  # seconds: half of the time after which a silent one is closed
LARGE = 20_000_000  # bytes: more than both sockets hold
P99_LIMIT = 0.05  # seconds
LIST_LIMIT = 2.0  # seconds
TRIES = 3  # on a machine with other work


class UnixConnection(http.client.HTTPConnection):
    """http.client over a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


class Answer:
    """An HTTP answer: status, headers, body."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()


class Asked:
    """A `coracle serve` with a status server, to be asked."""

    def __init__(self, *services, admin="127.0.0.1:0", poller="epoll", workers=1, options=()):
        self.server = serve(*services, workers=workers, options=("--poller", poller, "--admin", admin, *options))
        self.server.wait_text("listening admin")
        address = re.search(r"^listening admin \S+ (\S+)$", self.server.out, re.M).group(1)
        self.address = address if address.startswith("/") else split_address(address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()

    def connection(self):
        if isinstance(self.address, str):
            return UnixConnection(self.address)
        return http.client.HTTPConnection(*self.address, timeout=20)

    def ask(self, path, method="GET", headers=None):
        with contextlib.closing(self.connection()) as connection:
            connection.request(method, path, headers=headers or {})
            return Answer(connection.getresponse())

    def status(self, query=""):
        answer = self.ask("/status" + query)
        if answer.status != 200:
            raise AssertionError("%d %s" % (answer.status, answer.text))
        return json.loads(answer.text)

    def metrics(self):
        """Every sample: name and labels to number."""
        return parse(self.ask("/metrics").text)

    def raw(self, data):
        """Sends these bytes and gives all that comes until the end of the connection, however it ends."""
        with Peer(self.address) as peer:
            with contextlib.suppress(ConnectionError):
                peer.send(data)
            return peer.gone()

    def wait_sent(self, count):
        """An answer has been counted a moment after its client has it."""
        wait_until(lambda: self.status()["counters"]["sent_bytes"] == count,
                   lambda: "%d bytes sent: %s" % (count, self.status()["counters"]))

    def kick(self, number):
        """Asks until a worker has had the time, which may be after the first answer; gives the last one."""
        def kicked():
            answer = self.ask("/kick?id=%d" % number, "POST")
            return answer.status != 503 and answer
        return wait_until(kicked, "a worker to kick")

    def wait_closed(self, count):
        return wait_until(lambda: self.status()["counters"]["closed"] == count and self.status(),
                          lambda: "%d closed connections: %s" % (count, self.status()["counters"]))


def parse(text):
    """Reads Prometheus' text with its own parser, or without it a strict one of ours."""
    samples = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, number = re.fullmatch(r'([a-z_]+)(\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})? (\d+(?:\.\d+)?)',
                                            line).groups()
        key = name + (labels or "")
        if key in samples:
            raise AssertionError("%s twice" % key)
        samples[key] = float(number)
    return samples


def add_up(samples):
    """The three sums of the rule."""
    def sum_of(name):
        return sum(number for key, number in samples.items() if key.startswith(name + "{"))
    return (samples["coracle_connections_accepted_total"], sum_of("coracle_connections"),
            sum_of("coracle_connections_closed_total"))


def echo(peer, text="x"):
    peer.send(text)
    return peer.read(len(text))


def fill(peer):
    """Sends more than sockets take, without reading, in a thread of its own: sooner or later the server is stuck."""
    def send():
        with contextlib.suppress(OSError):
            peer.send(b"z" * LARGE)
    threading.Thread(target=send, daemon=True).start()


def p99_of(samples):
    return sorted(samples)[len(samples) * 99 // 100]


class Truth(Case):
    def test_metrics_are_what_was_done(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    Asked("echo", "random", poller=poller, workers=workers, options=("--max-line", "64")) as asked:
                self.assertEqual(add_up(asked.metrics()), (0, 0, 0))
                peers = [asked.server.connect("echo") for _ in range(5)]
                for number, peer in enumerate(peers):
                    self.assertEqual(echo(peer, "x" * (number + 1)), b"x" * (number + 1))
                lines = asked.server.connect("random")
                lines.send("y" * 200 + "\n")
                self.assertEqual(lines.read_all(), b"line too long\n")
                lines.close()
                peers[0].close()
                peers[1].reset()
                asked.wait_closed(3)
                asked.wait_sent(1 + 2 + 3 + 4 + 5 + len(b"line too long\n"))
                samples = asked.metrics()
                self.assertEqual(add_up(samples), (6, 3, 3))
                self.assertEqual(samples['coracle_connections{service="echo"}'], 3)
                self.assertEqual(samples['coracle_connections{service="random"}'], 0)
                for reason, count in {"eof": 1, "reset": 1, "too_long": 1, "kicked": 0}.items():
                    self.assertEqual(samples['coracle_connections_closed_total{reason="%s"}' % reason], count, reason)
                self.assertEqual(samples["coracle_sent_bytes_total"], 1 + 2 + 3 + 4 + 5 + len(b"line too long\n"))
                self.assertGreaterEqual(samples["coracle_received_bytes_total"], 15)
                self.assertEqual(samples.get("rt_workers", workers), workers)
                self.assertEqual(samples["coracle_ready"], 1)
                self.assertIn('backend="%s"' % poller.split()[0], asked.ask("/metrics").text.split("\n")[2])
                close_all(*peers[2:])

    def test_both_formats_by_the_parsers_of_prometheus(self):
        sys.path.append("/usr/lib/python3/dist-packages")  # Debian's modules, whatever python3 runs this
        try:
            from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
            from prometheus_client.parser import text_string_to_metric_families as read_plain
        except ImportError:
            raise unittest.SkipTest("python3-prometheus-client is not installed") from None
        finally:
            sys.path.pop()
        with Asked("echo") as asked, asked.server.connect() as peer:
            echo(peer)
            plain = asked.ask("/metrics")
            self.assertEqual(plain.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
            families = {family.name: family for family in read_plain(plain.text)}
            self.assertEqual(families["coracle_connections_accepted"].type, "counter")
            for family in families.values():
                self.assertTrue(family.documentation, family.name)
                self.assertNotEqual(family.type, "unknown", family.name)
            fancy = asked.ask("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
            self.assertIn("openmetrics-text", fancy.headers["Content-Type"])
            self.assertEqual({family.name for family in read_open(fancy.text) if not family.name.startswith("rt_")},
                             {name for name in families if not name.startswith("rt_")})

    def test_the_sum_rule_holds_while_clients_come_and_go(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    Asked("echo", "echo=127.0.0.1:0", poller=poller, workers=workers) as asked:
                over = threading.Event()

                def churn(server=asked.server, over=over):
                    while not over.is_set():
                        with server.connect() as peer:
                            echo(peer)
                threads = [threading.Thread(target=churn) for _ in range(3)]
                for thread in threads:
                    thread.start()
                try:
                    last = {}
                    for _ in range(25):
                        samples = asked.metrics()
                        accepted, now, closed = add_up(samples)
                        self.assertEqual(accepted, now + closed)
                        for key, number in samples.items():
                            if "_total" in key:
                                self.assertGreaterEqual(number, last.get(key, 0), key)
                        last = samples
                        counters = asked.status()["counters"]
                        self.assertEqual(counters["accepted"], counters["open"] + counters["closed"])
                        self.assertEqual(counters["closed"], sum(counters["closed_by_reason"].values()))
                finally:
                    over.set()
                    for thread in threads:
                        thread.join()
                self.assertGreater(accepted, 0)

    def test_status_names_connections_and_reasons(self):
        need_json()
        with Asked("echo", "broadcast", workers=2, options=("--quiet", "--max-conns", "4", "--reply", 'a"<b')) as asked:
            with asked.server.connect("echo") as gone:
                echo(gone, "bye")
                name = gone.name
            asked.wait_closed(1)
            member, = join(self, type("Room", (), {"connect": lambda _: asked.server.connect("broadcast")})(), 1)
            peer = asked.server.connect("echo")
            echo(peer, "hello")
            asked.wait_sent(3 + len(member.name.encode() + ACK_ANSWER) + 5)
            status = asked.status()
            rows = {row["peer"]: row for row in status["connections"]}
            self.assertEqual(set(rows), {member.name, peer.name})
            self.assertEqual(rows[peer.name]["service"], "echo")
            self.assertEqual(rows[peer.name]["received_bytes"], 5)
            self.assertEqual(status["recently_closed"][0]["peer"], name)
            self.assertEqual(status["recently_closed"][0]["reason"], "eof")
            self.assertEqual((status["limits"]["max-conns"], status["limits"]["reply"]), (4, 'a"<b'))
            self.assertEqual(asked.status("?limit=1")["connections"].__len__(), 1)
            self.assertEqual(asked.ask("/status?limit=x").status, 400)
            self.assertEqual(asked.ask("/status?limit=99999999").status, 400)
            close_all(member, peer)

    def test_who_takes_nothing_comes_first(self):
        for poller in POLLERS:
            with self.subTest(poller=poller), Asked("echo", poller=poller) as asked:
                peers = [asked.server.connect() for _ in range(5)]
                for peer in peers:
                    echo(peer)
                slow = peers[3]
                fill(slow)

                def first(asked=asked):
                    row = asked.status()["connections"][0]
                    return row["pending_bytes"] > 10_000 and row
                self.assertEqual(wait_until(first, "something to be pending")["peer"], slow.name)
                close_all(*peers)

    def test_tasks_are_those_of_a_dump(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    Asked("echo", poller=poller, workers=workers) as asked, asked.server.connect() as peer:
                echo(peer)
                answer = asked.ask("/tasks")
                self.assertEqual(answer.status, 200)
                self.assertRegex(answer.text, r"(?m)^task 1 \[.*\]: main")
                self.assertRegex(answer.text, r"(?m)^task \d+ \[\w.*\]: session_main")

                def refused(asked=asked):
                    again = asked.ask("/tasks")
                    return again.status == 429 and again
                self.assertEqual(wait_until(refused, "too many dumps").headers["Retry-After"], "1")
                self.assertEqual(echo(peer), b"x")


class Kick(Case):
    def test_each_kind_of_client(self):
        """Idle, in the middle of a line, one that takes nothing, and a member of the room."""
        need_json()
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    Asked("echo", "random", "broadcast", poller=poller, workers=workers) as asked:
                server = asked.server
                idle, stuck = server.connect("echo"), server.connect("echo")
                echo(idle)
                fill(stuck)
                wait_until(lambda asked=asked: asked.status()["connections"][0]["stuck"] > 0.3, "one to be stuck")
                member = server.connect("broadcast")
                member.send(message("x"))
                member.line()
                healthy = server.connect("echo")
                echo(healthy)
                clients = [idle, stuck, member, busy_client(server)]
                ids = {row["peer"]: row["id"] for row in asked.status()["connections"]}
                for peer in clients:
                    answer = asked.kick(ids[peer.name])
                    self.assertIn(answer.text, ("kicked %d\n" % ids[peer.name], "%d is not open\n" % ids[peer.name]))
                status = asked.wait_closed(len(clients))
                self.assertEqual(status["counters"]["closed_by_reason"]["kicked"], len(clients))
                self.assertEqual({(row["id"], row["reason"]) for row in status["recently_closed"]},
                                 {(ids[peer.name], "kicked") for peer in clients})
                for peer in clients:
                    peer.gone()
                self.assertEqual(echo(healthy), b"x")
                self.assertEqual(asked.kick(ids[idle.name]).status, 404)
                server.wait_text("reason=kicked", count=len(clients), name="err")
                close_all(*clients, healthy)

    def test_what_is_no_kick(self):
        with Asked("echo") as asked, asked.server.connect() as peer:
            echo(peer)
            self.assertEqual(asked.ask("/kick?id=1").status, 405)
            for query in ("", "?id=", "?id=x", "?id=-1", "?id=1x", "?id=99999999999999999999", "?di=1"):
                self.assertEqual(asked.ask("/kick" + query, "POST").status, 400, query)
            self.assertEqual(asked.kick(2).status, 404)
            self.assertEqual(echo(peer), b"x")


class Load(Case):
    def test_a_thousand_are_listed_while_clients_are_served(self):
        for poller in POLLERS:
            with self.subTest(poller=poller), Asked("echo", poller=poller, workers=2) as asked:
                peers = [asked.server.connect() for _ in range(MANY)]
                for peer in peers:
                    echo(peer)
                for left in reversed(range(TRIES)):
                    slow = slowness(peers[0])
                    echo_s, list_s = self.measure(asked, peers[0])
                    print("%s: p99 of an echo %.1f ms, %d listed in %.0f ms, slowness %.1f" % (
                        poller, echo_s * 1000, MANY, list_s * 1000, slow))
                    good = echo_s < P99_LIMIT * slow and list_s < LIST_LIMIT * slow
                    if good or asked.server.is_sanitized():
                        break
                    self.assertTrue(left, "never in time")
                close_all(*peers)

    def measure(self, asked, peer):
        """Echoes until the list has been asked for ten times; gives the echoes' p99 and the slowest list's seconds."""
        lists, echoes, counts = [], [], []

        def look():
            for _ in range(10):
                begin = time.monotonic()
                rows = asked.status()["connections"]
                lists.append(time.monotonic() - begin)
                counts.append((len(rows), len([row for row in rows if row["peer"]])))
        looker = threading.Thread(target=look)
        looker.start()
        while looker.is_alive():
            begin = time.monotonic()
            echo(peer)
            echoes.append(time.monotonic() - begin)
        looker.join()
        self.assertEqual([listed for listed, _ in counts], 10 * [MANY])
        named = any(names == MANY for _, names in counts)  # not, if no worker had a second for it
        return p99_of(echoes), max(lists) if named else float("inf")

    def test_who_says_nothing_keeps_nobody_out(self):
        """All places taken in the same moment: who comes then waits neither for their second nor for their timeout."""
        with Asked("echo") as asked:
            silent = [Peer(asked.address) for _ in range(SLOW_READERS)]
            begin = time.monotonic()
            self.assertEqual(asked.ask("/livez").status, 200)
            self.assertLess(time.monotonic() - begin, SILENT_LIMIT)
            close_all(*silent)

    def test_who_reads_slowly_keeps_nobody_out(self):
        """More of them than there are admin connections; each holds an answer of which it takes nothing."""
        with Asked("echo", workers=2) as asked:
            warm = [asked.server.connect() for _ in range(32)]
            for peer in warm:
                echo(peer)  # each worker has accepted some: all descriptors that stay are there
            close_all(*warm)
            self.assertEqual(asked.ask("/livez").status, 200)
            base = settled_fds(asked.server)
            peers = [asked.server.connect() for _ in range(300)]
            for peer in peers:
                echo(peer)
            slow = []
            for _ in range(SLOW_READERS):
                peer = Peer(asked.address, small_buffer=2048)
                peer.send("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
                slow.append(peer)

            def answered():
                with contextlib.suppress(OSError, http.client.HTTPException):
                    return asked.ask("/livez").status == 200
                return False
            wait_until(answered, "an answer beside slow readers")
            self.assertEqual(echo(peers[0]), b"x")
            close_all(*slow, *peers)
            asked.server.wait_fds(base)


class Strangers(Case):
    HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"

    def check(self, asked, data, statuses):
        """One answer at most, of these; the server lives. 0 stands for none: the connection was ended."""
        answer = asked.raw(data)
        found = [int(number) for number in re.findall(rb"HTTP/1\.[01] (\d{3})", answer)] or [0]
        self.assertEqual(len(found), 1, (data[:100], answer))
        self.assertIn(found[0], statuses, (data[:100], answer[:300]))

    def test_heads_that_are_wrong(self):
        with Asked("echo") as asked, asked.server.connect() as peer:
            echo(peer)
            end = b"\r\n"
            lost = (0, 400, 413, 414, 431)
            cases = {
                "10,000 lines": (self.HEAD + b"".join(b"X-%d: y\r\n" % i for i in range(10_000)) + end, lost),
                "a line of 1 MB": (self.HEAD + b"X: " + b"y" * 1_000_000 + 2 * end, lost),
                "a path of 100 KB": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", lost),
                "a query of 10,000 words": (b"GET /status?" + b"a&" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                            lost),
                "no Host": (b"GET /livez HTTP/1.1\r\n\r\n", (400,)),
                "no Host, 1.0": (b"GET /livez HTTP/1.0\r\n\r\n", (400,)),
                "two Hosts": (self.HEAD + b"Host: localhost\r\n\r\n", (400,)),
                "garbage": (b"\xff\xff\xff \xff HTTP/9.9\r\n\r\n", (0, 400, 404, 405, 505)),
                "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (0, 400, 404, 405, 505)),
                "a body": (self.HEAD + b"Content-Length: 5\r\n\r\nhello", (413,)),
                "chunks": (self.HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (413,)),
                "both lengths": (self.HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                                 + self.HEAD + end, (0, 400, 413)),
                "two lengths": (self.HEAD + b"Content-Length: 0\r\nContent-Length: 60\r\n\r\n" + self.HEAD + end,
                                (0, 400, 413)),
                "a second request": (self.HEAD + end + b"POST /kick?id=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", (200,)),
                "another method": (b"BREW /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", (405,)),
                "nowhere": (b"GET /../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", (404,)),
                "a NUL in the path": (b"GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", (404,)),
                "a NUL in the query": (b"POST /kick?id=1%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", (400,)),
            }
            for name, (data, statuses) in cases.items():
                with self.subTest(name):
                    self.check(asked, data, statuses)
            self.assertEqual(echo(peer), b"x")
            self.assertEqual(asked.ask("/livez").status, 200)
            self.assertEqual(asked.ask("/livez", "HEAD").status, 200)

    def test_names_of_other_servers(self):
        """A page whose name leads to this machine (DNS rebinding), and pages that just ask."""
        with Asked("echo") as asked, asked.server.connect() as peer:
            echo(peer)
            port = ":%d" % asked.address[1]
            for host in ("localhost", "LOCALHOST" + port, "127.0.0.1" + port, "[::1]" + port, "192.0.2.7"):
                self.assertEqual(asked.ask("/livez", headers={"Host": host}).status, 200, host)
            for host in ("evil.example", "evil.example" + port, "localhost.evil.example", "127.0.0.1.evil.example",
                         "127.0.0.1:80:80", "[::1", "::1", "[127.0.0.1]", "localhost:", "localhost:x", "0x7f.1",
                         "127.1", "localhost@evil.example", "a" * 300):
                self.assertEqual(asked.ask("/livez", headers={"Host": host}).status, 421, host)
            for origin, status in (("http://localhost", 403), ("http://localhost" + port, 404), ("null", 403),
                                   ("https://localhost" + port, 403), ("http://evil.example", 403), ("", 403)):
                answer = asked.ask("/kick?id=77", "POST", {"Host": "localhost" + port, "Origin": origin})
                self.assertEqual(answer.status, status, origin)
            for site, status in (("same-origin", 404), ("none", 404), ("cross-site", 403), ("same-site", 403)):
                self.assertEqual(asked.ask("/kick?id=77", "POST", {"Sec-Fetch-Site": site}).status, status, site)
            self.assertEqual(echo(peer), b"x")

    def test_headers_of_every_answer(self):
        with Asked("echo") as asked:
            for path in ("/livez", "/status", "/metrics", "/nowhere"):
                headers = asked.ask(path).headers
                self.assertIn("default-src 'none'", headers["Content-Security-Policy"], path)
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff", path)
                self.assertEqual(headers["Cache-Control"], "no-store", path)
                self.assertEqual(headers["Connection"], "close", path)
                self.assertIsNone(headers["Access-Control-Allow-Origin"], path)

    def test_names_of_clients_are_texts(self):
        with tempfile.TemporaryDirectory() as folder, \
                Asked("echo=unix://" + folder + "/s", admin="unix://" + folder + "/admin") as asked:
            name = "\0<img src=x onerror=alert(1)>\"'\u2028\x1b[31m"
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
                sock.bind(name)
                sock.settimeout(20)
                sock.connect(folder + "/s")
                sock.sendall(b"x")
                sock.recv(1)
                text = asked.ask("/status").text
                self.assertNotIn("<", text)
                self.assertNotIn("\x1b", text)
                self.assertEqual(json.loads(text)["connections"][0]["peer"], "@" + name[1:])


class Place(Case):
    def test_a_unix_socket_is_its_owners(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/admin"
            with Asked("echo", admin="unix://" + path) as asked:
                self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
                self.assertEqual(asked.ask("/livez", headers={"Host": "whatever"}).status, 200)
                curl = need_tool("curl")
                done = subprocess.run([curl, "-s", "--unix-socket", path, "http://localhost/readyz"],
                                      capture_output=True, timeout=20, check=False)
                self.assertEqual((done.returncode, done.stdout), (0, b"ok\n"))
            self.assertFalse(os.path.exists(path))

    def test_the_loopback_unless_written_out(self):
        for address in ("0", ":0", "tcp://:0", "tcp4://0"):
            with Asked("echo", admin=address) as asked:
                self.assertEqual(asked.address[0], "127.0.0.1", address)
                self.assertNotIn("admin_public", asked.server.err)
        with Asked("echo", admin="0.0.0.0:0") as asked:
            asked.server.wait_text("event=admin_public", name="err")
            self.assertEqual(asked.ask("/livez").status, 200)

    def test_ipv6(self):
        with Asked("echo", admin="[::1]:0") as asked:
            self.assertEqual(asked.address[0], "::1")
            self.assertEqual(asked.ask("/livez").status, 200)

    def test_where_it_cannot_be(self):
        with Asked("echo") as asked:
            taken = "127.0.0.1:%d" % asked.address[1]
            done = run_coracle("serve", "--admin", taken, "echo=127.0.0.1:0")
            self.assertEqual(done.code, 75, done.describe())
            self.assertIn("address already in use", done.err)
        for address, words in (("udp://:0", "unexpected address type"), ("127.0.0.1:x", "unknown port"),
                               ("nonsense", "missing port")):
            done = run_coracle("serve", "--admin", address, "echo=127.0.0.1:0")
            self.assertEqual(done.code, 78, done.describe())
            self.assertIn(words, done.err)
            self.assertNotIn("listening", done.out)

    def test_ready_turns_false_first(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    Asked("random", poller=poller, workers=workers, options=("--grace", "60s")) as asked:
                self.assertEqual(asked.ask("/readyz").text, "ok\n")
                peer = busy_client(asked.server)
                asked.server.signal(signal.SIGTERM)
                wait_until(lambda asked=asked: asked.ask("/readyz").status == 503, "/readyz to turn")
                self.assertEqual(asked.ask("/readyz").text, "draining\n")
                self.assertEqual(asked.ask("/livez").status, 200)
                self.assertEqual(asked.status()["state"], "draining")
                self.assertEqual(asked.metrics()["coracle_ready"], 0)
                peer.send("\n")
                peer.read_all()
                self.assertEqual(asked.server.wait(), 0, asked.server.describe())
                close_all(peer)


def setUpModule():
    need_admin()


if __name__ == "__main__":
    main()
