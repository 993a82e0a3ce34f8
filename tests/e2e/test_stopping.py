# SPDX-License-Identifier: MIT
# test: serial timeout=300
"""How `coracle serve` stops: idle clients hold it up for no time and read the end of the stream, busy ones are served.
"""
import contextlib
import itertools
import re
import signal
import time

from harness import (ACK_ANSWER, GREETING, REPLY, SERVICES, Case, Peer, busy_client, close_all, join, main, message,
                     need_json, serve, split_address, wait_until)
from nats import ask
from slowness import held_up, slowness

CLIENTS = 1000
POLLERS = ("epoll", "io_uring")
LIMIT = 0.3  # seconds from the signal to the end with all these clients
TRIES = 3  # on a machine with other work
LARGE = 20_000_000  # bytes: more than both sockets hold


def stop(server):
    """Sends SIGTERM and waits for the end; gives the seconds that it took."""
    begin = time.monotonic()
    server.signal(signal.SIGTERM)
    server.process.wait(20)
    return time.monotonic() - begin


def push(peer, data):
    """Sends what the sockets take of it at once, or in a while; gives how much that was."""
    peer.sock.settimeout(0.5)
    sent = 0
    try:
        while sent < len(data):
            sent += peer.sock.send(data[sent:sent + 65536])
    except TimeoutError:
        pass
    peer.sock.settimeout(20)
    return sent


class Stopping(Case):
    def test_a_thousand_idle_clients(self):
        for poller, workers in itertools.product(POLLERS, (1, 2, 8)):
            with self.subTest(poller=poller, workers=workers):
                for left in reversed(range(TRIES)):
                    seconds, limit = self.thousand(poller, workers)
                    print("%s, %d workers: %d idle clients, %.0f ms of %.0f" % (
                        poller, workers, CLIENTS, seconds * 1000, limit * 1000))
                    if seconds < limit:
                        break
                    self.assertTrue(left, "never in time")

    def thousand(self, poller, workers):
        """Gives the seconds that the end took, and may take; 0 with a sanitizer, whose time cannot be judged."""
        with serve("echo", workers=workers, options=("--grace", "60s", "--poller", poller)) as server:
            judged = not server.is_sanitized()
            peers = [server.connect() for _ in range(CLIENTS)]
            for peer in peers[::2]:  # half of them have said something, half of them nothing
                peer.send("x")
            for peer in peers[::2]:
                self.assertEqual(peer.read(1), b"x")
            wait_until(lambda: server.fds() > CLIENTS, "all clients to be accepted")
            limit = LIMIT * slowness(peers[0])
            seconds = stop(server)
            self.assertEqual(server.wait(), 0, server.describe())
            for peer in peers:
                self.assertEqual(peer.read_all(), b"")  # raises after a reset
            self.assertIn("event=reasons drain=%d\n" % CLIENTS, server.err)
            close_all(*peers)
            return (seconds if judged else 0), limit

    def test_idle_clients_of_each_service(self):
        """Silent ones, and ones that have been answered, where a service answers more than once."""
        need_json()
        talk = {"print": ("x", b""), "greet": ("x", GREETING), "echo": ("x", b"x"), "random": ("x\n", None),
                "broadcast": (message("x"), None)}
        for poller in POLLERS:
            with self.subTest(poller=poller), \
                    serve(*SERVICES, workers=2, options=("--grace", "60s", "--poller", poller)) as server:
                silent = [server.connect(service) for service in SERVICES]
                answered = []
                for service, (text, answer) in talk.items():
                    peer = server.connect(service)
                    peer.send(text)
                    self.assertEqual(answer or b"", peer.read(len(answer)) if answer else b"")
                    if answer is None:
                        self.assertTrue(peer.line())
                    answered.append(peer)
                wait_until(lambda: "Received data: x" in server.out and "<1:x> " in server.out, "what was sent")
                wait_until(lambda: server.fds() >= 2 * len(SERVICES) + len(answered), "all to be accepted")
                server.signal(signal.SIGTERM)
                for peer in silent + answered:
                    peer.read_all()  # raises after a reset
                self.assertEqual(server.wait(), 0, server.describe())
                self.assertEqual(len(re.findall("reason=drain", server.err)), len(silent + answered), server.err)
                close_all(*silent, *answered)

    def test_busy_clients_are_served(self):
        """A line or a message that has begun may end within the grace period; nobody else is waited for."""
        need_json()
        for poller, workers in itertools.product(POLLERS, (1, 2)):
            with self.subTest(poller=poller, workers=workers), \
                    serve("random", "broadcast", workers=workers,
                          options=("--grace", "60s", "--poller", poller)) as server:
                line = busy_client(server)
                member = server.connect("broadcast")
                member.send(b'{"message":"1"}{"mess')
                self.assertEqual(member.line(), member.name.encode() + ACK_ANSWER)
                idle = [server.connect(service) for service in ("random", "broadcast")]
                for peer, text in zip(idle, ("x\n", "{}")):
                    peer.send(text)
                    peer.line()  # it has been accepted
                server.signal(signal.SIGTERM)
                for peer in idle:
                    self.assertEqual(peer.read_all(), b"")
                member.send(b'age":"2"}')
                self.assertEqual(member.read_all(), member.name.encode() + ACK_ANSWER)
                self.assertTrue(server.alive())
                line.send("\n")
                self.assertRegex(line.read_all(), rb"\A\d+\n\Z")
                self.assertEqual(server.wait(), 0, server.describe())
                close_all(line, member, *idle)

    def test_what_was_sent_before_is_answered(self):
        for poller, workers in itertools.product(POLLERS, (1, 2)):
            for service, text, answer in (("ack", "ola", re.escape(REPLY)), ("echo", "hello", b"hello"),
                                          ("random", "a\nb\nc\n", rb"(\d+\n){3}")):
                with self.subTest(poller=poller, workers=workers, service=service), \
                        serve(service, workers=workers, options=("--grace", "60s", "--poller", poller,
                                                                 "--log-level", "debug")) as server:
                    peers = [server.connect() for _ in range(20)]
                    server.wait_text("event=accepted", count=20, name="err")
                    for peer in peers:
                        peer.send(text)
                    server.signal(signal.SIGTERM)
                    for peer in peers:
                        self.assertRegex(peer.read_all(), rb"\A" + answer + rb"\Z")
                    self.assertEqual(server.wait(), 0, server.describe())
                    close_all(*peers)

    def test_it_is_told_when_nobody_is_let_in(self):
        """Who reads of the end and connects at once is refused, and is told that the server is not ready."""
        for workers in (1, 2):
            with self.subTest(workers=workers), \
                    serve("random", workers=workers, options=("--grace", "60s", "--admin", "127.0.0.1:0"),
                          before=held_up("close", 30)) as server, busy_client(server) as peer:
                server.wait_text("listening admin tcp ")
                server.addresses["admin"] = split_address(re.search("^listening admin tcp (.*)$", server.out, re.M)[1])
                server.signal(signal.SIGTERM)
                server.wait_text("event=stopping ", name="err")
                with self.assertRaises(ConnectionRefusedError):
                    server.connect()
                self.assertEqual(ask(server, "/readyz"), (503, "draining\n"))
                peer.send("\n")
                self.assertRegex(peer.read_all(), rb"\A\d+\n\Z")
                self.assertEqual(server.wait(), 0, server.describe())

    def test_a_long_answer_is_written_to_its_end(self):
        data = bytes(i * 7 % 251 for i in range(1 << 16)) * (LARGE >> 16)
        for poller in POLLERS:
            with self.subTest(poller=poller), serve("echo", options=("--grace", "60s", "--poller", poller)) as server, \
                    server.connect() as peer, server.connect() as idle:
                idle.send("x")
                self.assertEqual(idle.read(1), b"x")  # it has been accepted
                sent = push(peer, data)
                self.assertLess(sent, len(data))
                server.signal(signal.SIGTERM)
                self.assertEqual(idle.read_all(), b"")
                self.assertTrue(server.alive())
                self.assertEqual(peer.read_all(), data[:sent])
                self.assertEqual(server.wait(), 0, server.describe())

    def test_a_client_that_goes_on_is_served_for_half_the_grace(self):
        for poller in POLLERS:
            with self.subTest(poller=poller):
                tries = 0
                while not self.go_on(poller):
                    tries += 1
                    self.assertLess(tries, TRIES, "the client was always taken for an idle one, or served too long")

    def go_on(self, poller):
        """Talks until the end. False: the client got no turn for so long that the server took it for an idle one, or
        was served too long."""
        with serve("echo", options=("--grace", "2s", "--poller", poller)) as server, server.connect() as peer:
            peer.send("x")
            self.assertEqual(peer.read(1), b"x")  # it has been accepted
            begin, count = time.monotonic(), 0
            server.signal(signal.SIGTERM)
            try:
                while True:
                    peer.send("x")
                    answer = peer.read(1)
                    if not answer:
                        break
                    self.assertEqual(answer, b"x")
                    count += 1
            except ConnectionError:
                return False
            seconds = time.monotonic() - begin
            served = seconds > 0.9 and count > 10
            if seconds >= 1.9:
                return False
            peer.close()
            self.assertEqual(server.wait(), 0, server.describe())
            self.assertNotIn("grace_over", server.err)
            return served

    def test_clients_that_come_and_go_meanwhile(self):
        """The signal in the middle of many short sessions: all that were accepted end, and the server with them.

        Linux says nothing to a client whose handshake is over for itself, but not yet for the listener that is being
        closed: about one of thirty plain servers that close while clients connect leaves one behind. It hears of the
        end when it sends something."""
        for poller, workers in itertools.product(POLLERS, (1, 2, 8)):
            with self.subTest(poller=poller, workers=workers), \
                    serve("echo", workers=workers, options=("--grace", "60s", "--quiet", "--poller", poller)) as server:
                peers = []
                for number in range(300):
                    if number == 200:
                        server.signal(signal.SIGTERM)
                    try:
                        peers.append(Peer(server.address()))
                    except ConnectionRefusedError:
                        break
                    except ConnectionResetError:
                        continue
                    if number % 3 == 0:
                        peers.pop(0).close()
                self.assertEqual(server.wait(), 0, server.describe())
                for peer in peers:
                    with contextlib.suppress(ConnectionError):
                        peer.send("x")
                    self.assertEqual(peer.gone(), b"")
                close_all(*peers)
                counts = re.search(r"event=stopped accepted=(\d+) closed=(\d+) open=0", server.err)
                self.assertEqual(counts[1], counts[2])


if __name__ == "__main__":
    main()
