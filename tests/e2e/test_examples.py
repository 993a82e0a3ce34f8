# SPDX-License-Identifier: MIT
# test: timeout=300
"""The examples as a reader of the tutorials would try them: the exact words on the terminal and on the wire."""
import contextlib
import functools
import json
import os
import re
import signal
import socket

from harness import (GREETING, PATIENCE, REPLY, SOURCE, WORKERS, Case, Listener, closed_port, example, example_server,
                     finish, main, need_json, text_address, wait_until)


def each_example(name, *argv):
    """Decorates test(self, server): runs it with the example per number of workers; SIGTERM must end it well."""
    def decorate(test):
        @functools.wraps(test)
        def run(self):
            for workers in WORKERS:
                with self.subTest(workers=workers), example_server(name, *argv, workers=workers) as server:
                    test(self, server)
                    self.assertTrue(server.alive(), server.describe())
                    server.signal(signal.SIGTERM)
                    self.assertEqual(server.wait(), 0, server.describe())
        return run
    return decorate


def run_example(name, *argv, stdin=b""):
    return finish(example(name, *argv), stdin)


class AckServer(Case):
    @each_example("ack_server", "127.0.0.1:0")
    def test_words(self, server):
        with server.connect() as peer:
            peer.send("ola\n")
            self.assertEqual(peer.read_all(), REPLY)
        server.wait_text("Resposta enviada ao cliente.\n")
        self.assertEqual(server.out, "Dado recebido: ola\n\nResposta enviada ao cliente.\n")

    @each_example("ack_server", "127.0.0.1:0")
    def test_rude_clients(self, server):
        server.connect().close()
        server.connect().reset()
        with server.connect() as peer:
            peer.send(b"x" * 5000)
            self.assertEqual(peer.read_all(), REPLY)

    @each_example("ack_server", "127.0.0.1:0")
    def test_terminal_commands_are_shown_as_text(self, server):
        with server.connect() as peer:
            peer.send(b"a\x1b]0;owned\x07b\xc2\x9b2J\x7f")
            peer.read_all()
        server.wait_text("Dado recebido: ")
        for byte in (b"\x1b", b"\x07", b"\xc2\x9b", b"\x7f"):
            self.assertNotIn(byte, server.raw("out"))

    def test_address_in_use(self):
        with Listener() as taken:
            failed = run_example("ack_server", taken.text)
        self.assertEqual(failed.err, "listen tcp %s: bind: address already in use\n" % taken.text)
        self.assertNotEqual(failed.code, 0)


class PrintServerAndNameClient(Case):
    @each_example("print_server", "127.0.0.1:0")
    def test_words(self, server):
        client = run_example("name_client", text_address(server.address()), stdin=b"wong\n123\nq\nQ\n")
        self.assertEqual(client.out, "First, what is your name?\n" +
                         "What to send to the server? Type Q to quit.\n" * 3)
        self.assertEqual(client.code, 0, client.describe())
        server.wait_text("Error reading EOF\n")
        self.assertTrue(server.out.startswith("Starting the server ...\nReceived data: wong says: 123"), server.out)
        said = "".join(re.findall(r"^Received data: (.*)$", server.out, re.M))
        self.assertEqual(said, "wong says: 123wong says: q")

    @each_example("print_server", "127.0.0.1:0")
    def test_end_of_input_ends_the_client_after_its_last_line(self, server):
        client = run_example("name_client", text_address(server.address()), stdin=b"wong\r\nno newline")
        self.assertEqual(client.code, 0, client.describe())
        self.assertEqual(client.out.count("What to send"), 2)
        server.wait_text("Received data: wong says: no newline\n")

    def test_client_without_server(self):
        address = closed_port()
        client = run_example("name_client", address)
        self.assertEqual(client.out, "Error dialing dial tcp %s: connect: connection refused\n" % address)
        self.assertNotEqual(client.code, 0)

    def test_client_notices_the_end_of_the_server(self):
        with Listener() as listener, example("name_client", listener.text) as client:
            peer = listener.accept()
            client.send("wong\n")
            client.wait_text("What to send")
            peer.close()
            self.assertNotEqual(client.wait(), 0, client.describe())  # although its stdin is still open

    def test_address_in_use(self):
        with Listener() as taken:
            failed = run_example("print_server", taken.text)
        self.assertEqual(failed.out, "Starting the server ...\n"
                         "Error listening listen tcp %s: bind: address already in use\n" % taken.text)
        self.assertNotEqual(failed.code, 0)


class PortForward(Case):
    def test_both_ways_and_half_close(self):
        with Listener() as target:
            for workers in WORKERS:
                with self.subTest(workers=workers), \
                        example_server("port_forward", "127.0.0.1:0", target.text, workers=workers) as server:
                    with server.connect() as client:
                        there = target.accept()
                        client.send(b"request" * 50000)
                        client.half_close()
                        self.assertEqual(there.read_all(), b"request" * 50000)
                        there.send(b"answer")
                        there.close()
                        self.assertEqual(client.read_all(), b"answer")
                    server.wait_text(": 350000 bytes there, 6 back\n")
                    server.signal(signal.SIGTERM)
                    self.assertEqual(server.wait(), 0, server.describe())

    def test_nobody_there(self):
        address = closed_port()
        with example_server("port_forward", "127.0.0.1:0", address) as server:
            with server.connect() as client:
                self.assertEqual(client.read_all(), b"")
            server.wait_text(": dial tcp %s: connect: connection refused\n" % address)

    def test_words(self):
        self.assertEqual(run_example("port_forward").code, 2)
        with Listener() as taken:
            failed = run_example("port_forward", taken.text, taken.text)
        self.assertEqual(failed.err, "listen tcp %s: bind: address already in use\n" % taken.text)
        self.assertEqual(failed.code, 1)


class Replay(Case):
    def test_seeds(self):
        for arguments in (["30"], ["1", "617"]):
            done = run_example("replay", *arguments)
            self.assertEqual(done.out, "%s seeds: all bytes came back in order\n" % arguments[0])
            self.assertEqual((done.code, done.err), (0, ""))


class Partition(Case):
    def test_seeds(self):
        for arguments, last in (["30"], 30), (["1", "617"], 617):
            done = run_example("partition", *arguments)
            self.assertEqual(done.out, "seed %d was the last: nothing is lost\n" % last)
            self.assertEqual((done.code, done.err), (0, ""))


class Dial(Case):
    def test_each_kind_of_address(self):
        with Listener() as listener:
            done = run_example("dial", "tcp", listener.text, "tcp4", listener.text, "tcp",
                               "localhost:%d" % listener.address[1])
        self.assertEqual(done.code, 0, done.describe())
        line = r"Connection is made with 127\.0\.0\.1:\d+->%s\n" % re.escape(listener.text)
        self.assertRegex(done.out, r"\A(%s){3}\Z" % line)

    def test_failure_stops(self):
        address = closed_port()
        done = run_example("dial", "tcp", address, "tcp", address)
        self.assertEqual(done.out, "error dial tcp %s: connect: connection refused connecting!\n" % address)
        self.assertNotEqual(done.code, 0)


    def test_udp_line(self):
        """As in the tutorial: a dial over UDP makes a connection whether anybody is there or not, and sends nothing."""
        with socket.socket(type=socket.SOCK_DGRAM) as nobody:
            nobody.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % nobody.getsockname()[1]
            done = run_example("dial", "udp", address, "udp", "127.0.0.1:9")
            nobody.setblocking(False)
            self.assertRaises(BlockingIOError, nobody.recv, 1)
        self.assertEqual(done.code, 0, done.describe())
        self.assertRegex(done.out, r"\AConnection is made with 127\.0\.0\.1:\d+->%s\n"
                                   r"Connection is made with 127\.0\.0\.1:\d+->127\.0\.0\.1:9\n\Z" % re.escape(address))


class DialAll(Case):
    def test_each_has_its_line(self):
        closed = closed_port()
        for workers in WORKERS:
            with Listener() as listener:
                name = "localhost:%d" % listener.address[1]
                lines = [listener.text, " %s\t\r" % name, closed, "nonsense"] + [listener.text] * 40
                done = run_dial_all("\n".join(lines), workers)
                self.assertEqual(sorted(done.out.splitlines()), sorted(
                    [listener.text] * 41 + [name, "dial tcp %s: connect: connection refused" % closed,
                                            "dial tcp: address nonsense: missing port in address"]), done.describe())
                self.assertEqual((done.code, done.err), (1, ""))
                self.assertEqual(run_dial_all(listener.text + "\n", workers).code, 0)
                self.assertEqual(run_dial_all("", workers).code, 0)

    def test_an_error_ends_everything(self):
        """The input ends in a line that no address can be: the workers' dials, which would wait for 5 s, end too."""
        with silent_listener() as silent:
            for workers in WORKERS:
                done = run_dial_all("%s\n" % silent * 40 + "x" * 200 + "\n", workers)
                self.assertEqual((done.code, done.err), (1, "ended early: line too long\n"), done.describe())

    def test_ctrl_c(self):
        with Listener() as listener, silent_listener() as silent:
            for workers in WORKERS:
                with example("dial_all", env={"COR_WORKERS": str(workers)}) as program:
                    program.send("%s\n%s\n" % (silent, listener.text))
                    program.wait_text(listener.text + "\n")
                    program.signal(signal.SIGINT)
                    self.assertEqual(program.wait(), 1, program.describe())
                    self.assertEqual(program.err.splitlines()[-1], "ended early: operation was canceled")


def run_dial_all(lines, workers):
    return finish(example("dial_all", env={"COR_WORKERS": str(workers)}), lines)


@contextlib.contextmanager
def silent_listener():
    """An address at which dials wait: its queue is full, and nobody accepts."""
    with socket.socket() as listener, contextlib.ExitStack() as queue:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield "%s:%d" % listener.getsockname()


class UdpEcho(Case):
    @each_example("udp_echo", "127.0.0.1:0")
    def test_datagrams(self, server):
        with socket.socket(type=socket.SOCK_DGRAM) as peer:
            peer.settimeout(PATIENCE)
            peer.connect(server.address())
            for data in (b"one", b"", b"two\n", os.urandom(65507)):
                peer.send(data)
                self.assertTrue(peer.recv(65536) == data, len(data))
            server.signal(signal.SIGSTOP)
            for number in range(50):
                peer.send(b"%d" % number)
            server.signal(signal.SIGCONT)
            self.assertEqual([peer.recv(65536) for _ in range(50)], [b"%d" % number for number in range(50)])

    def test_words(self):
        with socket.socket(type=socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            failed = run_example("udp_echo", address)
        self.assertEqual((failed.err, failed.code), ("listen udp %s: bind: address already in use\n" % address, 1))


class Get(Case):
    def test_by_name(self):
        with Listener() as listener, example("get", "localhost:%d" % listener.address[1]) as client:
            peer = listener.accept()
            self.assertEqual(peer.read(7), b"GET / \n")
            peer.send("by name\n")
            peer.close()
            self.assertEqual((client.wait(), client.out), (0, "by name\n"), client.describe())

    def test_page(self):
        page = "<html>100% d%s %n é 世</html>\r\n" * 2000
        with Listener() as listener, example("get", listener.text) as client:
            peer = listener.accept()
            self.assertEqual(peer.read(7), b"GET / \n")
            peer.send(page)
            peer.close()
            self.assertEqual(client.wait(), 0, client.describe())
            self.assertEqual(client.raw().decode(), page)

    def test_request_and_escapes(self):
        with Listener() as listener, example("get", listener.text) as client:
            peer = listener.accept()
            self.assertEqual(peer.read(7), b"GET / \n")
            peer.send(b"a\x1b[2Jb\xc2")
            peer.send(b"\x9bc\0d\n")
            peer.close()
            self.assertEqual(client.wait(), 0)
            self.assertEqual(client.raw().replace(b"\xc2", b""), b"a?[2Jb?c?d\n")

    def test_nobody_there(self):
        address = closed_port()
        done = run_example("get", address)
        self.assertEqual(done.err, "dial tcp %s: connect: connection refused\n" % address)
        self.assertNotEqual(done.code, 0)


class GreetServer(Case):
    @each_example("greet_server", "localhost", "0")
    def test_words(self, server):
        with server.connect() as peer:
            self.assertEqual(peer.read(len(GREETING)), GREETING)
            name = peer.name
            peer.send("wong says: 123")
            server.wait_text("<14:wong says: 123> \n")
            peer.send("Ivo says: Hi server, do you hear me ?")
            server.wait_text("<12:ou hear me ?> \n")
        server.wait_text("Closed connection:  %s\n" % name, name="err")
        self.assertEqual(server.out, "<14:wong says: 123> \n<25:Ivo says: Hi server, do y> \n<12:ou hear me ?> \n")
        self.assertEqual(server.err, "Listening to:  %s\nConnection from:  %s\nClosed connection:  %s\n" % (
            text_address(server.address()), name, name))

    @each_example("greet_server", "localhost", "0")
    def test_characters_stay_whole(self, server):
        text = "世界您好，é" * 10
        with server.connect() as peer:
            peer.read(len(GREETING))
            peer.send(text)

        def pieces():
            return re.findall(r"^<(\d+):(.*)> $", server.raw().decode(), re.M)
        wait_until(lambda: "".join(body for _, body in pieces()) == text, lambda: "%s in %s" % (text, server.out))
        self.assertEqual(sum(int(size) for size, _ in pieces()), len(text.encode()))

    def test_usage(self):
        failed = run_example("greet_server", "localhost")
        self.assertEqual(failed.err, "usage: host port\n")
        self.assertEqual(failed.code, 2)

    def test_bad_port(self):
        failed = run_example("greet_server", "localhost", "12a")
        self.assertRegex(failed.err, r"\AERROR: Resolving address:port failed: 'localhost:12a' .*unknown port\n\Z")
        self.assertNotEqual(failed.code, 0)

    def test_address_in_use(self):
        with Listener() as taken:
            failed = run_example("greet_server", "127.0.0.1", str(taken.address[1]))
        self.assertEqual(failed.err, "ERROR: ListenTCP:  listen tcp %s: bind: address already in use\n" % taken.text)


class EchoServerAndClient(Case):
    @each_example("echo_server", "127.0.0.1:0")
    def test_words(self, server):
        client = run_example("echo_client", text_address(server.address()), stdin="hello\n世界 é\nq\n".encode())
        self.assertEqual(client.out, "hello\n世界 é\n")
        self.assertEqual(client.code, 0, client.describe())
        server.wait_text("read from client failed, err:  EOF\n")
        self.assertEqual(server.out, "收到Client端发来的数据： hello\n收到Client端发来的数据： 世界 é\n"
                         "read from client failed, err:  EOF\n")

    @each_example("echo_server", "127.0.0.1:0")
    def test_long_lines_empty_lines_last_line(self, server):
        lines = ["x" * 1300, "", "y" * 512, "Q no", "last without newline"]
        client = run_example("echo_client", text_address(server.address()), stdin="\r\n".join(lines).encode())
        self.assertEqual(client.out, "\n".join(lines) + "\n")
        self.assertEqual(client.code, 0, client.describe())

    @each_example("echo_server", "127.0.0.1:0")
    def test_three_hundred_bytes(self, server):
        with server.connect() as peer:
            peer.send(b"a" * 300)
            self.assertEqual(peer.read(300), b"a" * 300)

    def test_client_without_server(self):
        address = closed_port()
        client = run_example("echo_client", address)
        self.assertEqual(client.out, "err :  dial tcp %s: connect: connection refused\n" % address)
        self.assertNotEqual(client.code, 0)

    def test_client_whose_server_leaves(self):
        with Listener() as listener, example("echo_client", listener.text) as client:
            peer = listener.accept()
            client.send("hello\n")
            self.assertEqual(peer.read(5), b"hello")
            peer.close()
            self.assertNotEqual(client.wait(), 0)
            self.assertEqual(client.out, "recv failed, err: EOF\n")

    def test_address_in_use(self):
        with Listener() as taken:
            failed = run_example("echo_server", taken.text)
        self.assertEqual(failed.out,
                         "Listen() failed, err:  listen tcp %s: bind: address already in use\n" % taken.text)
        self.assertNotEqual(failed.code, 0)


class RandomServer(Case):
    @each_example("random_server", "0")
    def test_words(self, server):
        with server.connect() as peer:
            name = peer.name
            peer.send("a\nb\n\n")
            for _ in range(3):
                self.assertIn(int(peer.line()), range(1, 101))
            peer.send(" STOP \r\n")
            self.assertEqual(peer.read_all(), b"")
        with server.connect() as peer:
            peer.half_close()
            self.assertEqual(peer.read_all(), b"")
            second = peer.name
        server.wait_text("EOF\n")
        self.assertEqual(server.out, "Serving %s\nServing %s\nEOF\n" % (name, second))

    @each_example("random_server", "0")
    def test_endless_line(self, server):
        with server.connect() as peer:
            peer.send(b"x" * 5000)
            self.assertEqual(peer.read_all(), b"line too long\n")

    def test_port_missing_and_bad(self):
        missing = run_example("random_server")
        self.assertEqual(missing.out, "Please provide a port number!\n")
        self.assertNotEqual(missing.code, 0)
        bad = run_example("random_server", "-10")
        self.assertEqual(bad.out, "listen tcp4: address -10: invalid port\n")
        self.assertNotEqual(bad.code, 0)


class BroadcastServerAndClient(Case):
    @classmethod
    def setUpClass(cls):
        need_json()

    @each_example("broadcast_server", "127.0.0.1:0")
    def test_words(self, server):
        address = text_address(server.address())
        with example("broadcast_client", address) as a, example("broadcast_client", address) as b:
            a.send("first\n")
            a.wait_text(": 已经收到信息\n")
            a_name = re.search(r"^msg: ----> (\S+): 已经收到信息$", a.out, re.M).group(1)
            b.send("hello world <a&b>\n")
            b.wait_text(": 已经收到信息\n")
            b_name = re.search(r"^msg: ----> (\S+): 已经收到信息$", b.out, re.M).group(1)
            a.wait_text("msg: ----> %s 地址发送了请求消息：hello world <a&b>\n" % b_name)
            b.send("/q\n")
            self.assertEqual(b.wait(), 0, b.describe())
            self.assertTrue(b.out.endswith("Byebye ...\n"), b.out)
            a.send("/quit\n")
            self.assertEqual(a.wait(), 0, a.describe())
            self.assertNotIn("failed", a.out + b.out)
        server.wait_text("read client message failed:EOF\n", count=2)
        self.assertTrue(server.out.startswith("listening port:  %d\n" % server.address()[1]), server.out)
        self.assertIn('%s---->{"client_ip":"%s","message":"first"}\n' % (a_name, a_name), server.out)
        self.assertIn("connection is connected from  %s\n" % a_name, server.out)

    @each_example("broadcast_server", "127.0.0.1:0")
    def test_cut_glued_and_wrong(self, server):
        with server.connect() as a, server.connect() as b:
            for peer in (a, b):
                peer.send('{"message":"here"}')
                peer.line()
            self.assertEqual(a.line(), (b.name + " 地址发送了请求消息：here\n").encode())
            b.dribble('{"client_ip":"%s","message":"one"}{"message":"two"}'.encode() + b"\n")
            for text in ("one", "two"):
                self.assertEqual(a.line(), (b.name + " 地址发送了请求消息：%s\n" % text).encode())
            for bad in (b"nonsense", b'{"message":"' + b"x" * 20000 + b'"}', b"[" * 40):
                with server.connect() as c:
                    c.send(bad)
                    c.half_close()
                    self.assertRegex(c.gone(), rb"(invalid message|message too long)\n\Z", bad[:20])
            b.send('{"message":"three"}')
            self.assertEqual(a.line(), (b.name + " 地址发送了请求消息：three\n").encode())

    @each_example("broadcast_server", "127.0.0.1:0")
    def test_slow_members_are_cut_and_the_others_hear_everything(self, server):
        text = "x" * 15000
        with server.connect() as a, server.connect() as b, \
                server.connect(small_buffer=4096) as slow, server.connect(small_buffer=4096) as slower:
            for peer in (slow, slower, a):
                peer.send('{"message":"here"}')
                peer.line()
            cut = ["broad message to %s failed: i/o timeout\n" % peer.name for peer in (slow, slower)]

            def hear(peer, ending):
                """The next line, without what came of the members' first words."""
                line = peer.line().decode()
                while line.endswith("：here\n") or (text in ending and text not in line):
                    line = peer.line().decode()
                self.assertTrue(line.endswith(ending), line[:100])
            for count in range(2000):
                b.send('{"message":"%s %d"}' % (text, count))
                hear(b, "已经收到信息\n")
                hear(a, "%s 地址发送了请求消息：%s %d\n" % (b.name, text, count))
                if all(line in server.out for line in cut):
                    break
            self.assertTrue(all(line in server.out for line in cut), server.out[-500:])
            self.assertNotIn("broad message to %s" % a.name, server.out)

    def test_what_the_client_sends(self):
        with Listener() as listener, example("broadcast_client", listener.text) as client:
            peer = listener.accept()
            client.send('<a&b> "x" 世\n\n')
            name = text_address(peer.sock.getpeername())
            expected = '{"client_ip":"%s","message":"\\u003ca\\u0026b\\u003e \\"x\\" 世"}' % name
            self.assertEqual(peer.read(len(expected.encode())).decode(), expected)
            self.assertEqual(json.loads(expected)["message"], '<a&b> "x" 世')
            peer.send("no newline at the end")
            client.wait_text("msg: ----> no newline at the end\n")
            peer.send("one\ntwo\n")
            client.wait_text("msg: ----> one\nmsg: ----> two\n")
            peer.close()
            self.assertNotEqual(client.wait(), 0)
            self.assertTrue(client.out.endswith("recv server msg failed: EOF\n"), client.out)

    def test_end_of_input(self):
        with Listener() as listener, example("broadcast_client", listener.text) as client:
            peer = listener.accept()
            client.send("last words")
            client.close_stdin()
            self.assertIn(b'"message":"last words"}', peer.read_all())
            peer.send("answer\n")
            peer.close()
            self.assertEqual(client.wait(), 0, client.describe())
            self.assertEqual(client.out, "msg: ----> answer\n")

    def test_client_without_server(self):
        address = closed_port()
        client = run_example("broadcast_client", address)
        self.assertEqual(client.err, "dial tcp %s: connect: connection refused\n" % address)
        self.assertNotEqual(client.code, 0)


class Sources(Case):
    def test_public_headers_only(self):
        """An example includes <coracle.h>, libc and json-c; nothing of ours besides: but a test has what it tests."""
        tested = {"partition.c": ['"broadcast_server.c"']}
        folder = os.path.join(SOURCE, "examples")
        for name in sorted(os.listdir(folder)):
            if name.endswith(".c"):
                with open(os.path.join(folder, name), encoding="utf-8") as source:
                    includes = re.findall(r"^#include (\S+)$", source.read(), re.M)
                self.assertEqual(includes[0], "<coracle.h>", name)
                self.assertEqual([i for i in includes if i.startswith('"')], tested.get(name, []), name)


    def test_no_longer_than_the_tutorials(self):
        """The lines of the tutorials' programs against ours, comments not counted: the library carries the rest."""
        tutorials = {"broadcast_server": 105, "broadcast_client": 75, "echo_server": 50, "echo_client": 46,
                     "ack_server": 47, "print_server": 46}
        for name, limit in tutorials.items():
            with open(os.path.join(SOURCE, "examples", name + ".c"), encoding="utf-8") as source:
                code = re.sub(r"^ */\*.*?\*/\n", "", source.read(), flags=re.M | re.S)
            self.assertLessEqual(code.count("\n"), limit, name)


if __name__ == "__main__":
    main()
