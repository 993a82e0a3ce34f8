# SPDX-License-Identifier: MIT
# test: timeout=300
"""One test per bug of the tutorials' programs (B0.1 to B4.7); each says what goes red without the remedy."""
import contextlib
import json
import os
import re
import resource
import select
import signal
import socket
import threading
import time

from harness import (ACK_ANSWER, GREETING, PATIENCE, REPLY, SOURCE, Case, Listener, Peer, close_all, closed_port,
                     coracle, each_server, join, main, message, need_json, run_coracle, serve, settled_fds,
                     text_address, told, wait_until)


ASK = "What to send to the server? Type Q to quit.\n"
FEW = 40  # descriptors


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, FEW))


def read_doc(name):
    with open(os.path.join(SOURCE, name), encoding="utf-8") as page:
        return page.read()


def out_of_descriptors(case, service, greeting=b""):
    """Fills the server's descriptor table, then lets go: it must not spin, must live and must serve again."""
    with serve(service, workers=2, options=("--max-conns", "1000"), preexec=few_descriptors) as server:
        peers = [server.connect() for _ in range(FEW + 10)]  # the last ones wait in the backlog
        wait_until(lambda: server.fds() >= FEW - 1, "the table to be full")
        server.wait_text(re.compile(r"level=warn event=accept_paused service=%s error=\"too many open files\" ms=\d+"
                                    % service), name="err")
        with Peer(server.address()):  # something happens meanwhile
            before, begin = server.cpu_seconds(), time.monotonic()
            wait_until(lambda: time.monotonic() - begin > 1, "a second to pass")
            case.assertLess(server.cpu_seconds() - before, 0.3 * (time.monotonic() - begin), "it spins")
        for peer in peers:
            peer.close()
        with server.connect() as peer:
            case.assertEqual(peer.read(len(greeting)), greeting)
            peer.send(message("back") if service == "broadcast" else "back\n")
            if service == "print":
                server.wait_text("Received data: back")
            else:
                case.assertTrue(peer.read(1))
        case.assertNotIn("<nil>", server.err + server.out)
        server.signal(signal.SIGTERM)
        case.assertEqual(server.wait(), 0, server.describe())


class S0(Case):
    @each_server("ack")
    def test_B0_1_client_that_leaves_kills_the_server(self, server):
        """Red if an early close or a reset ends the server or stops it from answering the next client."""
        for _ in range(20):
            server.connect().close()
            server.connect().reset()
            peer = server.connect()
            peer.send("x")
            peer.reset()
        with server.connect() as peer:
            peer.send("ola")
            self.assertEqual(peer.read_all(), REPLY)

    @each_server("ack")
    def test_B0_2_reply_lost_over_unread_input(self, server):
        """Red if the server closes over unread bytes: the kernel then resets and the reply may vanish."""
        for size in (3000, 60000):
            for _ in range(20):
                with server.connect() as peer:
                    peer.send(b"x" * size)
                    self.assertEqual(peer.read_all(), REPLY)  # ends without ECONNRESET

    @each_server("ack")
    def test_B0_3_one_read_taken_for_one_message(self, server):
        """Red if a message that comes in pieces gets two answers, or a reset instead of one."""
        with server.connect() as peer:
            peer.dribble(b"ola, tudo bem?")
            self.assertEqual(peer.read_all(), REPLY)

    @each_server("ack", options=("--first-byte-timeout", "300ms", "--max-conns", "2"))
    def test_B0_4_idle_clients_stay_for_ever(self, server):
        """Red if a silent client is never cut, or if more clients than allowed are kept."""
        base, begin = settled_fds(server), time.monotonic()
        with server.connect() as first, server.connect() as second, server.connect() as third:
            for peer in (first, second, third):
                self.assertEqual(peer.gone(), b"")
            self.assertGreater(time.monotonic() - begin, 0.25)
            self.assertLess(time.monotonic() - begin, PATIENCE)
        server.wait_text("max_conns", name="err")
        self.assertBase(server, base)
        with server.connect() as peer:
            peer.send("ola")
            self.assertEqual(peer.read_all(), REPLY)

    @each_server("ack")
    def test_B0_5_no_graceful_shutdown(self, server):
        """Red if SIGINT ends the process by the signal, or if clients still served are dropped without their reply."""
        with server.connect() as waiting, serve("ack") as other:
            before = settled_fds(other)
            with other.connect() as client, other.connect() as idle:
                wait_until(lambda: other.fds() > before + 1, "the connections to be accepted")
                client.send("ola")  # sent before the signal: answered
                other.signal(signal.SIGINT)
                self.assertEqual(client.read_all(), REPLY)
                self.assertEqual(idle.read_all(), b"")
            self.assertEqual(other.wait(), 0, other.describe())
            with self.assertRaises(ConnectionRefusedError):
                Peer(other.address())
            waiting.send("ola")
            self.assertEqual(waiting.read_all(), REPLY)

    def test_B0_6_printed_program_does_not_compile(self):
        """Red if the guide's page of the acknowledger does not say so, or has no example that is built."""
        self.assertIn("does not compile", read_doc("docs/guide/ack.md"))
        self.assertIn("int main(", read_doc("examples/ack_server.c"))

    @each_server("ack", "print", "greet", "echo")
    def test_B0_7_terminal_escapes(self, server):
        """Red if any control byte of a peer (C0, DEL, C1) or a bidi control reaches the terminal or the log."""
        attack = b"A\x1b]0;owned\x07\x1b[2J\r\x08\x7f\x9b1m\xc2\x9b1m\xe2\x80\xaeB"
        for name in server.addresses:
            with server.connect(name) as peer:
                peer.send(attack)
                peer.half_close()
                peer.gone()
        server.wait_text("A", count=4)
        server.wait_text("read from client failed, err:  EOF\n")
        for stream in ("out", "err"):
            data = server.raw(stream)
            self.assertEqual(re.findall(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae", data), [], data)
            data.decode("utf-8")  # a lone \x9b would not be UTF-8


class S1(Case):
    @each_server("print", "greet")
    def test_B1_1_descriptor_leak(self, server):
        """Red if a connection whose client left keeps its descriptor."""
        base = settled_fds(server)
        for name in list(server.addresses) * 30:
            with server.connect(name) as peer:
                peer.send("x")
        self.assertBase(server, base)

    @each_server("print")
    def test_B1_2_messages_glued_on_one_line(self, server):
        """Red if what is received does not end with a newline on the terminal."""
        with server.connect() as peer:
            for i in range(3):
                peer.send("wong says: %d" % i)
                server.wait_text("Received data: wong says: %d\n" % i)

    def test_B1_3_client_spins_at_end_of_input(self):
        """Red if the name client goes on prompting after stdin has ended, or loses the last unterminated line."""
        with serve("print") as server:
            client = run_coracle("dial", "--as", "name", text_address(server.address()), stdin=b"wong\nlast line")
            self.assertEqual(client.code, 0, client.describe())
            self.assertLessEqual(client.out.count(ASK), 2)
            server.wait_text("Received data: wong says: last line\n")

    def test_B1_4_client_ignores_write_errors(self):
        """Red if the name client stays at its prompt after the server has died, or exits with 0 then."""
        with Listener() as listener, coracle("dial", "--as", "name", listener.text) as client:
            peer = listener.accept()
            client.send("wong\n")
            client.wait_text(ASK)
            peer.reset()
            self.assertNotEqual(client.wait(), 0, client.describe())

    def test_B1_5_accept_error_ends_the_server(self):
        """Red if running out of descriptors ends the server or makes it spin, or if a failed listen exits with 0."""
        out_of_descriptors(self, "print")
        with Listener() as taken:
            failed = run_coracle("serve", "print=" + taken.text)
        self.assertEqual(failed.code, 75, failed.describe())
        self.assertIn("listen tcp %s: bind: address already in use\n" % taken.text, failed.err)

    def test_B1_6_nil_connection_and_page_as_format(self):
        """Red if a failed dial is used anyway, or if percent signs of a page are interpreted."""
        address = closed_port()
        failed = run_coracle("dial", "--as", "get", address)
        self.assertEqual(failed.code, 69, failed.describe())
        self.assertIn("dial tcp %s: connect: connection refused" % address, failed.err)
        with Listener() as listener, coracle("dial", "--as", "get", listener.text) as client:
            peer = listener.accept()
            self.assertEqual(peer.read(7), b"GET / \n")
            peer.send("100%d %s%n %\n")
            peer.close()
            self.assertEqual(client.wait(), 0, client.describe())
            self.assertEqual(client.raw(), b"100%d %s%n %\n")

    @each_server("greet")
    def test_B1_7_reset_before_the_greeting(self, server):
        """Red if a client that resets at once takes the server down."""
        for _ in range(50):
            server.connect().reset()
        with server.connect() as peer:
            self.assertEqual(peer.read(len(GREETING)), GREETING)

    @each_server("greet")
    def test_B1_8_mojibake_and_nul(self, server):
        """Red if multi-byte characters are shown byte by byte or cut, or if a NUL hides what follows it."""
        text = "é世界您好，" * 12
        with server.connect() as peer:
            peer.read(len(GREETING))
            peer.send(text)
            peer.half_close()
            peer.gone()
        server.wait_text("Closed connection:  ")
        pieces = re.findall(r"^<(\d+):(.*)> $", server.out, re.M)
        self.assertEqual("".join(body for _, body in pieces), text)
        self.assertEqual(sum(int(size) for size, _ in pieces), len(text.encode()))
        with server.connect() as peer:
            peer.send(b"ab\0cd")
            server.wait_text(r"<5:ab\x00cd> ")

    @each_server("greet")
    def test_B1_9_retry_that_never_happens(self, server):
        """Red if a read that finds nothing yet (EAGAIN) ends the session."""
        with server.connect() as peer:
            peer.read(len(GREETING))
            for i in range(5):  # each answer is waited for, so every read of the server begins with nothing there
                peer.send("pause %d" % i)
                server.wait_text("<7:pause %d> \n" % i)

    def test_B1_10_dead_addresses_and_no_time_limit(self):
        """Red if a dial that nobody answers is not ended by --timeout, or the example still names the dead hosts."""
        self.assertNotIn("192.0.32.10", read_doc("examples/dial.c"))
        self.assertIn("192.0.32.10", read_doc("docs/guide/dial.md"))
        with Listener() as listener:
            listener.sock.listen(0)
            fill = []
            try:
                for _ in range(4):  # once the backlog is full the kernel drops what asks for a connection
                    sock = socket.socket()
                    sock.setblocking(False)
                    sock.connect_ex(listener.address)
                    fill.append(sock)
                begin = time.monotonic()
                late = run_coracle("dial", "--timeout", "500ms", listener.text)
                self.assertEqual(late.code, 69, late.describe())
                self.assertIn("dial tcp %s: i/o timeout" % listener.text, late.err)
                self.assertLess(time.monotonic() - begin, PATIENCE)
            finally:
                for sock in fill:
                    sock.close()

    @each_server("print", "greet", "echo", "random")
    def test_B1_11_lines_interleave(self, server):
        """Red if lines of different clients mix on the terminal."""
        def talk(name, number):
            with server.connect(name) as peer:
                for _ in range(20):
                    peer.send(("%s%02d " % (name, number)) * 3 + "\n")
                peer.half_close()
                peer.gone()
        threads = [threading.Thread(target=talk, args=(name, number))
                   for name in server.addresses for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        server.wait_text("Closed connection:  ", count=8)
        server.wait_text("read from client failed, err:  EOF\n", count=8)
        server.wait_text("Error reading EOF\n", count=8)
        line = (r"listening \S+ \S+ \S+|Listening to:  \S+|Starting the server \.\.\.|Error reading EOF|Serving \S+|"
                r"EOF|Received data: [^R]*|Connection from:  \S+|Closed connection:  \S+|<\d+:[^<>]*> |"
                r"收到Client端发来的数据： [^收]*|read from client failed, err:  EOF|")
        for shown in server.out.split("\n"):
            self.assertRegex(shown, r"\A(?:%s)\Z" % line)
            self.assertLessEqual(len(re.findall("Received data|收到|Serving|<", shown)), 1, shown)

    @each_server("print")
    def test_B1_12_words_that_stop_the_server(self, server):
        """Red if somebody's text (": SH", or one without "says") stops or breaks the print server."""
        for text in ("wong says: SH", ": SH", ": WHO", "no verb at all", "says", ""):
            with server.connect() as peer:
                peer.send(text)
        with server.connect() as peer:
            peer.send("still here")
            server.wait_text("Received data: still here")
        self.assertNotIn("shutting down", server.out)


class S2(Case):
    @classmethod
    def setUpClass(cls):
        need_json()

    @each_server("broadcast", options=("--quiet",))
    def test_B2_1_race_on_the_pool(self, server):
        """Red if joining, leaving and broadcasting at once kill the server or lose a member's message."""
        base = settled_fds(server)
        steady, talker = join(self, server, 2)
        stop = threading.Event()

        def churn():
            while not stop.is_set():
                with server.connect() as peer:
                    peer.send(message("hello") + b'{"mess')
                    peer.line()
                    (peer.reset if os.getrandom(1)[0] & 1 else peer.close)()
        threads = [threading.Thread(target=churn) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for i in range(300):
                talker.send(message("tick %d" % i))
                while not talker.line().endswith(ACK_ANSWER):
                    pass  # others' messages
                while (line := steady.line()) != told(talker, "tick %d" % i):
                    self.assertTrue(line.endswith(b"hello\n"), line)
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
            close_all(steady, talker)
        self.assertBase(server, base)

    @each_server("broadcast", options=("--quiet", "--outbox", "64k"))
    def test_B2_2_slow_client_blocks_everybody(self, server):
        """Red if a member that stops reading holds up the others or makes the server's memory grow."""
        stalled = server.connect(small_buffer=4096)
        stalled.send(message("here"))
        self.assertTrue(stalled.line())
        fast, talker = join(self, server, 2)
        text = "x" * 8000
        expected = told(talker, text)
        before = server.private_kib()
        for _ in range(1000):  # 8 MB, far more than the outbox and both socket buffers
            talker.send(message(text))
            self.assertEqual(fast.line(), expected)
            self.assertEqual(talker.line(), talker.name.encode() + ACK_ANSWER)
        self.assertTrue(server.is_sanitized() or server.private_kib() - before < 8192)
        close_all(stalled, fast, talker)

    @each_server("broadcast")
    def test_B2_3_no_framing(self, server):
        """Red if glued, split or long objects become empty or lost messages, or if replies cannot be told apart."""
        a, b = join(self, server, 2)
        long = "y" * 5000
        a.send(message("one") + message("two"))
        a.dribble(message("three"))
        a.send(message(long))
        for text in ("one", "two", "three", long):
            self.assertEqual(b.line(), told(a, text))
            self.assertEqual(a.line(), a.name.encode() + ACK_ANSWER)
        close_all(a, b)

    @each_server("broadcast")
    def test_B2_4_wrong_sender_named(self, server):
        """Red if the announced address is the receiver's."""
        a, b = join(self, server, 2)
        a.send(message("hola", a.name))
        self.assertEqual(b.line(), told(a, "hola"))
        close_all(a, b)

    @each_server("broadcast")
    def test_B2_5_claimed_address_believed(self, server):
        """Red if naming another's address gives that one the acknowledgement."""
        a, b = join(self, server, 2)
        a.send(message("hola", b.name))
        self.assertEqual(a.line(), a.name.encode() + ACK_ANSWER)
        self.assertEqual(b.line(), told(a, "hola"))
        close_all(a, b)

    @each_server("broadcast")
    def test_B2_6_garbage_broadcast_as_empty(self, server):
        """Red if bad JSON or bad UTF-8 reaches the others as an empty message, or its sender is not told."""
        a, b = join(self, server, 2)
        for bad in (b"garbage\n", b'{"message":"\xff"}\n', b'{"client_ip":"x"}\n', b'{"message":}\n'):
            with server.connect() as peer:
                peer.send(bad)
                peer.half_close()
                self.assertIn(b"invalid message", peer.gone())
        a.send(message("next"))
        self.assertEqual(b.line(), told(a, "next"))
        close_all(a, b)

    @each_server("broadcast")
    def test_B2_7_connection_left_open_after_write_error(self, server):
        """Red if a member that was reset keeps its descriptor or its place in the room."""
        base = settled_fds(server)
        (talker,) = join(self, server, 1)
        for _ in range(20):
            peer = server.connect()
            peer.send(message("in"))
            self.assertTrue(peer.line())
            talker.send(message("to whom"))
            peer.reset()
        for _ in range(20):
            talker.send(message("to whom"))
        server.wait_fds(base + 1)
        talker.close()

    def test_B2_8_accept_error_spins(self):
        """Red if running out of descriptors burns a processor, prints <nil> or ends the server."""
        out_of_descriptors(self, "broadcast")

    def test_B2_9_client_cuts_words_and_spins(self):
        """Red if a line with blanks is not sent as one message, or the end of stdin does not end the client."""
        with Listener() as listener, coracle("dial", "--as", "broadcast", listener.text) as client:
            peer = listener.accept()
            client.send("hello world foo\n")
            name = text_address(peer.sock.getpeername())
            expected = ('{"client_ip":"%s","message":"hello world foo"}' % name).encode()
            self.assertEqual(peer.read(len(expected)), expected)
            client.send("last")
            client.close_stdin()
            self.assertEqual(json.loads(peer.read_all())["message"], "last")
            peer.close()
            self.assertEqual(client.wait(), 0, client.describe())

    def test_B2_10_client_exits_zero_and_silent(self):
        """Red if a missing server is not reported, if its death is not an error, or if /q prints a spurious error."""
        address = closed_port()
        failed = run_coracle("dial", "--as", "broadcast", address)
        self.assertEqual(failed.code, 69)
        self.assertIn("dial tcp %s: connect: connection refused" % address, failed.err)
        with Listener() as listener, coracle("dial", "--as", "broadcast", listener.text) as client:
            peer = listener.accept()
            client.send("one\n/q\n")
            self.assertEqual(json.loads(peer.read_all())["message"], "one")
            peer.close()
            self.assertEqual(client.wait(), 0, client.describe())
            self.assertEqual(client.out, "Byebye ...\n")
            self.assertNotIn("failed", client.err)
        with Listener() as listener, coracle("dial", "--as", "broadcast", listener.text) as client:
            listener.accept().close()
            self.assertNotEqual(client.wait(), 0)
            self.assertIn("recv server msg failed: EOF", client.out + client.err)

    @each_server("broadcast=0.0.0.0:0", options=("--max-line", "1k", "--max-conns", "3"))
    def test_B2_11_limits(self, server):
        """Red if there is no limit on messages or members, or if every accept prints the whole pool."""
        a, b = join(self, server, 2)
        with server.connect() as peer:
            peer.send(message("z" * 3000))
            peer.half_close()
            self.assertIn(b"invalid message", peer.gone())
        a.send(message("fits"))
        self.assertEqual(b.line(), told(a, "fits"))
        client = run_coracle("dial", "--as", "broadcast", "0.0.0.0:%d" % server.address()[1], stdin=b"hi")
        self.assertEqual(client.code, 0, client.describe())
        with server.connect() as third, server.connect() as fourth:  # two workers: either may be one too many
            ended, _, _ = select.select([third.sock, fourth.sock], [], [], PATIENCE)
            (third if third.sock in ended else fourth).gone()
        self.assertNotIn("map[", server.out)
        close_all(a, b)


class S3(Case):
    @each_server("echo")
    def test_B3_1_bytes_read_ahead_are_lost(self, server):
        """Red if not all of 300 bytes sent at once come back."""
        with server.connect() as peer:
            peer.send(bytes(range(256)) + b"a" * 44)
            self.assertEqual(peer.read(300), bytes(range(256)) + b"a" * 44)

    def test_B3_2_empty_line_or_end_of_input_hangs(self):
        """Red if the echo client waits for an answer to nothing, or does not end with its input."""
        with serve("echo") as server:
            client = run_coracle("dial", "--as", "echo", text_address(server.address()), stdin=b"\n\r\none\n\nlast")
            self.assertEqual(client.code, 0, client.describe())
            self.assertEqual([line for line in client.out.split("\n") if line], ["one", "last"])

    def test_B3_3_one_read_per_answer(self):
        """Red if an answer longer than 512 bytes, or one in two segments, is printed with the next one."""
        with Listener() as listener, coracle("dial", "--as", "echo", listener.text) as client:
            peer = listener.accept()
            for text in ("a" * 1300, "b" * 40):
                client.send(text + "\n")
                data = peer.read(len(text))
                peer.send(data[:7])
                peer.dribble(data[7:20])
                peer.send(data[20:])
                client.wait_text(text + "\n")
            self.assertEqual(client.out, "a" * 1300 + "\n" + "b" * 40 + "\n")

    def test_B3_4_write_errors_and_accept_errors_ignored(self):
        """Red if a client that resets while being written to harms the server, or out of descriptors makes it spin."""
        with serve("echo", options=("--quiet",)) as server:
            base = settled_fds(server)
            for _ in range(10):
                peer = server.connect(small_buffer=4096)
                peer.sock.settimeout(0.3)
                with contextlib.suppress(TimeoutError):
                    peer.send(b"x" * (8 << 20))  # never reads: the server's write must wait, then fail
                peer.reset()
            self.assertBase(server, base)
        out_of_descriptors(self, "echo")

    @each_server("echo")
    def test_B3_5_sticky_packets(self, server):
        """Red if glued or split sends change what comes back."""
        with server.connect() as peer:
            for i in range(200):
                peer.send("hello, this is message %03d; " % i)
            expected = "".join("hello, this is message %03d; " % i for i in range(200)).encode()
            self.assertEqual(peer.read(len(expected)), expected)

    @each_server("echo")
    def test_B3_6_exit_status_zero_on_failure(self, server):
        """Red if a failed listen or dial exits with 0; that SIGTERM ends a server with 0 every test here looks at."""
        self.assertEqual(run_coracle("serve", "echo=" + text_address(server.address())).code, 75)
        self.assertEqual(run_coracle("dial", "--as", "echo", closed_port()).code, 69)


class S4(Case):
    @each_server("random")
    def test_B4_1_pipelined_lines_are_lost(self, server):
        """Red if three lines in one segment do not get three numbers."""
        with server.connect() as peer:
            peer.send("a\nb\nc\n")
            for _ in range(3):
                self.assertIn(int(peer.line()), range(1, 101))
            peer.send("d\nSTOP\ne\n")
            self.assertIn(int(peer.line()), range(1, 101))
            self.assertEqual(peer.read_all(), b"")

    @each_server("random")
    def test_B4_2_no_close_after_a_read_error(self, server):
        """Red if a client that half-closes waits for ever, or if its descriptor stays."""
        base = settled_fds(server)
        for _ in range(10):
            with server.connect() as peer:
                peer.send("in the middle of a li")
                peer.half_close()
                self.assertIn(int(peer.line()), range(1, 101))
                self.assertEqual(peer.read_all(), b"")
            server.connect().reset()
        self.assertBase(server, base)

    @each_server("random")
    def test_B4_3_last_line_discarded_and_lines_without_limit(self, server):
        """Red if a last line without LF gets no number, or a line without end takes the server's memory."""
        with server.connect() as peer:
            peer.send("last")
            peer.half_close()
            self.assertIn(int(peer.line()), range(1, 101))
        before = server.private_kib()
        with server.connect() as peer:
            with contextlib.suppress(ConnectionError):
                for _ in range(64):
                    peer.send(b"x" * (1 << 20))
            self.assertTrue(server.is_sanitized() or server.private_kib() - before < 4096)

    def test_B4_4_predictable_numbers_and_100_never(self):
        """Red if servers started together give one sequence, or 1 or 100 never come."""
        sequences = []
        with serve("random") as one, serve("random") as two:
            for server in (one, two):
                with server.connect() as peer:
                    peer.send("x\n" * 3000)
                    sequences.append([int(peer.line()) for _ in range(3000)])
        self.assertNotEqual(sequences[0], sequences[1])
        for numbers in sequences:
            self.assertEqual((min(numbers), max(numbers)), (1, 100))

    def test_B4_5_errors_ignored_and_port_not_checked(self):
        """Red if a bad port is not refused with Go's words, or out of descriptors ends the server."""
        for port, text in (("12a", "listen tcp4: lookup tcp4/12a: unknown port\n"),
                           ("-10", "listen tcp4: address -10: invalid port\n"),
                           ("70000", "listen tcp4: address 70000: invalid port\n")):
            failed = run_coracle("serve", "random=tcp4://:" + port)
            self.assertIn(text, failed.err)
            self.assertEqual(failed.code, 78, failed.describe())
        out_of_descriptors(self, "random")

    def test_B4_6_article_errors_corrected(self):
        """Red if the guide does not say that Listen gives a listener and that network names are lower case."""
        page = read_doc("docs/guide/random.md")
        self.assertIn("cor_listener", page)
        self.assertIn("lower case", page)
        failed = run_coracle("serve", "random=Unix:///nowhere")
        self.assertIn("unknown network Unix", failed.err)
        self.assertEqual(failed.code, 78)

    @each_server("random", options=("--idle-timeout", "300ms"))
    def test_B4_7_no_idle_limit(self, server):
        """Red if a client may stay for ever without a word although a limit is set."""
        with server.connect() as peer:
            for _ in range(3):
                begin = time.monotonic()
                peer.send("x\n")
                self.assertTrue(peer.line())
            self.assertEqual(peer.gone(), b"")
            self.assertGreater(time.monotonic() - begin, 0.25)
            self.assertLess(time.monotonic() - begin, PATIENCE)


if __name__ == "__main__":
    main()
