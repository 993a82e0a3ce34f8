# SPDX-License-Identifier: MIT
# test: timeout=300
"""The tutorials' programs in Go against ours: Go clients with our services, our clients and examples with Go servers.

The class Originals shows that the checks of test_bugs.py can fail: it sees the bugs in the Go servers themselves.
"""
import re
import threading

from harness import (GREETING, REPLY, Case, Listener, closed_port, coracle, each_server, example, finish, main,
                     need_json, run_coracle, text_address, wait_until)

from go_programs import go, go_server

ASK = "What to send to the server? Type Q to quit.\n"


class GoClients(Case):
    """Go's clients with `coracle serve`."""

    @each_server("print")
    def test_name_client(self, server):
        client = finish(go("name_client", text_address(server.address())), b"wong\nhello\nQ\n")
        self.assertEqual(client.out, "First, what is your name?\n" + ASK * 2)
        server.wait_text("Received data: wong says: hello\n")
        server.wait_text("Error reading EOF\n")

    @each_server("echo")
    def test_echo_client(self, server):
        client = finish(go("echo_client", text_address(server.address())), "hello\n世界\nq\n".encode())
        self.assertEqual(client.out, "hello\n世界\n")
        server.wait_text("收到Client端发来的数据： 世界\n")

    @each_server("broadcast")
    def test_broadcast_client(self, server):
        address = text_address(server.address())
        with go("broadcast_client", address) as a, go("broadcast_client", address) as b:
            a.send("uno\n")
            a.wait_text(": 已经收到信息\n")
            b.send("<dos>\n")
            b.wait_text(": 已经收到信息\n")
            b_name = re.search(r"([0-9.:]+): 已经收到信息$", b.out, re.M).group(1)
            a.wait_text("%s 地址发送了请求消息：<dos>\n" % b_name)  # one read may bring two lines
            for client in (a, b):
                client.send("/q\n")
                client.wait_text("Byebye ...\n")
                self.assertEqual(client.wait(), 0)

    @each_server("ack", "echo", "random")
    def test_dial(self, server):
        targets = []
        for name in server.addresses:
            targets += ["tcp", text_address(server.address(name))]
        client = finish(go("dial", *targets))
        self.assertEqual(client.out.count("Connection is made with"), 3, client.describe())
        self.assertEqual(client.code, 0)


class OurClients(Case):
    """`coracle dial` and the example clients with Go's servers."""

    def test_echo(self):
        with go_server("echo_server", "127.0.0.1:0") as server:
            address = text_address(server.address())
            for run in (lambda: run_coracle("dial", "--as", "echo", address, stdin=b"hello\n\nlast"),
                        lambda: finish(example("echo_client", address), b"hello\n\nlast")):
                client = run()
                self.assertEqual([line for line in client.out.split("\n") if line], ["hello", "last"])
                self.assertEqual(client.code, 0, client.describe())
            server.wait_text("收到Client端发来的数据： hello\n", count=2)

    def test_name(self):
        with go_server("print_server", "127.0.0.1:0") as server:
            address = text_address(server.address())
            for count, run in enumerate((
                    lambda: run_coracle("dial", "--as", "name", address, stdin=b"wong\n123"),
                    lambda: finish(example("name_client", address), b"wong\n123")), 1):
                client = run()
                self.assertEqual(client.code, 0, client.describe())
                self.assertTrue(client.out.startswith("First, what is your name?\n" + ASK), client.out)
                server.wait_text("Received data: wong says: 123", count=count)

    def test_broadcast(self):
        with go_server("broadcast_server", "127.0.0.1", "0") as server:
            address = text_address(server.address())
            for start in (lambda: coracle("dial", "--as", "broadcast", address),
                          lambda: example("broadcast_client", address)):
                need_json()
                with start() as client:
                    client.send("hola\n")
                    client.wait_text(re.compile(r"^msg: ----> \S+: 已经收到信息$", re.M))
                    client.send("/q\n")
                    self.assertEqual(client.wait(), 0, client.describe())
                    self.assertIn("Byebye ...\n", client.out)

    def test_raw_with_ack(self):
        with go_server("ack_server", "127.0.0.1:0") as server:
            client = run_coracle("dial", text_address(server.address()), stdin=b"ola\n")
            self.assertEqual(client.raw(), REPLY)
            self.assertEqual(client.code, 0, client.describe())

    def test_raw_with_random(self):
        with go_server("random_server", "0") as server, coracle("dial", text_address(server.address())) as client:
            for count in (1, 2):
                client.send("more\n")
                client.wait_text("\n", count=count)
            client.send("STOP\n")
            client.close_stdin()
            self.assertEqual(client.wait(), 0, client.describe())
            self.assertTrue(all(1 <= int(number) <= 99 for number in client.out.split()), client.out)

    def test_raw_with_greet(self):
        with go_server("simple_server", "127.0.0.1", "0") as server:
            client = run_coracle("dial", text_address(server.address()), stdin=b"wong says: 123")
            self.assertEqual(client.raw(), GREETING)
            self.assertEqual(client.code, 0, client.describe())
            server.wait_text("Closed connection: ", name="err")
            server.wait_text("wong says: 123")

    def test_same_words_when_nobody_listens(self):
        address = closed_port()
        ours = finish(example("echo_client", address))
        theirs = finish(go("echo_client", address))
        self.assertEqual(ours.out, theirs.out)
        ours = finish(example("name_client", address))
        theirs = finish(go("name_client", address))
        self.assertEqual(ours.out, theirs.out)

    def test_same_words_when_the_address_is_taken(self):
        with Listener() as taken:
            for name in ("print_server", "echo_server"):
                self.assertEqual(finish(example(name, taken.text)).out, finish(go(name, taken.text)).out)
            for port in ("-10", "70000"):
                self.assertEqual(finish(example("random_server", port)).out, finish(go("random_server", port)).out)


class Originals(Case):
    """The bugs as the Go programs show them."""

    def test_B0_1_panic_on_early_close(self):
        with go_server("ack_server", "127.0.0.1:0") as server:
            server.connect().close()
            self.assertEqual(server.wait(), 2)
            self.assertIn("panic: EOF", server.err)

    def test_B1_1_descriptor_stays(self):
        with go_server("print_server", "127.0.0.1:0") as server:
            with server.connect() as peer:
                peer.send("x")
                server.wait_text("Received data: x")
                served = server.fds()
            server.wait_text("Error reading EOF")
            self.assertEqual(server.fds(), served)

    def test_B2_3_glued_objects_become_an_empty_message(self):
        with go_server("broadcast_server", "127.0.0.1", "0") as server, server.connect() as a, server.connect() as b:
            server.wait_text("listening port:  0\n", count=3)
            a.send('{"client_ip":"x","message":"one"}{"client_ip":"x","message":"two"}')
            expected = (b.name + " 地址发送了请求消息：").encode()
            self.assertEqual(b.read(len(expected)), expected)
            b.sock.setblocking(False)
            with self.assertRaises(BlockingIOError):
                b.read(1)

    def test_B2_5_address_of_another_is_believed(self):
        with go_server("broadcast_server", "127.0.0.1", "0") as server, server.connect() as a, server.connect() as b:
            server.wait_text("listening port:  0\n", count=3)
            a.send('{"client_ip":"%s","message":"hola"}' % b.name)
            expected = (b.name + ": 已经收到信息").encode()
            self.assertEqual(b.read(len(expected)), expected)

    def test_B3_1_rest_of_300_bytes_is_lost(self):
        with go_server("echo_server", "127.0.0.1:0") as server, server.connect() as peer:
            peer.send(b"a" * 300)
            peer.half_close()
            self.assertEqual(len(peer.read_all()), 128)

    def test_B4_1_lines_of_one_segment_are_lost(self):
        with go_server("random_server", "0") as server, server.connect() as peer:
            peer.send("a\nb\nc\n")
            peer.line()
            peer.send("STOP\n")
            self.assertEqual(peer.read_all(), b"")

    def test_B4_2_half_closed_client_waits_for_ever(self):
        with go_server("random_server", "0") as server:
            with server.connect() as peer:
                peer.send("no newline")
                peer.half_close()
                server.wait_text("EOF\n")
                served = server.fds()
                peer.sock.setblocking(False)
                with self.assertRaises(BlockingIOError):
                    peer.read(1)
            self.assertEqual(server.fds(), served)

    def test_B1_3_client_spins_at_end_of_input(self):
        with Listener() as listener, go("name_client", listener.text) as client:
            peer = listener.accept()
            client.close_stdin()
            drained = threading.Thread(target=peer.gone, daemon=True)
            drained.start()
            wait_until(lambda: client.out.count(ASK) > 100, "the client to spin")

    def test_S1c_page_used_as_format(self):
        with Listener() as listener, go("socket", listener.text) as client:
            peer = listener.accept()
            peer.send("100%d")
            peer.close()
            client.wait()
            self.assertIn("%!d(MISSING)", client.out)


if __name__ == "__main__":
    main()
