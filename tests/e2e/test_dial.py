# SPDX-License-Identifier: MIT
"""`coracle dial`: every kind and option against a server played by the test, down to the bytes and the exit codes."""
import array
import contextlib
import fcntl
import json
import os
import re
import socket
import tempfile
import termios

from harness import (BIN, Case, Listener, Peer, Program, closed_port, coracle, main, need_json, run_coracle, serve,
                     text_address, wait_until)

ASK = "What to send to the server? Type Q to quit.\n"


class Raw(Case):
    def test_input_then_half_close_then_the_rest(self):
        with Listener() as listener, coracle("dial", listener.text) as client:
            peer = listener.accept()
            client.send("question")
            client.close_stdin()
            self.assertEqual(peer.read_all(), b"question")
            peer.send("answer after the half-close")
            peer.close()
            self.assertEqual(client.wait(), 0, client.describe())
            self.assertEqual(client.raw(), b"answer after the half-close")

    def test_bytes_are_untouched_both_ways(self):
        data = bytes(range(256)) * 4096
        with serve("echo", options=("--quiet",)) as server:
            client = run_coracle("dial", text_address(server.address()), stdin=data)
            self.assertTrue(client.raw() == data, "%d bytes of %d" % (len(client.raw()), len(data)))
            self.assertEqual(client.code, 0)

    def test_stdin_from_file_and_stdout_to_file(self):
        data = bytes(range(256)) * 400
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target, serve("echo") as server:
            source.write(data)
            source.seek(0)
            with Program([BIN, "dial", text_address(server.address())], stdin=source, stdout=target) as client:
                self.assertEqual(client.wait(), 0, client.describe())
            target.seek(0)
            self.assertTrue(target.read() == data)

    def test_stdin_closed_or_null(self):
        with serve("ack") as server:
            with open(os.devnull, "rb") as null, \
                    Program([BIN, "dial", text_address(server.address())], stdin=null) as client:
                self.assertEqual(client.wait(), 0, client.describe())

    def test_end_of_the_server_is_noticed_at_once(self):
        with Listener() as listener, coracle("dial", listener.text) as client:
            peer = listener.accept()
            peer.send("bye")
            peer.close()
            self.assertEqual(client.wait(5), 0, client.describe())  # stdin is still open
            self.assertEqual(client.raw(), b"bye")

    def test_reset_is_a_failure(self):
        with Listener() as listener, coracle("dial", listener.text) as client:
            peer = listener.accept()
            client.send("x")
            peer.read(1)
            peer.reset()
            self.assertNotEqual(client.wait(5), 0, client.describe())
            self.assertIn("connection reset by peer", client.err)

    def test_send_only(self):
        with Listener() as listener, coracle("dial", "--send-only", listener.text) as client:
            peer = listener.accept()
            peer.send("not wanted")
            client.send("data")
            client.close_stdin()
            self.assertEqual(client.wait(), 0, client.describe())
            self.assertEqual(peer.read(4), b"data")
            self.assertEqual(client.out, "")

    def test_recv_only(self):
        with Listener() as listener, coracle("dial", "--recv-only", listener.text) as client:
            peer = listener.accept()
            client.send("not wanted")
            peer.send("wanted")
            client.wait_text("wanted")
            peer.half_close()
            self.assertEqual(client.wait(), 0, client.describe())
            self.assertNotIn(b"not wanted", peer.gone())

    def test_no_shutdown(self):
        with Listener() as listener, coracle("dial", "--no-shutdown", listener.text) as client:
            peer = listener.accept()
            client.send("data")
            client.close_stdin()
            self.assertEqual(peer.read(4), b"data")
            peer.send("answer")
            client.wait_text("answer")  # the stdin has long ended
            peer.sock.setblocking(False)
            with self.assertRaises(BlockingIOError):
                peer.read(1)
            peer.close()
            self.assertEqual(client.wait(), 0, client.describe())

    def test_crlf(self):
        with Listener() as listener, coracle("dial", "--crlf", listener.text) as client:
            peer = listener.accept()
            client.send("one\ntwo\r\n\nno newline")
            client.close_stdin()
            self.assertIn(peer.read_all(), (b"one\r\ntwo\r\n\r\nno newline", b"one\r\ntwo\r\r\n\r\nno newline"))
            peer.close()
            self.assertEqual(client.wait(), 0)

    def test_unreachable(self):
        address = closed_port()
        client = run_coracle("dial", address)
        self.assertEqual(client.code, 69)
        self.assertTrue(client.err.endswith("dial tcp %s: connect: connection refused\n" % address), client.err)

    def test_ways_to_write_an_address(self):
        with Listener() as listener:
            port = listener.address[1]
            for address in (":%d" % port, "localhost:%d" % port, "0.0.0.0:%d" % port, "tcp4://127.0.0.1:%d" % port,
                            "tcp://127.0.0.1:%d" % port):
                with coracle("dial", address) as client:
                    peer = listener.accept()
                    peer.close()
                    self.assertEqual(client.wait(), 0, client.describe())
        with Listener(socket.AF_INET6, "::1") as listener:
            with coracle("dial", "[::1]:%d" % listener.address[1]) as client:
                listener.accept().close()
                self.assertEqual(client.wait(), 0, client.describe())

    def test_unix(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.sock")
            for address in (path, "@coracle-dial-%d" % os.getpid()):
                with serve("echo=unix://" + address):
                    client = run_coracle("dial", "unix://" + address, stdin=b"over unix")
                    self.assertEqual((client.raw(), client.code), (b"over unix", 0), client.describe())


class Name(Case):
    def test_words_on_the_wire(self):
        with Listener() as listener, coracle("dial", "--as", "name", listener.text) as client:
            peer = listener.accept()
            client.wait_text("First, what is your name?\n")
            client.send("wong\r\n")
            for line, said in (("123", "wong says: 123"), ("", "wong says: "), ("q", "wong says: q"),
                               ("é 世\r", "wong says: é 世")):
                client.wait_text(ASK)
                client.send(line + "\n")
                self.assertEqual(peer.read(len(said.encode())).decode(), said)
            client.send("Q\n")
            self.assertEqual(peer.read_all(), b"")
            self.assertEqual(client.wait(), 0, client.describe())
            self.assertEqual(client.out, "First, what is your name?\n" + ASK * 5)

    def test_refused(self):
        address = closed_port()
        client = run_coracle("dial", "--as", "name", address)
        self.assertEqual(client.code, 69)
        self.assertIn("Error dialing dial tcp %s: connect: connection refused\n" % address, client.out + client.err)


class Echo(Case):
    def test_words(self):
        with serve("echo") as server:
            client = run_coracle("dial", "--as", "echo", text_address(server.address()),
                                 stdin="hello\r\n世界\nquit\nQ\nnever sent\n".encode())
            self.assertEqual((client.out, client.code), ("hello\n世界\nquit\n", 0), client.describe())

    def test_end_of_the_server(self):
        with Listener() as listener, coracle("dial", "--as", "echo", listener.text) as client:
            peer = listener.accept()
            client.send("one\n")
            self.assertEqual(peer.read(3), b"one")
            peer.close()
            self.assertNotEqual(client.wait(5), 0, client.describe())
            self.assertIn("recv failed, err: EOF", client.out + client.err)

    def test_end_of_the_server_while_waiting_for_the_user(self):
        with Listener() as listener, coracle("dial", "--as", "echo", listener.text) as client:
            listener.accept().close()
            self.assertNotEqual(client.wait(5), 0, client.describe())

    def test_peers_escapes_are_made_safe(self):
        with Listener() as listener, coracle("dial", "--as", "echo", listener.text) as client:
            peer = listener.accept()
            client.send("12345678\n")
            peer.read(8)
            peer.send(b"a\x1b[2J\x07\xc2\x9b")
            peer.close()
            client.wait()
            self.assertEqual(re.findall(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", client.raw()), [])

    def test_refused(self):
        address = closed_port()
        client = run_coracle("dial", "--as", "echo", address)
        self.assertEqual(client.code, 69)
        self.assertIn("dial tcp %s: connect: connection refused\n" % address, client.out + client.err)


class Broadcast(Case):
    @classmethod
    def setUpClass(cls):
        need_json()

    def test_wire_is_gos(self):
        """The bytes of Go's encoding/json: order of the keys, compact, HTML escaping, invalid UTF-8 replaced."""
        with Listener() as listener, coracle("dial", "--as", "broadcast", listener.text) as client:
            peer = listener.accept()
            name = text_address(peer.sock.getpeername())
            for line, text in (("<a&b>", r"\u003ca\u0026b\u003e"), ('say "hi" \\', r'say \"hi\" \\'), ("a/b", "a/b"),
                               ("tab\there", r"tab\there"), ("世界 é", "世界 é")):
                client.send(line + "\n")
                expected = '{"client_ip":"%s","message":"%s"}' % (name, text)
                self.assertEqual(peer.read(len(expected.encode())).decode(), expected)
                self.assertEqual(json.loads(expected)["message"], line)
            client.send("/quit\n")
            self.assertEqual(peer.read_all(), b"")
            peer.close()
            self.assertEqual(client.wait(), 0)
            self.assertEqual(client.out, "Byebye ...\n")

    def test_messages_are_shown_one_by_one(self):
        with Listener() as listener, coracle("dial", "--as", "broadcast", listener.text) as client:
            peer = listener.accept()
            peer.send("one\ntwo\nth")
            client.wait_text("msg: ----> one\nmsg: ----> two\n")
            peer.send("ree\n")
            peer.dribble("1.2.3.4:5 地址发送了请求消息：世界\n".encode())
            client.wait_text("msg: ----> 1.2.3.4:5 地址发送了请求消息：世界\n")
            peer.send(b"\x1b[2J\x9b\n")
            peer.close()
            self.assertNotEqual(client.wait(), 0)
            self.assertNotIn("\x1b", client.out)
            self.assertIn("recv server msg failed: EOF", client.out + client.err)

    def test_empty_lines_are_not_sent(self):
        with Listener() as listener, coracle("dial", "--as", "broadcast", listener.text) as client:
            peer = listener.accept()
            client.send("\n\r\nend")
            client.close_stdin()
            self.assertEqual(json.loads(peer.read_all())["message"], "end")
            peer.close()
            self.assertEqual(client.wait(), 0, client.describe())


class Get(Case):
    def test_request(self):
        with Listener() as listener, coracle("dial", "--as", "get", listener.text) as client:
            peer = listener.accept()
            self.assertEqual(peer.read(7), b"GET / \n")
            page = "line %d 100%s\n\ttab\n" * 1000
            peer.send(page)
            peer.close()
            self.assertEqual(client.wait(), 0, client.describe())
            self.assertEqual(client.out, page)

    def test_page_cannot_command_the_terminal(self):
        with Listener() as listener, coracle("dial", "--as", "get", listener.text) as client:
            peer = listener.accept()
            peer.read(7)
            peer.send(b"a\x1b]0;owned\x07b\xc2")
            peer.send(b"\x9b2Jc\n")
            peer.close()
            self.assertEqual(client.wait(), 0)
            self.assertEqual(re.findall(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", client.raw()), [])

    def test_reset_in_the_page(self):
        with Listener() as listener, coracle("dial", "--as", "get", listener.text) as client:
            peer = listener.accept()
            peer.read(7)
            peer.send("half a page")
            client.wait_text("half a page")
            peer.reset()
            self.assertNotEqual(client.wait(), 0, client.describe())


class Leaving(Case):
    @contextlib.contextmanager
    def leaving(self, words, text):
        """A client that has sent all of `text` and said so; gives it and the server's end."""
        with Listener() as listener, coracle("dial", *words, listener.text) as client:
            peer = listener.accept()
            client.send(text)
            if "echo" in words:
                peer.send(peer.read(1))
            client.close_stdin()
            peer.read_all()
            yield client, peer

    def test_a_reset_is_told(self):
        """What was sent last may be lost, so it is no good end; that of a server that says nothing more is one."""
        for words, text in ((("--send-only",), "x"), (("--as", "echo"), "x\n"), (("--as", "name"), "me\nx\n"),
                            (("--as", "broadcast"), "x\n")):
            with self.subTest(words=words):
                with self.leaving(words, text) as (client, peer):
                    peer.reset()
                    self.assertEqual(client.wait(5), 1, client.describe())
                    self.assertIn("connection reset by peer", client.err)
                with self.leaving(words, text) as (client, peer):
                    peer.close()
                    self.assertEqual((client.wait(5), client.err), (0, ""), client.describe())

    def test_a_server_that_ends_and_takes_nothing(self):
        """What still waits to be sent is given up: the server has ended its stream, but keeps the connection."""
        for words in ("--as", "name"), ("--as", "broadcast"):
            with self.subTest(words=words), tempfile.TemporaryFile() as lines, Listener() as listener:
                lines.write((b"x" * 500_000 + b"\n") * 64)
                lines.seek(0)
                with Program([BIN, "dial", *words, listener.text], stdin=lines) as client, listener.accept() as peer:
                    self.wait_stuck(peer)
                    peer.half_close()
                    self.assertEqual(client.wait(), 1, client.describe())

    @staticmethod
    def wait_stuck(peer):
        """Waits until no more comes: the sender has filled all there is on the way."""
        sizes = [0] * 20

        def is_stuck():
            size = array.array("i", [0])
            fcntl.ioctl(peer.sock, termios.FIONREAD, size)
            sizes.append(size[0])
            return size[0] > 0 and len(set(sizes[-20:])) == 1
        wait_until(is_stuck, "the way to be full")


class Signals(Case):
    def test_interrupt(self):
        """A signal ends a client that waits, with the shell's code for it."""
        import signal
        for number in (signal.SIGINT, signal.SIGTERM):
            for kind in ("raw", "echo", "name", "get"):
                with Listener() as listener, coracle("dial", "--as", kind, listener.text) as client:
                    peer = listener.accept()
                    client.signal(number)
                    self.assertIn(client.wait(), (128 + number, -number), client.describe())
                    peer.close()

    def test_stdout_gone(self):
        with serve("echo", options=("--quiet",)) as server:
            reader, writer = os.pipe()
            with Program([BIN, "dial", text_address(server.address())], stdout=writer) as client:
                os.close(writer)
                os.close(reader)
                client.send("x" * 1000)
                self.assertNotEqual(client.wait(), 0, client.describe())
            with Peer(server.address()) as peer:
                peer.send("alive")
                self.assertEqual(peer.read(5), b"alive")


if __name__ == "__main__":
    main()
