# SPDX-License-Identifier: MIT
# test: timeout=300
"""Every service of `coracle serve` over raw sockets: normal use, bytes cut and glued, every way to leave."""
import contextlib
import ctypes
import errno
import os
import re
import socket
import tempfile
import threading

from harness import (ACK_ANSWER, GREETING, REPLY, SERVICES, Case, Peer, close_all, each_server, join, main, message,
                     need_json, serve, settled_fds, told, wait_until)




class Leaving:
    """Ways to leave that every service must survive without losing a descriptor. Mixed into each service's class."""
    start = b"x"

    def check_leaving(self, server):
        base = settled_fds(server)
        for leave in (self.leave_at_once, self.leave_by_reset, self.leave_in_the_middle, self.leave_by_half_close,
                      self.reset_in_the_middle):
            for _ in range(5):
                leave(server)
        self.assertBase(server, base)

    def leave_at_once(self, server):
        server.connect().close()

    def leave_by_reset(self, server):
        server.connect().reset()

    def leave_in_the_middle(self, server):
        with server.connect() as peer:
            peer.send(self.start)

    def reset_in_the_middle(self, server):
        peer = server.connect()
        peer.send(self.start)
        peer.reset()

    def leave_by_half_close(self, server):
        with server.connect() as peer:
            peer.send(self.start)
            peer.half_close()
            peer.gone()


class Ack(Case, Leaving):
    @each_server("ack")
    def test_reply_then_end(self, server):
        with server.connect() as peer:
            peer.send("ola")
            self.assertEqual(peer.read_all(), REPLY)
        server.wait_text("Dado recebido: ola\n")
        server.wait_text("Resposta enviada ao cliente.\n")

    @each_server("ack")
    def test_first_byte_is_enough(self, server):
        with server.connect() as peer:
            peer.send("o")
            self.assertEqual(peer.read_all(), REPLY)
        server.wait_text("Dado recebido: o\n")

    @each_server("ack")
    def test_sizes_around_the_buffer(self, server):
        for size in (1, 1023, 1024, 1025, 3000, 100000):
            with server.connect() as peer:
                peer.send(b"a" * size)
                self.assertEqual(peer.read_all(), REPLY, size)

    @each_server("ack")
    def test_half_closed_client_gets_its_reply(self, server):
        with server.connect() as peer:
            peer.send("ola")
            peer.half_close()
            self.assertEqual(peer.read_all(), REPLY)

    @each_server("ack")
    def test_binary(self, server):
        with server.connect() as peer:
            peer.send(b"a\0b\xff\x1b[2J")
            self.assertEqual(peer.read_all(), REPLY)
        server.wait_text(r"Dado recebido: a\x00b\xff\x1b[2J")

    @each_server("ack", options=("--reply", "obrigado"))
    def test_other_reply(self, server):
        with server.connect() as peer:
            peer.send("ola")
            self.assertEqual(peer.read_all(), b"obrigado")

    @each_server("ack")
    def test_leaving(self, server):
        self.check_leaving(server)


class Print(Case, Leaving):
    @each_server("print")
    def test_prints_what_comes(self, server):
        with server.connect() as peer:
            peer.send("wong says: 123")
            server.wait_text("Received data: wong says: 123\n")
            peer.send("wong says: é 世")
            server.wait_text("Received data: wong says: é 世\n")
        server.wait_text("Error reading EOF\n")

    @each_server("print")
    def test_reset_is_told_with_both_addresses(self, server):
        peer = server.connect()
        peer.send("x")
        server.wait_text("Received data: x\n")
        name = peer.name
        peer.reset()
        server.wait_text("Error reading read tcp 127.0.0.1:%d->%s: read: connection reset by peer\n" % (
            server.address()[1], name))

    @each_server("print")
    def test_nothing_is_lost(self, server):
        data = bytes(range(32, 127)) * 200
        with server.connect() as peer:
            peer.send(data)
        server.wait_text("Error reading EOF\n")
        shown = "".join(re.findall(r"^Received data: (.*)$", server.out, re.M))
        self.assertEqual(shown.replace("\\\\", "\\"), data.decode())

    @each_server("print")
    def test_never_writes(self, server):
        with server.connect() as peer:
            peer.send("hello")
            peer.half_close()
            self.assertEqual(peer.read_all(), b"")

    @each_server("print")
    def test_leaving(self, server):
        self.check_leaving(server)


class Greet(Case, Leaving):
    @each_server("greet")
    def test_greets_and_shows_pieces(self, server):
        with server.connect() as peer:
            self.assertEqual(peer.read(len(GREETING)), GREETING)
            name = peer.name
            peer.send("Ivo says: Hi server, do you hear me ?")
            server.wait_text("<25:Ivo says: Hi server, do y> \n")
            server.wait_text("<12:ou hear me ?> \n")
            peer.send("wong says: 123")
            server.wait_text("<14:wong says: 123> \n")
        server.wait_text("Connection from:  %s\n" % name)
        server.wait_text("Closed connection:  %s\n" % name)

    @each_server("greet")
    def test_sizes_around_the_piece(self, server):
        for size in (24, 25, 26, 50, 51):
            with server.connect() as peer:
                peer.read(len(GREETING))
                letter = chr(ord("a") + size % 26)
                peer.send(letter * size)
                full, rest = divmod(size, 25)
                server.wait_text("<25:%s> \n" % (letter * 25), count=full)
                if rest:
                    server.wait_text("<%d:%s> \n" % (rest, letter * rest))

    @each_server("greet")
    def test_nul_is_counted_and_shown(self, server):
        with server.connect() as peer:
            peer.read(len(GREETING))
            peer.send(b"ab\0cd")
            server.wait_text(r"<5:ab\x00cd> ")

    @each_server("greet")
    def test_leaving(self, server):
        self.check_leaving(server)


class Echo(Case, Leaving):
    def exchange(self, server, data, send):
        with server.connect() as peer:
            sender = threading.Thread(target=send, args=(peer, data), daemon=True)
            sender.start()
            got = peer.read(len(data))
            sender.join(20)
            peer.half_close()
            self.assertEqual(peer.read_all(), b"")
        self.assertTrue(got == data, "%d bytes came back for %d, or others" % (len(got), len(data)))

    @each_server("echo")
    def test_sizes_around_every_buffer(self, server):
        for size in (1, 127, 128, 129, 300, 511, 512, 513, 4095, 4096, 4097, 16383, 16384, 16385, 65536, 65537):
            self.exchange(server, bytes(i * 7 % 251 for i in range(size)), Peer.send)

    @each_server("echo", options=("--quiet",))
    def test_four_megabytes_with_full_buffers(self, server):
        self.exchange(server, bytes(i * 7 % 251 for i in range(1 << 16)) * 64, Peer.send)

    @each_server("echo")
    def test_byte_by_byte(self, server):
        self.exchange(server, "é世界 one byte at a time".encode() * 5, Peer.dribble)

    @each_server("echo")
    def test_says_what_it_got(self, server):
        with server.connect() as peer:
            peer.send("hello 世界")
            self.assertEqual(peer.read(12), "hello 世界".encode())
        server.wait_text("收到Client端发来的数据： hello 世界\n")
        server.wait_text("read from client failed, err:  EOF\n")

    @each_server("echo")
    def test_binary(self, server):
        self.exchange(server, bytes(range(256)) * 3 + b"\0\xff\xfe\x80 \xc3", Peer.send)

    @each_server("echo")
    def test_half_close_gets_everything_then_the_end(self, server):
        with server.connect() as peer:
            peer.send(b"z" * 100000)
            peer.half_close()
            self.assertEqual(len(peer.read_all()), 100000)

    @each_server("echo", options=("--quiet",))
    def test_quiet_says_nothing(self, server):
        before = server.out
        with server.connect() as peer:
            peer.send("hello")
            self.assertEqual(peer.read(5), b"hello")
            peer.half_close()
            peer.read_all()
        self.assertEqual(server.out, before)

    @each_server("echo")
    def test_many_at_once(self, server):
        peers = [server.connect() for _ in range(200)]
        for i, peer in enumerate(peers):
            peer.send("client %03d" % i)
        for i, peer in enumerate(peers):
            self.assertEqual(peer.read(10), b"client %03d" % i)
            peer.close()

    @each_server("echo")
    def test_leaving(self, server):
        self.check_leaving(server)


class Random(Case, Leaving):
    start = b"half a line"

    def numbers(self, peer, count):
        got = [int(peer.line()) for _ in range(count)]
        self.assertTrue(all(1 <= number <= 100 for number in got), got)
        return got

    @each_server("random")
    def test_a_number_per_line_until_stop(self, server):
        with server.connect() as peer:
            name = peer.name
            for _ in range(3):
                peer.send("more\n")
                self.numbers(peer, 1)
            peer.send("STOP\n")
            self.assertEqual(peer.read_all(), b"")
        server.wait_text("Serving %s\n" % name)

    @each_server("random")
    def test_white_space_around_stop(self, server):
        for stop in ("STOP\r\n", "  STOP\t\n", "\u3000STOP\u00a0\n", "\u2003STOP\u0085\n"):
            with server.connect() as peer:
                peer.send(stop)
                self.assertEqual(peer.read_all(), b"", repr(stop))

    @each_server("random")
    def test_not_quite_stop(self, server):
        with server.connect() as peer:
            for line in ("stop", "STOPP", "S TOP", "", " ", "STOP STOP", "\0STOP"):
                peer.send(line + "\n")
                self.numbers(peer, 1)

    @each_server("random")
    def test_byte_by_byte(self, server):
        with server.connect() as peer:
            peer.dribble(b"one\ntwo\r\nSTOP\n")
            self.numbers(peer, 2)
            self.assertEqual(peer.read_all(), b"")

    @each_server("random")
    def test_longest_line_and_one_more(self, server):
        with server.connect() as peer:
            peer.send(b"x" * 65535 + b"\n")
            self.numbers(peer, 1)

    @each_server("random", options=("--max-line", "1000"))
    def test_line_too_long(self, server):
        with server.connect() as peer:
            peer.send(b"x" * 1000 + b"\n")
            self.numbers(peer, 1)
            peer.send(b"x" * 1001 + b"\n")
            self.assertEqual(peer.read_all(), b"line too long\n")

    @each_server("random")
    def test_half_close_gets_all_answers(self, server):
        with server.connect() as peer:
            peer.send("a\nb\nno newline")
            peer.half_close()
            self.numbers(peer, 3)
            self.assertEqual(peer.read_all(), b"")

    @each_server("random")
    def test_leaving(self, server):
        self.check_leaving(server)


class Broadcast(Case, Leaving):
    start = b'{"client_ip":"x","mess'

    @classmethod
    def setUpClass(cls):
        need_json()

    @each_server("broadcast")
    def test_sender_and_others(self, server):
        a, b, c = join(self, server, 3)
        a.send(message("hola", a.name))
        self.assertEqual(a.line(), a.name.encode() + ACK_ANSWER)
        for other in (b, c):
            self.assertEqual(other.line(), told(a, "hola"))
        close_all(a, b, c)

    @each_server("broadcast")
    def test_however_the_objects_are_cut(self, server):
        a, b = join(self, server, 2)
        stream = message("one") + message('tw"o}{') + b"\n" + message("世界 \\ three") + b" \r\n\t" + message("four")
        texts = ("one", 'tw"o}{', "世界 \\ three", "four")
        for cut in (lambda: a.send(stream), lambda: a.dribble(stream),
                    lambda: [a.send(stream[i:i + 7]) for i in range(0, len(stream), 7)]):
            cut()
            for text in texts:
                self.assertEqual(b.line(), told(a, text))
                self.assertEqual(a.line(), a.name.encode() + ACK_ANSWER)
        close_all(a, b)

    @each_server("broadcast")
    def test_extra_fields_and_escapes(self, server):
        a, b = join(self, server, 2)
        a.send(b'{"n":[1,{"x":null}],"message":"\\u4e16\\u003cb\\u003e\\/","client_ip":3}')
        self.assertEqual(b.line(), told(a, "世<b>/"))
        close_all(a, b)

    @each_server("broadcast")
    def test_names_in_any_case(self, server):
        a, b = join(self, server, 2)
        for text, expected in ((b'{"Message":"1"}', "1"), (b'{"CLIENT_IP":"x","MESSAGE":"2"}', "2"),
                               (b'{"message":"no","Message":"3"}', "3"),
                               (b'{"Message":"no","n":1,"message":"4"}', "4")):
            a.send(text)
            self.assertEqual(b.line(), told(a, expected))
            self.assertEqual(a.line(), a.name.encode() + ACK_ANSWER)
        close_all(a, b)

    @each_server("broadcast")
    def test_heard_again_without_line_ends(self, server):
        """A client as the tutorial's, whose messages have no line ends, gets one wrong and is heard all the same."""
        a, b = join(self, server, 2)
        for bad in (b"hello", b'{"message":', b'{"message":"x', b"[1,2]", b'{"message":"\xff"}', b'{"message":NaN}'):
            a.send(bad)
            a.send(message("perhaps"))  # may be what shows that something is wrong
            a.send(message("again"))
            self.assertTrue(a.line().startswith(b"invalid message: "))
            heard = [b.line()]
            if heard == [told(a, "perhaps")]:
                heard.append(b.line())
            self.assertEqual(heard[-1], told(a, "again"))
            for _ in heard:
                self.assertEqual(a.line(), a.name.encode() + ACK_ANSWER)
        close_all(a, b)

    @each_server("broadcast", options=("--max-line", "64k", "--log-level", "info"))
    def test_one_limit(self, server):
        """A message and what is skipped may be equally long: the 65536th byte may be the last one, not the 65537th."""
        for fits, text in ((True, b'{"message":"' + b"x" * 65522 + b'"}'),
                           (False, b'{"message":"' + b"x" * 65523 + b'"}'),
                           (True, b"x" * 65535 + b"\n"), (False, b"x" * 65536)):
            for step in (4096, 65537):
                a, b = join(self, server, 2)
                for at in range(0, len(text), step):
                    a.send(text[at:at + step])
                if fits:
                    self.assertTrue(a.line())
                    a.send(message("after"))
                    while b.line() != told(a, "after"):
                        pass
                else:
                    self.assertTrue(a.read_all().endswith(b"invalid message: too long\n"))
                close_all(a, b)

    @each_server("broadcast", options=("--max-line", "4096"))
    def test_what_is_no_message(self, server):
        good, listener = join(self, server, 2)
        for bad in (b"hello\n", b"[1,2]\n", b'{"message":5}\n', b'{"client_ip":"x"}\n', b'{"message":"\xff\xfe"}\n',
                    b"{}\n", b'{"message":' * 40 + b"\n", b'{"message":"' + b"x" * 5000 + b'"}\n', b"}\n"):
            with server.connect() as peer:
                peer.send(bad)
                peer.half_close()
                self.assertIn(b"invalid message", peer.gone(), bad[:40])
        good.send(message("still here"))
        self.assertEqual(listener.line(), told(good, "still here"))
        close_all(good, listener)

    @each_server("broadcast")
    def test_leaving(self, server):
        self.check_leaving(server)


class Vanishing(Case):
    """Clients that are gone without FIN or RST."""
    OPTIONS = (("SO_KEEPALIVE", socket.SOL_SOCKET, socket.SO_KEEPALIVE), ("idle", socket.SOL_TCP, socket.TCP_KEEPIDLE),
               ("interval", socket.SOL_TCP, socket.TCP_KEEPINTVL), ("count", socket.SOL_TCP, socket.TCP_KEEPCNT),
               ("user timeout", socket.SOL_TCP, socket.TCP_USER_TIMEOUT))

    def options_of(self, server, peer):
        """The options of the server's end, read through a copy of its descriptor."""
        libc, pidfd_getfd = ctypes.CDLL(None, use_errno=True), 438
        handle = os.pidfd_open(server.pid)
        self.addCleanup(os.close, handle)

        def find():
            for entry in os.listdir("/proc/%d/fd" % server.pid):
                fd = libc.syscall(pidfd_getfd, handle, int(entry), 0)
                if fd < 0 and ctypes.get_errno() != errno.EBADF:
                    self.skipTest("no right to look at another process's descriptors")
                if fd < 0:
                    continue
                try:
                    with socket.socket(fileno=fd) as sock:
                        if sock.getpeername() == peer.sock.getsockname():
                            return [sock.getsockopt(level, option) for _, level, option in self.OPTIONS]
                except OSError:
                    with contextlib.suppress(OSError):
                        os.close(fd)
            return None
        return wait_until(find, "the server's end of the connection")

    def test_options_of_every_service(self):
        need_json()
        for limits, user_timeout in (((), 40_000), (("--write-timeout", "5m"), 300_000), (("--write-timeout", "0"), 0)):
            with self.subTest(limits=limits), serve(*SERVICES, options=limits) as server:
                for service in SERVICES:
                    with server.connect(service) as peer:
                        self.assertEqual(self.options_of(server, peer), [1, 15, 1, 25, user_timeout], service)


class Networks(Case):
    def test_unix_path_and_abstract(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "echo.sock")
            for address in (path, "@coracle-e2e-%d" % os.getpid()):
                with serve("echo=unix://" + address) as server:
                    self.assertEqual(server.address("echo"), address)
                    with server.connect("echo") as peer:
                        peer.send("over unix")
                        self.assertEqual(peer.read(9), b"over unix")
                    server.stop()
                    self.assertEqual(server.process.returncode, 0)
            self.assertFalse(os.path.exists(path), "the socket file is still there")

    def test_ipv6(self):
        with serve("echo=[::1]:0") as server:
            self.assertEqual(server.address("echo")[0], "::1")
            with server.connect("echo") as peer:
                peer.send("six")
                self.assertEqual(peer.read(3), b"six")

    def test_all_interfaces_take_both_families(self):
        with serve("ack=:0") as server:
            port = server.address("ack")[1]
            for host in ("127.0.0.1", "::1", "127.0.0.77"):
                with Peer((host, port)) as peer:
                    peer.send("ola")
                    self.assertEqual(peer.read_all(), REPLY)

    def test_tcp4_is_ipv4_only(self):
        with serve("random=tcp4://:0") as server:
            port = server.address("random")[1]
            with Peer(("127.0.0.1", port)) as peer:
                peer.send("STOP\n")
                self.assertEqual(peer.read_all(), b"")
            with self.assertRaises(ConnectionRefusedError):
                Peer(("::1", port))

    def test_all_services_in_one_process(self):
        services = ["ack", "print", "greet", "echo", "random"]
        with serve(*services, workers=2) as server:
            self.assertEqual({name.split()[0] for name in server.addresses}, set(services))
            with server.connect("echo") as echo, server.connect("random") as random, server.connect("greet") as greet:
                echo.send("x")
                random.send("x\n")
                self.assertEqual(echo.read(1), b"x")
                self.assertTrue(random.line().endswith(b"\n"))
                self.assertEqual(greet.read(len(GREETING)), GREETING)

    def test_service_twice(self):
        with serve("echo", "echo=[::1]:0") as server:
            ports = re.findall(r"^listening echo tcp (\S+):(\d+)$", server.out, re.M)
            self.assertEqual([host for host, _ in ports], ["127.0.0.1", "[::1]"])
            for host, port in ports:
                with Peer((host.strip("[]"), int(port))) as peer:
                    peer.send("x")
                    self.assertEqual(peer.read(1), b"x")


if __name__ == "__main__":
    if not socket.has_ipv6:
        raise SystemExit(77)
    main()
