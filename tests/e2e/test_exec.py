# SPDX-License-Identifier: MIT
"""`coracle serve exec`: a process per connection. What such processes may do to a server is attack D7."""
import itertools
import os
import re
import shutil
import tempfile

from harness import Case, Peer, each_server, main, run_coracle, serve, wait_until

ENVIRONMENT = ("sh", "-c", "env")
TRIES = 3  # on a machine with other work
# Says what it read when its input has ended, so that a half-close has to arrive, and its answer after that.
COUNT = ("sh", "-c", "read first; echo got $first; wc -c")


class Streams(Case):
    @each_server("exec", options=("--quiet",), program=COUNT)
    def test_half_close(self, server):
        with server.connect("exec") as peer:
            peer.send("one\n")
            self.assertEqual(peer.line(), b"got one\n")
            peer.send(b"x" * 100000)
            peer.half_close()
            self.assertEqual(peer.read_all().strip(), b"100000")
        server.wait_text("reason=eof in=100004", name="err")
        self.assertIn("exit=0", server.err)

    @each_server("exec", options=("--quiet",), program=("sh", "-c", "echo over; exec >&-; cat >&2; exit 3"))
    def test_it_closes_its_output(self, server):
        """The client reads the end, and is read from on."""
        with server.connect("exec") as peer:
            self.assertEqual(peer.read_all(), b"over\n")
            peer.send("still here\n")
            server.wait_text('line="still here"', name="err")
            peer.half_close()
            server.wait_text("reason=exec_exit", name="err")
        self.assertIn("exit=3", server.err)

    @each_server("exec", options=("--quiet",), program=("sh", "-c", "exec <&-; echo deaf; sleep 0.05; echo over"))
    def test_it_closes_its_input(self, server):
        """What comes is dropped, and its answers arrive."""
        with server.connect("exec") as peer:
            self.assertEqual(peer.line(), b"deaf\n")
            for _ in range(64):
                peer.send(b"y" * 4096)
            self.assertEqual(peer.read_all(), b"over\n")

    @each_server("exec", options=("--quiet", "--exec-grace", "10m"), program=("sh", "-c", "cat; kill -9 $$"))
    def test_killed(self, server):
        with server.connect("exec") as peer:
            peer.send("last words")
            peer.half_close()
            self.assertEqual(peer.read_all(), b"last words")
        server.wait_text("reason=exec_exit in=10 out=10", name="err")
        self.assertIn("signal=9", server.err)

    @each_server("exec", options=("--quiet",), program=("sh", "-c", r"head -c 3000000 /dev/zero"))
    def test_much(self, server):
        """All of the output arrives, also what is in the pipe when it ends, to a client that takes its time."""
        with server.connect("exec") as peer:
            server.wait_text("listening")
            self.assertEqual(len(peer.read_all()), 3000000)

    def test_a_public_address_is_pointed_at(self):
        for address, public in ("127.0.0.1:0", False), ("@coracle-%d" % os.getpid(), False), ("0.0.0.0:0", True):
            with serve("exec=" + ("unix://" + address if address[0] == "@" else address), program=COUNT) as server:
                server.stop()
                self.assertEqual("event=exec_public local=" in server.err, public, server.describe())

    def test_stderr(self):
        """Lines become events; control characters are shown, not sent; long lines are cut."""
        script = r"""printf 'a\033[31mred\n' >&2; printf 'no end' >&2; exec 2>&-; cat"""
        with serve("exec", options=("--quiet",), program=("sh", "-c", script)) as server, \
                server.connect("exec") as peer:
            server.wait_text('line="no end"', name="err")
            self.assertIn("red", server.err)
            self.assertNotIn("\033", server.err)
            peer.half_close()
            self.assertEqual(peer.read_all(), b"")


class Environment(Case):
    def test_tcp(self):
        """UCSPI's names for the addresses; nothing that only the server should have."""
        ours = {"NOTIFY_SOCKET": "/none", "LISTEN_FDS": "1", "TCPREMOTEIP": "forged", "TCPREMOTEINFO": "forged",
                "CORACLE_CONN": "forged", "KEPT": "yes"}
        with serve("exec", options=("--quiet",), env=ours, program=ENVIRONMENT) as server:
            with server.connect("exec") as peer:
                host, port = peer.sock.getsockname()
                names = dict(line.split("=", 1) for line in peer.read_all().decode().splitlines())
            self.assertEqual({name: names.get(name) for name in (
                "PROTO", "TCPLOCALIP", "TCPLOCALPORT", "TCPREMOTEIP", "TCPREMOTEPORT", "KEPT", "CORACLE_CONN")}, {
                    "PROTO": "TCP", "TCPLOCALIP": "127.0.0.1", "TCPLOCALPORT": str(server.address("exec")[1]),
                    "TCPREMOTEIP": host, "TCPREMOTEPORT": str(port), "KEPT": "yes",
                    "CORACLE_CONN": "%d.1" % server.pid})
            self.assertEqual({"NOTIFY_SOCKET", "LISTEN_FDS", "TCPREMOTEINFO"} & set(names), set())

    def test_unix(self):
        with tempfile.TemporaryDirectory(prefix="coracle-") as folder:
            path = os.path.join(folder, "exec.sock")
            with serve("exec=unix://" + path, options=("--quiet",), program=ENVIRONMENT) as server, \
                    server.connect("exec") as peer:
                names = dict(line.split("=", 1) for line in peer.read_all().decode().splitlines())
            self.assertEqual({name: value for name, value in names.items() if name.startswith(("PROTO", "UNIX"))}, {
                "PROTO": "UNIX", "UNIXLOCALPATH": path, "UNIXREMOTEPID": str(os.getpid()),
                "UNIXREMOTEEUID": str(os.geteuid()), "UNIXREMOTEEGID": str(os.getegid())})


class Ends(Case):
    def test_idle(self):
        """Silence in both directions ends it."""
        with serve("exec", options=("--quiet", "--idle-timeout", "100ms", "--exec-grace", "10m"),
                   program=("sleep", "1000")) as server, server.connect("exec") as peer:
            peer.send("x")
            self.assertEqual(peer.gone(), b"")
            # The start of the process counts, and may take that long on a busy machine.
            server.wait_text(re.compile("reason=(idle in=1|first_byte_timeout in=0) "), name="err")
            self.assertIn("signal=15", server.err)

    def test_idle_after_its_end(self):
        """A client that has ended its stream waits for an answer as long as others do."""
        for poller, workers in itertools.product(("epoll", "io_uring"), (1, 2)):
            with self.subTest(poller=poller, workers=workers), \
                    serve("exec", options=("--quiet", "--poller", poller, "--idle-timeout", "300ms"), workers=workers,
                          program=("sleep", "1000")) as server, server.connect("exec") as peer:
                peer.half_close()
                self.assertEqual(peer.gone(), b"")
                server.wait_text(re.compile("reason=(idle|first_byte_timeout) in=0 out=0 .*signal=15"), name="err")

    def test_a_program_that_talks_after_its_clients_end_is_not_idle(self):
        script = "cat; for i in $(seq 25); do echo $i; sleep 0.1; done"
        for left in reversed(range(TRIES)):
            with serve("exec", options=("--quiet", "--idle-timeout", "2s"),
                       program=("sh", "-c", script)) as server, server.connect("exec") as peer:
                peer.half_close()
                talk = peer.read_all().split()
                server.wait_text("event=closed", name="err")
            if "reason=eof" in server.err or not left:
                break
        self.assertEqual(talk, [b"%d" % i for i in range(1, 26)])

    def test_a_program_that_talks_is_not_idle(self):
        script = "for i in $(seq 25); do echo $i; sleep 0.1; done"
        for left in reversed(range(TRIES)):
            with serve("exec", options=("--quiet", "--idle-timeout", "2s"),
                       program=("sh", "-c", script)) as server, server.connect("exec") as peer:
                talk = peer.read_all().split()
                server.wait_text("event=closed", name="err")
            if "reason=exec_exit" in server.err or not left:
                break
        self.assertEqual(talk, [b"%d" % i for i in range(1, 26)])

    def test_nothing_to_start(self):
        """A program that cannot be started costs its clients, not the server."""
        with tempfile.TemporaryDirectory(prefix="coracle-") as folder:
            path = os.path.join(folder, "cat")
            shutil.copy(shutil.which("cat"), path)
            with serve("exec", options=("--quiet",), program=(path,)) as server:
                os.unlink(path)
                with server.connect("exec") as peer:
                    self.assertEqual(peer.gone(), b"")
                server.wait_text('reason=internal in=0 out=0', name="err")
                self.assertIn('error="no such file or directory"', server.err)
                shutil.copy(shutil.which("cat"), path)
                with server.connect("exec") as peer:
                    peer.half_close()
                    self.assertEqual(peer.read_all(), b"")
                self.assertTrue(server.alive())

    def test_kicked(self):
        with tempfile.TemporaryDirectory(prefix="coracle-") as folder:
            admin = os.path.join(folder, "admin.sock")
            with serve("exec", options=("--quiet", "--admin", "unix://" + admin),
                       program=("sh", "-c", "echo $$; exec cat")) as server, server.connect("exec") as peer:
                pid = int(peer.line())
                with Peer(admin) as operator:
                    operator.send("GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
                    self.assertIn(b"\ncoracle_exec_running 1\n", operator.read_all())
                with Peer(admin) as operator:
                    operator.send("POST /kick?id=1 HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
                    self.assertIn(b"kicked 1", operator.read_all())
                self.assertEqual(peer.gone(), b"")
                wait_until(lambda: not os.path.exists("/proc/%d" % pid), "the end of the process")
                server.wait_text("reason=kicked", name="err")
                with Peer(admin) as operator:
                    operator.send("GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
                    metrics = operator.read_all()
                self.assertIn(b"\ncoracle_exec_running 0\n", metrics)
                kinds = [line.split(b"kind=")[1] for line in metrics.splitlines() if b"exits_total{" in line]
                # Its input has ended as well: it may have gone before the signal came.
                self.assertIn(sorted(kinds), ([b'"exited"} 0', b'"exited_0"} %d' % (1 - killed),
                                               b'"killed"} %d' % killed, b'"not_started"} 0'] for killed in (0, 1)))

    def kicked_in_silence(self, poller, workers, prepare):
        """The process takes nothing and says nothing: neither copy would notice."""
        with tempfile.TemporaryDirectory(prefix="coracle-") as folder:
            admin = os.path.join(folder, "admin.sock")
            with serve("exec", options=("--quiet", "--poller", poller, "--admin", "unix://" + admin), workers=workers,
                       program=("sh", "-c", "echo $$; exec sleep 1000")) as server, server.connect("exec") as peer:
                pid = int(peer.line())
                prepare(peer)
                with Peer(admin) as operator:
                    operator.send("POST /kick?id=1 HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
                    self.assertIn(b"kicked 1", operator.read_all())
                wait_until(lambda: not os.path.exists("/proc/%d" % pid), "the end of the process")
                server.wait_text(re.compile("reason=kicked .*signal=15"), name="err")

    def test_kicked_in_silence(self):
        def send_much(peer):
            peer.send(b"x" * 256 * 1024)

        for poller, workers, prepare in itertools.product(("epoll", "io_uring"), (1, 2), (send_much, Peer.half_close)):
            with self.subTest(poller=poller, workers=workers, prepare=prepare.__name__):
                self.kicked_in_silence(poller, workers, prepare)


class CommandLine(Case):
    def refuses(self, code, words, *argv):
        program = run_coracle("serve", *argv)
        self.assertEqual(program.code, code, program.describe())
        self.assertIn(words, program.err)

    def test_mistakes(self):
        self.refuses(2, "exec needs a program, as in exec=ADDRESS -- PROGRAM", "exec=127.0.0.1:0")
        self.refuses(2, "exec needs a program", "exec=127.0.0.1:0", "--")
        self.refuses(78, "exec: /no/such/program: no such file", "exec=127.0.0.1:0", "--", "/no/such/program")
        self.refuses(78, "exec: /: ", "exec=127.0.0.1:0", "--", "/")
        self.refuses(78, "exec does not serve udp", "exec=udp://127.0.0.1:0", "--", "cat")
        hint = "unknown service 'cat'; to run it for each connection: exec=ADDRESS -- cat\n"
        self.refuses(2, hint, "echo=127.0.0.1:0", "--", "cat")
        self.refuses(2, hint, "--", "cat")
        self.refuses(2, hint, "exec=127.0.0.1:0", "cat")
        self.refuses(2, "did you mean 'echo'", "ehco=127.0.0.1:0", "exec=127.0.0.1:0", "--", "cat")

    def test_options_of_the_program(self):
        """What follows `--` is not looked at; what stands before is, wherever."""
        with serve("exec", "echo", options=("--quiet",), program=("echo", "--quiet", "-x", "--", "exec=1")) as server, \
                server.connect("exec") as peer:
            self.assertEqual(peer.read_all(), b"--quiet -x -- exec=1\n")
        self.assertIn("echo", server.addresses)

    def test_two_addresses(self):
        with serve("exec=127.0.0.1:0", "exec=127.0.0.1:0", options=("--quiet",), program=("echo", "x")) as server:
            ports = server.listening_ports()
            self.assertEqual(len(ports), 2)
            for port in ports:
                with Peer(("127.0.0.1", port)) as peer:
                    self.assertEqual(peer.read_all(), b"x\n")


if __name__ == "__main__":
    main()
