# SPDX-License-Identifier: MIT
# test: timeout=300
"""Other people's tools in place of ours: nc, ncat, socat, python with each service and kind of `coracle dial`."""
import json
import os
import pty
import re
import select
import socketserver
import subprocess
import sys
import threading

from harness import (BIN, GREETING, PATIENCE, REPLY, SOURCE, Case, Listener, Program, coracle, each_server, finish,
                     main, need_json, need_tool, run_coracle, serve, text_address, wait_until)

PYTHON_CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:
    s.sendall(sys.stdin.buffer.read())
    s.shutdown(socket.SHUT_WR)
    while data := s.recv(4096):
        sys.stdout.buffer.write(data)
"""


def clients(address):
    """The argv of each tool that sends its stdin, half-closes, and prints what comes until the end."""
    host, port = address
    return {
        "nc": ["nc", "-N", host, str(port)],
        "ncat": ["ncat", host, str(port)],
        "socat": ["socat", "-t", "20", "-", "TCP:%s:%d" % (host, port)],
        "python": [sys.executable, "-c", PYTHON_CLIENT, host, str(port)],
        "coracle": None,
    }


def talk(tool, address, data):
    """Runs one tool as client to its end and gives what it printed."""
    argv = clients(address)[tool]
    if argv is None:
        done = run_coracle("dial", text_address(address), stdin=data)
        assert done.code == 0, done.describe()
        return done.raw()
    need_tool(argv[0])
    return subprocess.run(argv, input=data, capture_output=True, timeout=PATIENCE, check=False).stdout


TOOLS = ("nc", "ncat", "socat", "python", "coracle")


class Services(Case):
    """Each tool as the client of each service."""

    @each_server("ack")
    def test_ack(self, server):
        for tool in TOOLS:
            with self.subTest(tool=tool):
                self.assertEqual(talk(tool, server.address(), b"ola\n"), REPLY)

    @each_server("print")
    def test_print(self, server):
        for count, tool in enumerate(TOOLS, 1):
            with self.subTest(tool=tool):
                self.assertEqual(talk(tool, server.address(), b"from %s\n" % tool.encode()), b"")
                server.wait_text("Received data: from %s\\n\n" % tool)
                server.wait_text("Error reading EOF\n", count=count)

    @each_server("greet")
    def test_greet(self, server):
        for tool in TOOLS:
            with self.subTest(tool=tool):
                self.assertEqual(talk(tool, server.address(), b"%s says: hi" % tool.encode()), GREETING)
                server.wait_text("<%d:%s says: hi> \n" % (len(tool) + 9, tool))

    @each_server("echo")
    def test_echo(self, server):
        data = bytes(range(256)) * 1200
        for tool in TOOLS:
            with self.subTest(tool=tool):
                self.assertEqual(talk(tool, server.address(), data), data)

    @each_server("random")
    def test_random(self, server):
        for tool in TOOLS:
            with self.subTest(tool=tool):
                numbers = talk(tool, server.address(), b"a\nb\r\nc").split()
                self.assertEqual(len(numbers), 3)
                self.assertTrue(all(1 <= int(number) <= 100 for number in numbers))

    @each_server("broadcast")
    def test_broadcast(self, server):
        with server.connect() as listener:
            listener.send(b'{"message":"here"}')
            listener.line()
            for tool in TOOLS:
                with self.subTest(tool=tool):
                    said = talk(tool, server.address(), b'{"message":"from %s"}' % tool.encode())
                    self.assertRegex(said.decode(), r"\A127\.0\.0\.1:\d+: 已经收到信息\n\Z")
                    self.assertTrue(listener.line().decode().endswith(" 地址发送了请求消息：from %s\n" % tool))

    def test_unix_socket_with_socat_and_nc(self):
        name = "coracle-tools-%d" % os.getpid()
        with serve("echo=unix://@" + name) as server:
            for argv in (["socat", "-t", "20", "-", "ABSTRACT-CONNECT:" + name],):
                need_tool(argv[0])
                done = subprocess.run(argv, input=b"hello", capture_output=True, timeout=PATIENCE, check=False)
                self.assertEqual(done.stdout, b"hello")
            self.assertTrue(server.alive())


class ToolServer:
    """A tool that listens on a port of the kernel's choice; the port is read from /proc."""

    def __init__(self, argv):
        need_tool(argv[0])
        self.program = Program(argv)
        try:
            ports = wait_until(self.program.listening_ports, lambda: "a listener of " + self.program.describe())
        except BaseException:
            self.program.stop()
            raise
        self.address = "127.0.0.1:%d" % ports[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.stop()


class DialKinds(Case):
    """Each kind of `coracle dial` as the client of each tool."""

    def echo_servers(self):
        yield ["ncat", "-l", "127.0.0.1", "0", "-k", "-e", "/bin/cat"]
        yield ["socat", "TCP-LISTEN:0,bind=127.0.0.1,fork", "EXEC:cat"]

    def test_echo_and_raw(self):
        for argv in self.echo_servers():
            with self.subTest(tool=argv[0]), ToolServer(argv) as server:
                done = run_coracle("dial", "--as", "echo", server.address, stdin="one\n世界\nq\n".encode())
                self.assertEqual((done.out, done.code), ("one\n世界\n", 0), done.describe())
                with coracle("dial", server.address) as client:
                    data = bytes(range(256)) * 100
                    client.send(data)  # ncat forgets what is under way at a half-close, so that comes afterwards
                    wait_until(lambda: len(client.raw()) == len(data), client.describe)
                    client.close_stdin()
                    self.assertEqual(client.wait(), 0, client.describe())
                    self.assertEqual(client.raw(), data)

    def listeners(self):
        yield ["nc", "-l", "-v", "127.0.0.1", "0"]
        yield ["ncat", "-l", "127.0.0.1", "0"]
        yield ["socat", "TCP-LISTEN:0,bind=127.0.0.1", "-"]

    def test_name(self):
        for argv in self.listeners():
            with self.subTest(tool=argv[0]), ToolServer(argv) as server:
                done = run_coracle("dial", "--as", "name", server.address, stdin=b"wong\nhello\nQ\n")
                self.assertEqual(done.code, 0, done.describe())
                server.program.wait_text("wong says: hello")
                server.program.close_stdin()
                self.assertEqual(server.program.wait(), 0)

    def test_broadcast(self):
        for argv in self.listeners():
            with self.subTest(tool=argv[0]), ToolServer(argv) as server:
                need_json()
                with coracle("dial", "--as", "broadcast", server.address) as client:
                    client.send("hello world\n")
                    server.program.wait_text('"message":"hello world"}')
                    self.assertEqual(list(json.loads(server.program.out)), ["client_ip", "message"])
                    server.program.send("welcome\n")
                    client.wait_text("msg: ----> welcome\n")
                    client.send("/q\n")
                    server.program.close_stdin()
                    self.assertEqual(client.wait(), 0, client.describe())

    def test_get(self):
        for argv in self.listeners():
            with self.subTest(tool=argv[0]), ToolServer(argv) as server:
                with coracle("dial", "--as", "get", server.address) as client:
                    server.program.wait_text("GET / \n")
                    server.program.send("a page\n")
                    server.program.close_stdin()
                    client.wait_text("a page\n")
                    if argv[0] == "nc":
                        server.program.stop()  # it does not half-close at the end of its stdin
                    self.assertEqual(client.wait(), 0, client.describe())
                    self.assertEqual(client.out, "a page\n")

    def test_get_from_pythons_socketserver(self):
        class Page(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(b"you said " + self.rfile.readline())

        with socketserver.TCPServer(("127.0.0.1", 0), Page) as web:
            thread = threading.Thread(target=web.handle_request)
            thread.start()
            done = run_coracle("dial", "--as", "get", "127.0.0.1:%d" % web.server_address[1])
            thread.join(PATIENCE)
        self.assertEqual((done.out, done.code), ("you said GET / \n", 0), done.describe())

    def test_raw_both_ways(self):
        for argv in self.listeners():
            with self.subTest(tool=argv[0]), ToolServer(argv) as server, coracle("dial", server.address) as client:
                client.send("to the tool\n")
                server.program.wait_text("to the tool\n")
                server.program.send("to coracle\n")
                client.wait_text("to coracle\n")
                client.close_stdin()
                server.program.close_stdin()
                self.assertEqual(client.wait(), 0, client.describe())

    def test_terminal_shows_the_prompt(self):
        """The name client on a terminal: the prompt is there before anything is typed."""
        try:
            ours, its = pty.openpty()
        except OSError as error:
            self.skipTest("no pseudo-terminals here: %s" % error)
        with Listener() as listener, os.fdopen(ours, "r+b", buffering=0) as terminal, \
                Program([BIN, "dial", "--as", "name", listener.text], stdin=its, stdout=its) as client:
            os.close(its)
            peer = listener.accept()
            for question, answer in ((b"First, what is your name?", b"wong\n"), (b"Type Q to quit.", b"on a pty\n"),
                                     (b"Type Q to quit.", b"Q\n")):
                shown = b""
                while question not in shown:
                    self.assertTrue(select.select([terminal], [], [], PATIENCE)[0], shown)
                    shown += terminal.read(4096)
                terminal.write(answer)
            self.assertEqual(peer.read_all(), b"wong says: on a pty")
            self.assertEqual(client.wait(), 0, client.describe())


class Terminal(Case):
    """stdout and stderr on one terminal, as README shows them after `make run`."""

    @staticmethod
    def shape(lines, program):
        """The lines without what differs: where the program is, and the addresses."""
        text = "\n".join(line.strip() for line in lines).replace(program, "coracle")
        return re.sub(r"(\S+:|:  | )\d+$", " ADDRESS", re.sub(r"(\d+\.){3}\d+[: ]\d+|\[::\]:\d+", "ADDRESS", text),
                      flags=re.M).split("\n")

    def test_readme_shows_what_serve_prints(self):
        need_json()
        with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
            block, = re.findall(r"^    \$ make run\n((?:    .*\n)+)", file.read(), re.M)
        expected = self.shape(block.splitlines(), "build/release/coracle")
        services = ["ack=127.0.0.1:0", "print=127.0.0.1:0", "greet=127.0.0.1:0", "broadcast=127.0.0.1:0",
                    "echo=127.0.0.1:0", "random=tcp4://127.0.0.1:0"]
        for _ in range(10):
            with subprocess.Popen([BIN, "serve", *services], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True) as server:
                try:
                    lines = [server.stdout.readline() for _ in expected]
                finally:
                    server.terminate()
            self.assertEqual(self.shape(lines, BIN), expected)


class OneAfterAnother(Case):
    def test_ncat_keeps_its_exit_code(self):
        """ncat sees an orderly end, not a reset, after the one reply of ack."""
        need_tool("ncat")
        with serve("ack") as server:
            host, port = server.address()
            done = finish(Program(["ncat", host, str(port)]), b"x" * 5000)
            self.assertEqual((done.raw(), done.code), (REPLY, 0), done.describe())


if __name__ == "__main__":
    main()
