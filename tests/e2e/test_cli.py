# SPDX-License-Identifier: MIT
"""The command line: help, version, mistakes and what is said about them, exit codes, signals, output in trouble."""
import contextlib
import ctypes
import fcntl
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import time

from harness import (BIN, PATIENCE, SERVICES, Case, Listener, Peer, Program, busy_client, closed_port, coracle, finish,
                     main, run_coracle, serve, settled_fds, wait_until)
from slowness import spoiled


def own_network():
    """Gives the process to be started a network of its own, with nothing in it but the loopback interface."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_net, new_user, set_flags, up_and_running = 0x40000000, 0x10000000, 0x8914, 0x41
    if libc.unshare(new_net) != 0 and libc.unshare(new_net | new_user) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", up_and_running))


def answers(path):
    """Whether somebody listens at the path. That it exists does not say so: it is there a moment earlier."""
    try:
        Peer(path).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


class Texts(Case):
    def test_help(self):
        for argv in (["--help"], ["-h"], ["help"], ["serve", "--help"], ["help", "serve"], ["dial", "-h"],
                     ["help", "dial"]):
            done = run_coracle(*argv)
            self.assertEqual((done.code, done.err), (0, ""), argv)
            self.assertRegex(done.out, r"\AUsage: coracle", argv)
            self.assertLessEqual(max(map(len, done.out.split("\n"))), 120)

    def test_help_names_everything_it_should(self):
        text = run_coracle("serve", "--help").out
        for option in ("workers", "poller", "max-conns", "max-line", "idle-timeout", "write-timeout", "outbox",
                       "slow-after", "first-byte-timeout", "slow-policy", "grace", "quiet", "log-format", "log-level",
                       "reply"):
            self.assertIn("--" + option, text)
        for service, address in zip(SERVICES, (":5000", "localhost:50000", "localhost:50001", "0.0.0.0:1253",
                                               "127.0.0.1:9999", "tcp4://:8001")):
            if service != "broadcast" or "json: on" in run_coracle("--version").out:
                self.assertRegex(text, r"(?m)^\s+%s\s+.*%s" % (service, re.escape(address)))
        text = run_coracle("dial", "--help").out
        for word in ("raw", "echo", "name", "broadcast", "get", "--send-only", "--recv-only", "--no-shutdown", "--crlf",
                     "--timeout"):
            self.assertIn(word, text)

    def test_version(self):
        for option in ("--version", "-V"):
            done = run_coracle(option)
            self.assertEqual((done.code, done.err), (0, ""))
            self.assertRegex(done.out, r"\Acoracle \d+\.\d+\.\d+\npoller: \S.*\njson: (on|off)")


class Mistakes(Case):
    def mistake(self, argv, code, text):
        done = run_coracle(*argv)
        self.assertEqual(done.code, code, done.describe())
        self.assertEqual(done.out, "")
        self.assertEqual(done.err.count("\n"), 1, done.err)
        self.assertIn(text, done.err)

    def test_unknown_with_nearest_match(self):
        self.mistake(["serv"], 2, "'serve'")
        self.mistake(["--versio"], 2, "'--version'")
        self.mistake(["serve", "--idel-timeout", "1s"], 2, "'--idle-timeout'")
        self.mistake(["serve", "ehco"], 2, "'echo'")
        self.mistake(["serve", "radnom=127.0.0.1:0"], 2, "'random'")
        self.mistake(["dial", "--as", "eco", "127.0.0.1:1"], 2, "echo")
        self.mistake(["dial", "--tiemout", "1s", "127.0.0.1:1"], 2, "'--timeout'")

    def test_unknown_without_match(self):
        self.mistake(["frobnicate-completely"], 2, "frobnicate-completely")
        self.mistake(["serve", "--qqqqqqqqq"], 2, "--qqqqqqqqq")
        self.mistake(["serve", "zzzzzzzzzz"], 2, "zzzzzzzzzz")

    def test_bad_values(self):
        for option, value in (("--workers", "0x"), ("--workers", "-1"), ("--idle-timeout", "5"), ("--grace", ""),
                              ("--idle-timeout", "soon"), ("--max-line", "12q"), ("--outbox", "-3"),
                              ("--slow-policy", "gently"), ("--log-format", "xml"), ("--log-level", "loud"),
                              ("--poller", "kqueue")):
            self.mistake(["serve", option, value, "echo=127.0.0.1:0"], 2, option)

    def test_missing(self):
        done = run_coracle()
        self.assertEqual(done.code, 2)
        self.assertIn("Usage", done.err)
        self.mistake(["serve", "--workers"], 2, "--workers")
        self.assertEqual(run_coracle("dial").code, 2)
        self.assertEqual(run_coracle("dial", "127.0.0.1:1", "extra").code, 2)

    def test_addresses_in_gos_words(self):
        for address, code, text in (
                ("tcp4://:-10", 78, "listen tcp4: address -10: invalid port\n"),
                ("tcp4://:12a", 78, "listen tcp4: lookup tcp4/12a: unknown port\n"),
                ("127.0.0.1", 78, "listen tcp: address 127.0.0.1: missing port in address\n"),
                ("::1:0", 78, "listen tcp: address ::1:0: too many colons in address\n"),
                ("Unix://x", 78, "listen Unix: unknown network Unix\n"),
                ("udp://127.0.0.1", 78, "listen udp: address 127.0.0.1: missing port in address\n"),
                ("1.2.3.4:0", 78, "listen tcp 1.2.3.4:0: bind: cannot assign requested address\n"),
                ("unix:///nowhere/x.sock", 78, "listen unix /nowhere/x.sock: bind: no such file or directory\n")):
            done = run_coracle("serve", "echo=" + address)
            self.assertIn(text, done.err, address)
            self.assertEqual((done.code, done.out), (code, ""), done.describe())

    def test_what_listens_and_what_to_do(self):
        for options, text in ((("echo=127.0.0.1:0", "random=1.2.3.4:0"), "random cannot listen: no interface here"),
                              (("--admin", "nonsense", "echo=127.0.0.1:0"), "--admin cannot listen: addresses are"),
                              (("echo=127.0.0.1:65536",), "echo cannot listen: a port is"),
                              (("echo=[::1:7",), "echo cannot listen: addresses are"),
                              (("echo=unix:///nowhere/x.sock",), "echo cannot listen: the folder of the socket"),
                              (("echo=unix:///tmp",), "echo cannot listen: a server listens there, or")):
            done = run_coracle("serve", *options)
            self.assertIn("\ncoracle serve: " + text, done.err)

    def test_empty_address(self):
        """As of a variable that is not set: it would be a port of the kernel's choice on all interfaces."""
        for argv in ("echo=",), ("echo=udp://",), ("--", "echo="):
            self.mistake(["serve", *argv], 78, "echo has an empty address")

    def test_options_that_need_others(self):
        for options, text in ((("--origin", "chat.example"), "--origin: 'chat.example' is not a site"),
                              (("--origin", "https://a.example,http://b.example/x"), "'http://b.example/x' is not"),
                              (("--bus-creds", "x"), "--bus-creds has no meaning without --bus"),
                              (("--bus-ca", "x"), "--bus-ca has no meaning without --bus"),
                              (("--bus", "nats://127.0.0.1", "--bus-key", BIN), "no meaning without --bus-cert")):
            self.mistake(["serve", *options, "echo=127.0.0.1:0"], 2, text)

    def test_dial_addresses_in_gos_words(self):
        for address, code, text in (("127.0.0.1", 78, "dial tcp: address 127.0.0.1: missing port in address\n"),
                                    ("udp://127.0.0.1", 78, "dial udp: address 127.0.0.1: missing port in address\n"),
                                    ("no-such-host.invalid:1", 69, "no such host\n"),
                                    ("unix:///nonexistent/x.sock", 69, "no such file or directory\n")):
            done = run_coracle("dial", address)
            self.assertIn(text, done.err, address)
            self.assertEqual(done.code, code, done.describe())


class ExitCodes(Case):
    def test_address_in_use(self):
        with Listener() as taken:
            done = run_coracle("serve", "echo=127.0.0.1:0", "ack=" + taken.text)
        self.assertEqual(done.code, 75)
        self.assertIn("listen tcp %s: bind: address already in use\n" % taken.text, done.err)
        self.assertEqual(done.out, "", "nothing may be said to listen when not all can")

    def test_no_permission(self):
        def drop():
            os.setgid(65534)
            os.setuid(65534)
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as start:
            if int(start.read()) <= 1:
                self.skipTest("here everybody may bind every port")
        if os.getuid() == 0:
            done = self.as_nobody(drop)
        else:
            done = run_coracle("serve", "echo=127.0.0.1:1")
        self.assertEqual(done.code, 77, done.describe())
        self.assertIn("listen tcp 127.0.0.1:1: bind: permission denied\n", done.err)
        self.assertIn("echo cannot listen: ports below 1024 need root (see --user) or CAP_NET_BIND_SERVICE\n", done.err)

    def as_nobody(self, drop):
        with tempfile.TemporaryDirectory() as folder:  # the build folder may be closed to others
            os.chmod(folder, 0o755)
            copy = os.path.join(folder, "coracle")
            with open(BIN, "rb") as source, open(copy, "wb") as target:
                target.write(source.read())
            os.chmod(copy, 0o755)
            return finish(Program([copy, "serve", "echo=127.0.0.1:1"], preexec=drop, cwd="/"))

    def test_unreachable(self):
        address = closed_port()
        done = run_coracle("dial", address)
        self.assertEqual((done.code, done.out), (69, ""))
        self.assertIn("dial tcp %s: connect: connection refused\n" % address, done.err)

    def test_too_few_descriptors(self):
        for limit, text in ((20, "cannot listen: raise the limit of descriptors"),
                            (4, "cannot start: too many open files; raise the limit of descriptors")):
            done = run_coracle("serve", *["echo=127.0.0.1:0"] * 30, preexec=lambda limit=limit: resource.setrlimit(
                resource.RLIMIT_NOFILE, (limit, limit)))
            self.assertEqual(done.code, 75, done.describe())
            self.assertIn(text, done.err)

    def test_one_descriptor_too_few_to_accept_everywhere(self):
        """A worker that cannot accept is no pause, of 0 ms least of all; the others accept."""
        with serve("echo", workers=4) as server:
            enough = settled_fds(server)
        with serve("echo", workers=4, preexec=lambda: resource.setrlimit(
                resource.RLIMIT_NOFILE, (enough - 1, enough - 1))) as server:
            server.wait_text('level=error event=acceptor_lost service=echo error="too many open files"\n', name="err")
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0, server.describe())
            self.assertNotIn(" ms=0\n", server.err)

    def test_ok(self):
        with serve("echo") as server:
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0)


class Listening(Case):
    def test_all_on_their_default_addresses(self):
        try:
            finish(Program(["true"], preexec=own_network))
        except subprocess.SubprocessError:
            self.skipTest("no right to make a network namespace, where the default ports are surely free")
        with coracle("serve", preexec=own_network) as server:
            server.wait_text("listening random ")
            self.assertEqual(sorted(re.findall(r"^listening (\S+ \S+ \S+)$", server.out, re.M)), sorted(
                line for line in ("ack tcp [::]:5000", "print tcp 127.0.0.1:50000", "greet tcp 127.0.0.1:50001",
                                  "broadcast tcp [::]:1253", "echo tcp 127.0.0.1:9999", "random tcp4 0.0.0.0:8001")
                if "broadcast" not in line or "json: on" in run_coracle("--version").out))
            server.wait_text("coracle dial", name="err")  # what to type in another terminal
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0)

    def test_quiet_keeps_the_listening_lines(self):
        with serve("print", options=("--quiet",)) as server:
            with server.connect() as peer:
                peer.send("hello")
                peer.half_close()
                peer.read_all()
            server.stop()
            self.assertRegex(server.out, r"\Alistening print tcp 127\.0\.0\.1:\d+\n\Z")


def dump_begins(server, before):
    """Asks for a dump; one that is being written already takes no second wish, so this has to be called again."""
    server.signal(signal.SIGQUIT)
    return "SIGQUIT: all tasks" in server.err[before:]


class Signals(Case):
    def test_graceful(self):
        """SIGTERM: no new clients, the old ones may finish what they have begun, then 0."""
        for number in (signal.SIGTERM, signal.SIGINT):
            with serve("random", workers=2, options=("--grace", "60s")) as server:
                with busy_client(server) as peer:
                    server.signal(number)
                    wait_until(lambda: not server.listening_ports(), "the listener to close")
                    with self.assertRaises(ConnectionRefusedError):
                        Peer(server.address())
                    peer.send("rest\n")
                    self.assertRegex(peer.read_all(), rb"\A\d+\n\Z")
                self.assertEqual(server.wait(), 0, server.describe())  # sooner than the grace period

    def test_grace_ends(self):
        with serve("random", workers=2, options=("--grace", "300ms")) as server, busy_client(server) as peer:
            begin = time.monotonic()
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0, server.describe())
            self.assertGreater(time.monotonic() - begin, 0.25)
            self.assertEqual(peer.gone(), b"")

    def test_second_signal_ends_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with serve("random", options=("--grace", "60s")) as server, busy_client(server):
                server.signal(number)
                wait_until(lambda: not server.listening_ports(), "the listener to close")
                server.signal(number)
                self.assertEqual(server.wait(), 128 + number, server.describe())

    def test_second_signal_leaves_nothing_untold(self):
        """What has been logged by then, a moment ago, is written: lines wait some milliseconds for others."""
        with serve("random", options=("--grace", "60s")) as server, busy_client(server):
            others = [busy_client(server) for _ in range(64)]
            server.signal(signal.SIGTERM)
            server.wait_text("event=stopping", name="err")
            for peer in others:
                peer.send("rest\n")
            for peer in others:
                self.assertRegex(peer.read_all(), rb"\A\d+\n\Z")
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 128 + signal.SIGTERM, server.describe())
            self.assertEqual(server.err.count("event=closed"), len(others), server.describe())

    def test_quit_dumps_all_tasks_and_goes_on(self):
        with serve("echo", workers=2) as server:
            peers = [server.connect() for _ in range(5)]
            for peer in peers:
                peer.send("x")
                self.assertEqual(peer.read(1), b"x")
            for _ in range(2):
                before = len(server.err)
                wait_until(lambda: dump_begins(server, before), "a dump")
                wait_until(lambda: len(re.findall(r"(?m)^task \d+ \[.*worker \d+\]", server.err[before:])) >= 7,
                           lambda: "5 sessions, main and an acceptor in the dump: " + server.err[before:])
                self.assertRegex(server.err[before:], r"(?m)^    cor_")  # a backtrace
            peers[0].send("alive")
            self.assertEqual(peers[0].read(5), b"alive")
            for peer in peers:
                peer.close()

    def test_sigpipe_kills_nobody(self):
        with serve("echo") as server:
            for _ in range(20):
                peer = server.connect()
                peer.send(b"x" * 100000)
                peer.reset()
            server.signal(signal.SIGPIPE)
            with server.connect() as peer:
                peer.send("alive")
                self.assertEqual(peer.read(5), b"alive")


class Output(Case):
    def busy(self, server, address, count=400):
        """Makes the service say far more than any pipe takes, and wants it to go on serving."""
        with Peer(address) as peer:
            for _ in range(count):
                peer.send(b"y" * 4000)
                self.assertEqual(len(peer.read(4000)), 4000)
        self.assertTrue(server.alive(), server.describe())

    def start_with_stdout(self, stdout):
        """Starts echo on a unix socket, so that the address is known without reading stdout."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "echo.sock")
        server = Program([BIN, "serve", "--workers", "1", "--grace", "1s", "echo=unix://" + path], stdout=stdout)
        self.addCleanup(server.stop)
        wait_until(lambda: answers(path), lambda: "the socket of " + server.describe())
        return server, path

    def end(self, server):
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.describe())

    def test_stdout_that_nobody_reads(self):
        reader, writer = os.pipe()
        try:
            server, path = self.start_with_stdout(writer)
            self.busy(server, path)
            self.end(server)
        finally:
            os.close(reader)
            os.close(writer)

    def test_stdout_whose_reader_has_gone(self):
        reader, writer = os.pipe()
        server, path = self.start_with_stdout(writer)
        os.close(reader)
        os.close(writer)
        self.busy(server, path, 20)
        self.end(server)

    def test_stdout_closed(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "echo.sock")
        with Program([BIN, "serve", "echo=unix://" + path], stdout=None, preexec=lambda: os.close(1)) as server:
            wait_until(lambda: answers(path), lambda: "the socket of " + server.describe())
            self.busy(server, path, 20)
            self.end(server)

    def test_stdout_full(self):
        with open("/dev/full", "wb") as full:
            server, path = self.start_with_stdout(full.fileno())
            self.busy(server, path, 20)
            self.end(server)
            help_text = finish(Program([BIN, "--help"], stdout=full.fileno()))
            self.assertEqual(help_text.code, 1, "help that could not be written is a failure")
            self.assertEqual(help_text.err, "coracle: standard output: no space left on device\n")

    def test_stdout_full_for_a_moment(self):
        """A part is lost, what comes after it is not."""
        help_text = finish(Program([*spoiled("write", "error=ENOSPC:when=1"), BIN, "help", "serve"]))
        self.assertIn("Durations are written", help_text.out)
        self.assertEqual(help_text.err, "coracle: standard output: a part was not taken\n")
        self.assertEqual(help_text.code, 1, help_text.describe())

    def test_no_colour_without_terminal(self):
        with serve("echo") as server:
            server.stop()
            self.assertNotIn("\x1b", server.out + server.err)


class Log(Case):
    def test_one_closed_event_per_session(self):
        with serve("echo", workers=2) as server:
            names = []
            for i in range(10):
                with server.connect() as peer:
                    names.append(peer.name)
                    peer.send("x" * i + "y")
                    peer.read(i + 1)
                    if i % 2:
                        peer.reset()
            server.wait_text(re.compile(r"\bclosed\b"), count=10, name="err")
            server.stop()
            for i, name in enumerate(names):
                found = [line for line in server.err.split("\n") if "closed" in line and name in line]
                self.assertEqual(len(found), 1, server.err)
                self.assertRegex(found[0], r"reason=(eof|reset)")
                self.assertRegex(found[0], r"\bin=%d\b.*\bout=%d\b" % (i + 1, i + 1))

    def test_all_is_told_at_the_end(self):
        """A server that ends at once after its clients have left has told of each; of its own end it tells last."""
        with serve("echo", workers=2) as server:
            names = []
            for _ in range(50):
                with server.connect() as peer:
                    names.append(peer.name)
                    peer.send("x")
                    peer.read(1)
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0, server.describe())
            events = [line for line in server.err.split("\n") if " event=" in line]
            closed = [line for line in events if " event=closed " in line]
            self.assertEqual(sorted(re.search(r"peer=(\S+)", line).group(1) for line in closed), sorted(names))
            self.assertIn(" event=stopped accepted=50 closed=50 open=0", events[-1])

    def test_stderr_that_nobody_reads(self):
        """Events are dropped then; the server goes on, and ends when it is told to."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "echo.sock")
        reader, writer = os.pipe()
        try:
            os.set_blocking(writer, False)
            with contextlib.suppress(BlockingIOError):
                while os.write(writer, b"x" * 4096):
                    pass
            os.set_blocking(writer, True)
            argv = [BIN, "serve", "--quiet", "--workers", "1", "--log-level", "debug", "echo=unix://" + path]
            with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=writer) as server:
                self.addCleanup(server.kill)
                wait_until(lambda: answers(path), lambda: "the socket of " + path)
                for _ in range(200):
                    self.assertTrue(answers(path))
                server.send_signal(signal.SIGTERM)
                self.assertEqual(server.wait(PATIENCE), 0)
        finally:
            os.close(reader)
            os.close(writer)

    def test_json_format(self):
        import json
        with serve("echo", options=("--log-format", "json")) as server:
            with server.connect() as peer:
                peer.send("x")
                peer.read(1)
            server.wait_text("closed", name="err")
            server.stop()
            events = [json.loads(line) for line in server.err.split("\n") if line.startswith("{")]
            closed = [event for event in events if "closed" in event.values()]
            self.assertEqual(len(closed), 1, server.err)
            self.assertEqual((closed[0]["service"], closed[0]["in"], closed[0]["out"]), ("echo", 1, 1))

    def test_level_hides(self):
        with serve("echo", options=("--log-level", "error")) as server:
            with server.connect() as peer:
                peer.send("x")
                peer.read(1)
            server.stop()
            self.assertNotIn("closed", server.err)

    def test_refused_over_max_conns(self):
        with serve("echo", options=("--max-conns", "1")) as server, server.connect() as first:
            first.send("x")
            first.read(1)
            with server.connect() as second:
                self.assertEqual(second.gone(), b"")
            server.wait_text("max_conns", name="err")
            first.send("y")
            self.assertEqual(first.read(1), b"y")


if __name__ == "__main__":
    main()
