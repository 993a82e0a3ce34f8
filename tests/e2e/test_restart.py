# SPDX-License-Identifier: MIT
"""SIGUSR2: a successor takes over the sockets of `coracle serve`, or does not and nothing has happened."""
import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile

from harness import BIN, Case, Peer, Server, gone, main, need_admin, run_coracle, split_address, wait_until
from slowness import held_up
from test_systemd import Manager, need_systemd

EACH = tuple(itertools.product(("epoll", "io_uring"), (1, 2)))
READY = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Restart(Case):
    @contextlib.contextmanager
    def server(self, *words, program=BIN, env=None, before=()):
        with Server([*before, program, "serve", "--quiet", *words], env=env) as server:
            server.wait_text(re.compile(r"^listening \S+ \S+ \S+$", re.M))
            yield server

    def take_over(self, server, pid=None, count=1):
        """Has it taken over; gives the successor's process id."""
        os.kill(pid or server.pid, signal.SIGUSR2)
        server.wait_text("event=taken_over ", count=count, name="err", seconds=60)
        return int(re.findall(r"event=taken_over pid=(\d+)", server.err)[-1])

    def address(self, server):
        return split_address(re.findall(r"^listening echo tcp (\S+)$", server.out, re.M)[-1])

    def echo(self, peer):
        peer.send("x")
        self.assertEqual(peer.read(1), b"x")

    def is_ready(self, admin):
        with Peer(admin) as peer:
            peer.send(READY)
            self.assertRegex(peer.gone(), rb"\AHTTP/1.1 200 ")

    def test_clients_stay_and_new_ones_are_the_successors(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    self.server("--poller", poller, "--workers", str(workers), "--grace", "60s",
                                "echo=127.0.0.1:0") as server:
                address = self.address(server)
                with Peer(address) as old:
                    self.echo(old)
                    successor = self.take_over(server)
                    self.assertEqual(self.address(server), address)
                    wait_until(lambda s=server: not s.listening_ports(), "the old one to accept nobody any more")
                    with Peer(address) as new:
                        self.echo(new)
                        self.echo(old)
                        self.assertTrue(server.alive())
                        old.close()
                        self.assertEqual(server.process.wait(20), 0)
                        self.echo(new)
                os.kill(successor, signal.SIGTERM)
                wait_until(lambda pid=successor: gone(pid), "the end of the successor")
                self.assertEqual(server.wait(), 0)
                self.assertEqual(re.findall(r"event=stopped (.*)", server.err), ["accepted=1 closed=1 open=0"] * 2)

    def test_idle_clients_leave_in_the_end(self):
        with self.server("--grace", "1s", "echo=127.0.0.1:0") as server, Peer(self.address(server)) as old:
            self.echo(old)
            self.take_over(server)
            self.assertEqual(old.read_all(), b"")
            self.assertEqual(server.process.wait(20), 0)

    def test_files_datagrams_and_the_status_server(self):
        version = subprocess.run([BIN, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
        admin = "admin: on" in version
        with tempfile.TemporaryDirectory() as folder:
            path, status = os.path.join(folder, "x"), os.path.join(folder, "admin")
            options = ("--admin", "unix://" + status) if admin else ()
            with self.server("--grace", "1s", *options, "random=unix://" + path, "echo=udp://127.0.0.1:0") as server:
                server.wait_text("listening echo udp")
                successor = self.take_over(server)
                self.assertEqual(server.process.wait(20), 0)
                with Peer(path) as peer:
                    peer.send("\n")
                    self.assertRegex(peer.line(), rb"\A\d+\n\Z")
                if admin:
                    told = run_coracle("status", "-f", "json", "unix://" + status)
                    self.assertEqual(told.code, 0, told.describe())
                os.kill(successor, signal.SIGTERM)
                wait_until(lambda: gone(successor), "the end of the successor")
                self.assertEqual(os.listdir(folder), [])

    def test_a_successor_that_does_not_come(self):
        """The program's file is another one by now, or is not there: the old one serves on; then a good one comes."""
        with tempfile.TemporaryDirectory() as folder:
            program, aside = os.path.join(folder, "coracle"), os.path.join(folder, "aside")
            shutil.copy(BIN, program)
            with self.server("echo=127.0.0.1:0", program=program) as server, Peer(self.address(server)) as peer:
                os.rename(program, aside)
                server.signal(signal.SIGUSR2)
                server.wait_text("event=restart_failed error=\"no such file or directory\"", name="err")
                with open(program, "w", encoding="ascii") as script:
                    script.write("#!/bin/sh\nexit 7\n")
                os.chmod(program, 0o755)
                server.signal(signal.SIGUSR2)
                server.wait_text("event=restart_failed error=\"the new process has exited with 7\"", name="err")
                self.echo(peer)
                os.rename(aside, program)
                self.take_over(server)
                self.echo(peer)

    def test_a_failure_is_told_when_it_is_over(self):
        """Who reads of it and sends the signal again at once is heard, however long it takes to clear up behind it."""
        slowly = held_up("close", 30)
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "coracle")
            shutil.copy(BIN, program)
            with self.server("echo=127.0.0.1:0", program=program, before=slowly) as server:
                os.unlink(program)
                for count in range(1, 6):
                    server.signal(signal.SIGUSR2)
                    server.wait_text("event=restart_failed", name="err", count=count)

    def test_a_takeover_is_told_when_it_has_happened(self):
        """Who reads of it finds that the old one lets nobody in and answers nobody, least of all that it ends."""
        need_admin()
        for workers in (1, 2):
            with self.subTest(workers=workers), \
                    self.server("--workers", str(workers), "--grace", "60s", "--admin", "127.0.0.1:0",
                                "echo=127.0.0.1:0", before=held_up("close", 30)) as server:
                server.wait_text("listening admin tcp ")
                admin = split_address(re.search(r"^listening admin tcp (\S+)$", server.out, re.M).group(1))
                with Peer(self.address(server)) as stays, Peer(admin) as early:
                    self.echo(stays)  # so the old one is still there to be looked at
                    self.is_ready(admin)  # so the one before it has been accepted
                    self.take_over(server)
                    self.assertEqual(server.listening_ports(), [])
                    with contextlib.suppress(ConnectionError):
                        early.send(READY)
                    self.assertEqual(early.gone(), b"")
                self.is_ready(admin)

    def test_a_signal_in_the_middle(self):
        """When the successor says that it serves, and when the old one does. Either the server ends, and the successor
        with it; or that has taken over, and has the file of the unix socket."""
        need_systemd()
        for moment in ("STATUS", "MAINPID"):
            with self.subTest(moment=moment), tempfile.TemporaryDirectory() as folder, Manager() as manager:
                path = os.path.join(folder, "x")
                with self.server("--grace", "1s", "echo=unix://" + path, env=manager.env,
                                 before=held_up("close", 30)) as server:
                    manager.wait_for("READY")
                    server.signal(signal.SIGUSR2)
                    manager.wait_for(moment)
                    server.signal(signal.SIGTERM)
                    code = server.process.wait(20)
                    if code not in (128 + signal.SIGTERM, -signal.SIGTERM):  # else it was leaving by itself already
                        self.assertEqual(code, 0)
                        server.wait_text("event=stopped ", name="err")
                    if "event=stopping " in server.err:
                        self.assertEqual((moment, code), ("STATUS", 0), server.describe())
                        successor = int(re.search(r"event=restarting pid=(\d+)", server.err).group(1))
                        wait_until(lambda pid=successor: gone(pid), "the end of the successor")
                        self.assertEqual(os.listdir(folder), [])
                    else:
                        with Peer(path) as peer:
                            self.echo(peer)

    def test_a_reload_meanwhile(self):
        """The successor has read the first of its lists by then; it reads them again."""
        with tempfile.TemporaryDirectory() as folder:
            first, last, gate = (os.path.join(folder, name) for name in ("first", "last", "gate"))

            def put(path, text):
                with open(path + ".new", "w", encoding="ascii") as file:
                    file.write(text)
                os.rename(path + ".new", path)

            def begin_to_write():
                with contextlib.suppress(OSError):  # nobody reads it yet
                    return os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
            put(first, "127.0.0.0/8\n")
            put(last, "")
            with self.server("--allow", "@" + first, "--deny", "@" + last, "echo=127.0.0.1:0") as server:
                os.mkfifo(gate)
                os.link(gate, last + ".new")
                os.rename(last + ".new", last)
                server.signal(signal.SIGUSR2)
                writing = wait_until(begin_to_write, "the successor to come to its last list")
                put(last, "")
                put(first, "10.0.0.0/8\n")
                server.signal(signal.SIGHUP)
                server.wait_text("event=reloaded ", name="err")
                os.close(writing)
                server.wait_text("event=taken_over ", name="err")
                server.wait_text("event=reloaded ", count=2, name="err")
                with Peer(self.address(server)) as peer:
                    self.assertEqual(peer.gone(), b"")
                server.wait_text("reason=denied", name="err")

    def test_the_manager_hears_of_the_new_main_process(self):
        need_systemd()
        with Manager() as manager, self.server("--grace", "1s", "echo=127.0.0.1:0", env=manager.env) as server:
            manager.wait_for("READY")
            successor = self.take_over(server)
            self.assertEqual(manager.wait_for("MAINPID")["MAINPID"], str(successor))
            self.assertEqual(server.process.wait(20), 0)
            os.kill(successor, signal.SIGTERM)
            manager.wait_for("STOPPING")  # of the new one only

    def test_what_cannot_be_handed_over(self):
        with tempfile.TemporaryDirectory() as folder, \
                self.server("echo=unixgram://" + os.path.join(folder, "x")) as server:
            server.signal(signal.SIGUSR2)
            server.wait_text("event=restart_failed", name="err")
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0, server.describe())


class LameDuck(Case):
    def test_ends_are_spread(self):
        """Never sooner than planned: half of the clients are there for half of the time."""
        for poller, workers in EACH[::3]:
            with self.subTest(poller=poller, workers=workers), \
                    Server([BIN, "serve", "--quiet", "--poller", poller, "--workers", str(workers), "--lame-duck", "1s",
                            "echo=127.0.0.1:0"]) as server:
                server.wait_text(re.compile(r"^listening \S+ \S+ \S+$", re.M))
                address = split_address(re.search(r"^listening echo tcp (\S+)$", server.out, re.M).group(1))
                peers = [Peer(address) for _ in range(40)]
                for peer in peers:
                    peer.send("x")
                    self.assertEqual(peer.read(1), b"x")
                server.signal(signal.SIGTERM)
                for peer in peers:
                    self.assertEqual(peer.read_all(), b"")
                    peer.close()
                self.assertEqual(server.wait(), 0, server.describe())
                lived = sorted(int(ms) for ms in re.findall(r"event=closed .* ms=(\d+)", server.err))
                self.assertEqual(len(lived), 40)
                self.assertGreaterEqual(lived[20], 400)
                self.assertGreaterEqual(lived[-1], 900)
                self.assertEqual(set(re.findall(r" reason=(\w+)", server.err)), {"drain"})

    def test_a_second_signal_ends_it(self):
        with Server([BIN, "serve", "--quiet", "--lame-duck", "10m", "echo=127.0.0.1:0"]) as server:
            server.wait_text(re.compile(r"^listening \S+ \S+ \S+$", re.M))
            address = split_address(re.search(r"^listening echo tcp (\S+)$", server.out, re.M).group(1))
            with Peer(address) as peer:
                peer.send("x")
                self.assertEqual(peer.read(1), b"x")
                server.signal(signal.SIGTERM)
                server.wait_text("event=stopping", name="err")
                peer.send("y")
                self.assertEqual(peer.read(1), b"y")
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
