# SPDX-License-Identifier: MIT
"""Datagrams: `coracle serve` and `coracle dial` over udp, with each other, with other people's tools and with Go."""
import contextlib
import fcntl
import os
import pty
import re
import signal
import socket
import struct
import sys
import tempfile

from harness import (BIN, PATIENCE, Case, Program, coracle, each_server, main, need_tool, run_coracle, serve,
                     text_address, wait_until)

from go_programs import go_path

LARGEST = 65507
UDP = "udp://127.0.0.1:0"


class Packets:
    """A packet socket of the test's own. Use it in a `with`."""

    def __init__(self, to=None, host="127.0.0.1", port=0):
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(PATIENCE)
        self.sock.bind((host, port))
        self.address = self.sock.getsockname()[:2]
        self.text = text_address(self.address)
        self.to = to

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data, to=None):
        self.sock.sendto(data, to or self.to)

    def take(self):
        data, sender = self.sock.recvfrom(65536)
        self.to = sender[:2]
        return data

    def ask(self, data):
        self.send(data)
        return self.take()

    def has_none(self):
        """Nothing has come. What is asked last is answered last, so this is true after an answer to another."""
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            return not self.sock.recvfrom(65536)
        self.sock.settimeout(PATIENCE)
        return True


def deaf():
    """A socket whose port is taken, but that hears one other port only: for all else nobody is there."""
    socket_of_ours = Packets()
    socket_of_ours.sock.connect(("127.0.0.1", 9))
    return socket_of_ours


def ended(server):
    """Ends the server by SIGTERM: the figures of its event `packets`."""
    server.signal(signal.SIGTERM)
    if server.wait() != 0:
        raise AssertionError(server.describe())
    fields = re.search(r"event=packets (.*)", server.err)
    return dict(word.split("=", 1) for word in fields.group(1).split())


class Echo(Case):
    @each_server("echo=" + UDP, options=("--quiet",))
    def test_a_datagram_for_a_datagram(self, server):
        with Packets(server.address()) as peer:
            for size in (1, 0, 64, 1472, 1473, 9000, LARGEST, 0):
                data = os.urandom(size)
                self.assertTrue(peer.ask(data) == data, size)
            for number in range(64):
                peer.send(b"%d" % number)
            self.assertEqual([peer.take() for _ in range(64)], [b"%d" % number for number in range(64)])

    def test_families(self):
        for address, host in (("udp://:0", "127.0.0.1"), ("udp://:0", "::1"), ("udp6://[::1]:0", "::1"),
                              ("udp4://0.0.0.0:0", "127.0.0.1"), ("udp://localhost:0", "127.0.0.1")):
            with serve("echo=" + address) as server, Packets((host, server.address()[1]), host) as peer:
                self.assertEqual(peer.ask(b"over " + address.encode()), b"over " + address.encode())

    @each_server("echo=" + UDP)
    def test_what_is_shown_is_made_safe(self, server):
        with Packets(server.address()) as peer:
            peer.ask("é 世\x1b[2J\n".encode())
            peer.ask(b"")
        server.wait_text("收到Client端发来的数据： é 世\\x1b[2J\\n\n收到Client端发来的数据： \n")

    def test_what_is_said_of_it(self):
        with serve("echo=udp://:0") as server:
            port = server.address()[1]
            self.assertIn("listening echo udp [::]:%d\n" % port, server.out)
            server.wait_text("dial udp://127.0.0.1:%d   or: nc -u 127.0.0.1 %d\n" % (port, port), name="err")
            with Packets(("127.0.0.1", port)) as peer:
                peer.ask(b"12345")
                peer.ask(b"")
            told = ended(server)
        self.assertEqual((told["service"], told["local"], told["received"], told["answered"], told["refused"],
                          told["dropped"], told["in"], told["out"]),
                         ("echo", "[::]:%d" % port, "2", "2", "0", "0", "5", "5"))
        self.assertNotIn("event=closed", server.err)

    def test_the_same_words_for_an_address_in_use(self):
        with Packets() as taken:
            done = run_coracle("serve", "echo=127.0.0.1:0", "echo=udp://" + taken.text)
        self.assertEqual((done.code, done.out), (75, ""), done.describe())
        self.assertIn("listen udp %s: bind: address already in use\n" % taken.text, done.err)

    def test_beside_streams(self):
        with serve("echo=127.0.0.1:0", "random=" + UDP) as server:
            with server.connect("echo") as stream, Packets(server.addresses["random"]) as peer:
                stream.send("both")
                self.assertRegex(peer.ask(b"line\n"), rb"\A\d+\n\Z")
                self.assertEqual(stream.read(4), b"both")


class Random(Case):
    @each_server("random=" + UDP)
    def test_numbers(self, server):
        with Packets(server.address()) as peer:
            numbers = [int(peer.ask(b"line\n")) for _ in range(200)]
        self.assertTrue(all(1 <= number <= 100 for number in numbers), numbers)
        self.assertGreater(len(set(numbers)), 20)

    def test_no_answer_is_longer_than_the_question(self):
        with serve("random=" + UDP, workers=1) as server:
            with Packets(server.address()) as peer:
                for short in (b"", b"\n", b"a\n", b"abc"):
                    peer.send(short)
                peer.send(b"STOP\n")
                peer.send(b"  STOP")
                self.assertRegex(peer.ask(b"abcd"), rb"\A\d{1,3}\n\Z")
                self.assertTrue(peer.has_none())
            told = ended(server)
        self.assertEqual((told["received"], told["answered"]), ("7", "1"))


class Names(Case):
    """The services over unixgram, whose senders have names."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.server_path = self.path("server")

    def path(self, name):
        return os.path.join(self.folder, name)

    def serve(self, service="echo", options=()):
        return serve("%s=unixgram://%s" % (service, self.server_path), options=options, workers=1)

    def peer(self, name):
        """A socket with that name, or with none."""
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        peer.settimeout(PATIENCE)
        if name:
            peer.bind(name)
        return peer

    def ask(self, peer, data):
        peer.sendto(data, self.server_path)
        return peer.recv(1 << 20)

    def test_a_datagram_for_a_datagram(self):
        with self.serve(options=("--quiet",)) as server:
            self.assertIn("listening echo unixgram %s\n" % self.server_path, server.out)
            for name in (self.path("peer"), "\0coracle-test-%d" % os.getpid()):
                with self.peer(name) as peer:
                    for size in (1, 0, 64, 70000, 150000):
                        data = os.urandom(size)
                        self.assertTrue(self.ask(peer, data) == data, size)
            told = ended(server)
        self.assertEqual((told["received"], told["answered"], told["refused"]), ("10", "10", "0"))

    def test_numbers_and_names_made_safe(self):
        with self.serve("random") as server, self.peer(self.path("a\x1bb")) as peer:
            self.assertRegex(self.ask(peer, b"line\n"), rb"\A\d{1,3}\n\Z")
            server.wait_text("Serving %s\n" % self.path("a\\x1bb"))

    def test_whom_no_answer_reaches(self):
        """Without a name, with the service's own, gone, and one who does not read: all cost others nothing."""
        with self.serve() as server, self.peer(self.path("peer")) as peer, self.peer(self.path("deaf")) as deaf:
            with self.peer(None) as nameless, self.peer(self.path("gone")) as gone:
                nameless.sendto(b"no name", self.server_path)
                gone.sendto(b"gone", self.server_path)
                server.wait_text("gone\n")
            os.rename(self.server_path, self.path("moved"))
            with self.peer(self.server_path) as same:
                same.sendto(b"from a server like this one", self.path("moved"))
            os.rename(self.path("moved"), self.server_path)
            with open("/proc/sys/net/unix/max_dgram_qlen", encoding="ascii") as limit:
                count = int(limit.read()) + 20
            for _ in range(count):  # more than fit in its queue
                deaf.sendto(b"x", self.server_path)
            self.assertEqual(self.ask(peer, b"y"), b"y")
            told = ended(server)
        self.assertEqual((told["received"], told["refused"]), (str(count + 4), "2"))
        self.assertGreater(int(told["dropped"]), 0)

    def test_the_next_server_takes_the_path(self):
        for _ in range(2):
            with self.serve() as server, self.peer(None) as peer:
                peer.bind("")
                self.assertEqual(self.ask(peer, b"there"), b"there")
                ended(server)

    def test_clients(self):
        for service, pattern in (("echo", "^to and back$"), ("random", r"^\d+$")):
            with self.serve(service):
                for argv in (["socat", "-", "UNIX-SENDTO:%s,bind=%s" % (self.server_path, self.path(service))],
                             ["socat", "-", "UNIX-CLIENT:%s,type=2,bind=%s2" % (self.server_path, self.path(service))],
                             [sys.executable, "-c", PYTHON_UNIX_CLIENT, self.server_path],
                             ["nc", "-uU", self.server_path],
                             [BIN, "dial", "unixgram://" + self.server_path]):
                    with self.subTest(service=service, argv=argv), Program([need_tool(argv[0]), *argv[1:]]) as client:
                        client.send("to and back\n")
                        client.wait_text(re.compile(pattern, re.M))

    def test_dial_meets_others_servers(self):
        with self.peer(self.server_path) as server, coracle("dial", "unixgram://" + self.server_path) as client:
            client.send("question\n")
            data, sender = server.recvfrom(100)
            self.assertEqual((data, sender[:1]), (b"question\n", b"\0"))
            server.sendto(b"answer\n", sender)
            client.wait_text("answer\n")
            server.close()
            client.send("anybody?")
            self.assertEqual(client.wait(), 69, client.describe())
        done = run_coracle("dial", "unixgram://" + self.path("nowhere"))
        self.assertEqual(done.code, 69, done.describe())


class Hostile(Case):
    """What a sender's address says is no proof, and senders cost nothing lasting."""

    def test_ports_that_could_answer_for_ever(self):
        with serve("echo=" + UDP, workers=1) as server:
            port, refused = server.address()[1], 1
            with Packets(server.address()) as peer, Packets(server.address(), "127.0.0.2", port) as same:
                same.send(b"from a server like this one")
                with contextlib.suppress(PermissionError), contextlib.ExitStack() as stack:
                    low = wait_until(lambda: self.low_port(stack, server.address()), "a free port below 1024")
                    low.send(b"from an old service")
                    refused = 2
                    self.assertEqual(peer.ask(b"x"), b"x")
                    self.assertTrue(low.has_none())
                self.assertEqual(peer.ask(b"y"), b"y")
                self.assertTrue(same.has_none())
            self.assertEqual(ended(server)["refused"], str(refused))

    def test_refused_ones_among_others(self):
        """In one batch: each answer still is its own question's, and so in the batch after it."""
        with serve("echo=" + UDP, workers=1) as server, Packets(server.address()) as peer, \
                Packets(server.address(), "127.0.0.2", server.address()[1]) as same:
            for senders in ((same, peer), (peer, peer)):
                server.signal(signal.SIGSTOP)
                sent = [(senders[number % 2], b"%d" % number) for number in range(32)]
                for sender, data in sent:
                    sender.send(data)
                server.signal(signal.SIGCONT)
                wanted = [data for sender, data in sent if sender is peer]
                self.assertEqual([peer.take() for _ in wanted], wanted)

    @staticmethod
    def low_port(stack, to):
        for port in range(1023, 512, -1):
            with contextlib.suppress(OSError):
                try:
                    return stack.enter_context(Packets(to, "127.0.0.1", port))
                except PermissionError:
                    raise
        return None

    @each_server("echo=" + UDP, options=("--quiet",))
    def test_many_senders_leave_nothing(self, server):
        with Packets(server.address()) as marker:
            self.assertEqual(marker.ask(b"settled"), b"settled")
            server.signal(signal.SIGSTOP)  # then the service's batch is full once, and all of its memory touched
            for _ in range(64):
                marker.send(b"x")
            server.signal(signal.SIGCONT)
            self.assertEqual([marker.take() for _ in range(64)], [b"x"] * 64)
            self.flood(server, range(1, 3))
            fds, before = server.fds(), 0 if server.is_sanitized() else server.private_kib()
            self.flood(server, range(3, 23))
            self.assertEqual(marker.ask(b"still there"), b"still there")
            self.assertEqual(server.fds(), fds)
            if before:
                self.assertLess(server.private_kib() - before, 64)

    def test_an_answer_that_cannot_leave_costs_only_itself(self):
        """In a network of its own with nothing but a loopback, a made-up address has no way back to it."""
        need_tool("unshare")
        done = Program(["unshare", "-rn", sys.executable, "-B", os.path.abspath(__file__), "without-a-way-back"])
        with done:
            code = done.wait()
            if code == 1 and "unshare failed" in done.err:
                self.skipTest("no namespaces here: " + done.err.strip())
            self.assertEqual(code, 0, done.describe())

    @staticmethod
    def flood(server, hosts):
        """A datagram from each of 100 addresses of a few hosts' worth; every answer comes, so none was missed."""
        port = server.address()[1] ^ 1  # the kernel might pick the server's own, and that is not answered
        for host in hosts:
            with contextlib.ExitStack() as stack:
                senders = [stack.enter_context(Packets(server.address(), "127.9.%d.%d" % (host, number), port))
                           for number in range(1, 101)]
                for sender in senders:
                    sender.send(b"spoofed")
                for sender in senders:
                    if sender.take() != b"spoofed":
                        raise AssertionError(server.describe())


def interface_up(name):
    with socket.socket(type=socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", name, 1)  # IFF_UP
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


def spoofed(sender, to, data):
    """Sends a datagram in the name of another address; its header is made here, the checksum left out."""
    udp = struct.pack("!HHHH", sender[1], to[1], 8 + len(data), 0)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 0, 0, 64, socket.IPPROTO_UDP, 0,
                     socket.inet_aton(sender[0]), socket.inet_aton(to[0]))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(ip + udp + data, to)


def without_a_way_back():
    """What runs in the namespace: three datagrams come at once, and the answer to the second cannot be sent."""
    interface_up(b"lo")
    with serve("echo=" + UDP, options=("--quiet",)) as server, Packets(server.address()) as peer:
        server.signal(signal.SIGSTOP)
        peer.send(b"first")
        spoofed(("203.0.113.1", 5000), server.address(), b"made up")
        peer.send(b"third")
        server.signal(signal.SIGCONT)
        answers = peer.take(), peer.take()
        told = ended(server)
        if answers != (b"first", b"third") or (told["answered"], told["dropped"]) != ("2", "1"):
            raise AssertionError("%s %s" % (answers, server.describe()))
        if "event=answers_dropped service=echo error=\"network is unreachable\" so_far=1" not in server.err:
            raise AssertionError(server.describe())


class Refusals(Case):
    def test_services_that_need_connections_say_why(self):
        for service in ("ack", "print", "greet", "broadcast"):
            for network in ("udp", "udp4", "udp6", "unixgram"):
                done = run_coracle("serve", "%s=%s://x" % (service, network))
                if service == "broadcast" and "unknown service" in done.err:
                    continue  # built without json-c
                self.assertRegex(done.err, r"\Acoracle serve: %s does not serve %s: .* datagrams .*\n\Z" % (
                    service, network))
                self.assertEqual((done.code, done.out), (78, ""), done.describe())

    def test_no_service_on_bare_ip(self):
        for network in ("ip", "ip4:icmp", "ip6:58"):
            done = run_coracle("serve", "echo=%s://127.0.0.1" % network)
            self.assertEqual(done.err, "coracle serve: echo does not serve %s: IP without ports has no place for a "
                                       "service\n" % network)
            self.assertEqual(done.code, 78)

    def test_kinds_of_dial_that_read_streams(self):
        for kind in ("echo", "name", "broadcast", "get"):
            done = run_coracle("dial", "--as", kind, "udp://127.0.0.1:9")
            self.assertEqual(done.err, "coracle dial: --as %s reads a stream, and udp has datagrams; use --as raw\n" %
                             kind)
            self.assertEqual(done.code, 2)


class Dial(Case):
    def test_each_read_is_a_datagram(self):
        with Packets() as peer, coracle("dial", "udp://" + peer.text) as client:
            for line in (b"one\n", b"two\nthree\n", b"no newline"):
                client.send(line)
                self.assertEqual(peer.take(), line)
            peer.send(b"")  # nothing to show, and no end
            peer.send(b"a" * LARGEST)
            peer.send(b"answer\n")
            client.wait_text("answer\n")
            self.assertEqual(client.raw(), b"a" * LARGEST + b"answer\n")
            client.close_stdin()
            self.assertEqual(client.wait(), 0, client.describe())

    def test_lines_of_a_terminal(self):
        try:
            ours, its = pty.openpty()
        except OSError as error:
            self.skipTest("no pseudo-terminals here: %s" % error)
        with Packets() as peer, os.fdopen(ours, "r+b", buffering=0) as terminal, \
                Program([BIN, "dial", "udp://" + peer.text], stdin=its) as client:
            os.close(its)
            terminal.write(b"one\ntwo\n")
            self.assertEqual([peer.take(), peer.take()], [b"one\n", b"two\n"])
            terminal.write(b"\x04")
            self.assertEqual(client.wait(), 0, client.describe())

    def test_answers_after_the_end_of_input(self):
        with Packets() as peer, coracle("dial", "udp://" + peer.text) as client:
            client.send("question")
            self.assertEqual(peer.take(), b"question")
            client.signal(signal.SIGSTOP)  # it is to find the end and the answer at the same time
            client.close_stdin()
            peer.send(b"answer")
            client.signal(signal.SIGCONT)
            client.wait_text("answer")
            self.assertEqual(client.wait(), 0, client.describe())

    def test_by_name(self):
        with serve("echo=udp://:0") as server:
            for host in ("localhost", ""):
                with coracle("dial", "udp://%s:%d" % (host, server.address()[1])) as client:
                    client.send("by name")
                    client.wait_text("by name")

    def test_nobody_there(self):
        with deaf() as nobody, coracle("dial", "udp://" + nobody.text) as client:
            client.send("anybody?")
            self.assertEqual(client.wait(), 69, client.describe())
            self.assertRegex(client.err, r"\A(read|write) udp 127\.0\.0\.1:\d+->%s: (read|write): connection refused\n"
                                         r"\Z" % re.escape(nobody.text))

    def test_bare_ip(self):
        """Packets of protocol 253, shown without their headers."""
        host = "127.%d.%d.1" % (1 + os.getpid() // 256 % 250, os.getpid() % 256)
        try:
            peer = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
        except PermissionError:
            self.skipTest("no right to open raw sockets")
        with peer, coracle("dial", "ip4:253://" + host) as client:
            peer.settimeout(PATIENCE)
            peer.bind((host, 0))
            client.send("question\n")
            packet, sender = peer.recvfrom(65536)
            self.assertEqual(packet[20:], b"question\n")
            peer.sendto(b"answer\n", sender)
            client.wait_text("answer\n")
            client.close_stdin()
            self.assertEqual(client.wait(), 0, client.describe())
            self.assertEqual(client.raw(), b"answer\n")

    def test_options(self):
        with Packets() as peer:
            with coracle("dial", "--send-only", "--crlf", "udp://" + peer.text) as client:
                client.send("one\ntwo\r\n\nthree")
                self.assertEqual(peer.take(), b"one\r\ntwo\r\n\r\nthree")
                peer.send(b"not wanted")
                client.close_stdin()
                self.assertEqual(client.wait(), 0, client.describe())
                self.assertEqual(client.raw(), b"")
            with coracle("dial", "--no-shutdown", "udp://" + peer.text) as client:
                client.send("stays")
                client.close_stdin()
                self.assertEqual(peer.take(), b"stays")
                peer.send(b"answer")
                client.wait_text("answer")
                self.assertTrue(client.alive())


PYTHON_CLIENT = """
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as s:
    s.connect((sys.argv[1], int(sys.argv[2])))
    s.send(sys.stdin.buffer.raw.read(4096))
    print(s.recv(65536).decode(), end="", flush=True)
"""
PYTHON_UNIX_CLIENT = """
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.bind("")
    s.connect(sys.argv[1])
    s.send(sys.stdin.buffer.raw.read(4096))
    print(s.recv(65536).decode(), end="", flush=True)
"""
PYTHON_SERVER = """
import socket
s = socket.socket(type=socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
while True:
    data, sender = s.recvfrom(65536)
    s.sendto(data, sender)
"""


class Tools(Case):
    """Other people's clients with the services, and `coracle dial` with other people's servers."""

    @each_server("echo=" + UDP, "random=" + UDP)
    def test_clients(self, server):
        for service, pattern in (("echo", "^to .* and back$"), ("random", r"^\d+$")):
            host, port = server.addresses[service]
            for argv in (["nc", "-u", host, str(port)], ["ncat", "-u", host, str(port)],
                         ["socat", "-", "UDP:%s:%d" % (host, port)],
                         [sys.executable, "-c", PYTHON_CLIENT, host, str(port)],
                         [BIN, "dial", "udp://%s:%d" % (host, port)]):
                with self.subTest(service=service, tool=argv[0]), Program([need_tool(argv[0]), *argv[1:]]) as client:
                    client.send("to %s and back\n" % service)
                    client.wait_text(re.compile(pattern, re.M))

    @each_server("echo=" + UDP)
    def test_client_of_gos(self, server):
        with Program([go_path("packets"), text_address(server.address()), "one", "", "two\n"]) as client:
            self.assertEqual(client.wait(), 0, client.describe())
            self.assertEqual(client.out, '"one"\n""\n"two\\n"\n')

    def test_servers(self):
        for argv in (["socat", "UDP4-RECVFROM:0,bind=127.0.0.1,fork", "PIPE"], ["ncat", "-u", "-l", "127.0.0.1", "0",
                                                                               "-e", "/bin/cat"],
                     [sys.executable, "-c", PYTHON_SERVER], ["go"]):
            with self.subTest(tool=argv[0]):
                command = [go_path("packets")] if argv == ["go"] else [need_tool(argv[0]), *argv[1:]]
                with Program(command) as server:
                    ports = wait_until(lambda: server.listening_ports("udp"), lambda: "a port of " + server.describe())
                    with coracle("dial", "udp://127.0.0.1:%d" % ports[0]) as client:
                        client.send("to the tool and back\n")
                        client.wait_text("to the tool and back\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["without-a-way-back"]:
        without_a_way_back()
    else:
        main()
