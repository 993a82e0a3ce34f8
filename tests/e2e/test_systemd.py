# SPDX-License-Identifier: MIT
"""`coracle serve` and systemd: sockets that it is given, what it tells, the signs of life, its units."""
import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from harness import (BIN, PATIENCE, SOURCE, Case, Peer, Program, Server, main, need_admin, need_tool, run_coracle,
                     serve, split_address)

POLLERS = ("epoll", "io_uring")
# Gives itself the sockets as systemd does: from descriptor 3 on, with its own process id.
START = """import fcntl, os, sys
fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 64) for fd in sys.argv[1].split(",") if fd]
for at, fd in enumerate(fds):
    os.dup2(fd, 3 + at)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


def need_systemd():
    version = subprocess.run([BIN, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    if "systemd: off" in version:
        raise unittest.SkipTest("built without libsystemd")


def activated(sockets, *words, names=None, env=None, cls=Server):
    """Starts `coracle serve WORDS` with these sockets, [(name, socket)]."""
    fds = tuple(one.fileno() for _, one in sockets)
    names = ":".join(name for name, _ in sockets) if names is None else names
    return cls([sys.executable, "-c", START, ",".join(map(str, fds)), names, BIN, "serve", *words], env=env, fds=fds)


def tcp():
    return socket.create_server(("127.0.0.1", 0))


def refused(sockets, *words, **more):
    """Runs it to its end; gives code and stderr."""
    with activated(sockets, *words, cls=Program, **more) as program:
        code = program.wait()
        return code, program.err


class Manager:
    """Stands for systemd: gets what the service says on NOTIFY_SOCKET."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.path = os.path.join(self.folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.env = {"NOTIFY_SOCKET": self.path}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        shutil.rmtree(self.folder)

    def next(self, seconds=PATIENCE):
        """The next message as a dict; None after so many seconds without one."""
        self.socket.settimeout(seconds)
        try:
            text = self.socket.recv(4096).decode()
        except TimeoutError:
            return None
        return dict(line.split("=", 1) for line in text.splitlines())

    def wait_for(self, key):
        """The next message that has the key; what comes before it is passed over."""
        while True:
            message = self.next()
            if message is None:
                raise AssertionError("no %s from the service" % key)
            if key in message:
                return message


class Sockets(Case):
    def setUp(self):
        need_systemd()

    def test_streams_unix_and_datagrams(self):
        """By name; an address on the command line is not looked at; what has come before the start is served."""
        for poller in POLLERS:
            with self.subTest(poller=poller), tempfile.TemporaryDirectory() as folder, tcp() as stream, \
                    socket.socket(socket.AF_UNIX) as local, \
                    socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
                path = os.path.join(folder, "x")
                local.bind(path)
                local.listen()
                packets.bind(("127.0.0.1", 0))
                with Peer(stream.getsockname()) as early:
                    early.send("early")
                    sockets = [("random", local), ("echo", stream), ("echo", packets)]
                    with activated(sockets, "--quiet", "--poller", poller, "echo=127.0.0.1:1",
                                   "echo=udp://127.0.0.1:1", "random=127.0.0.1:1") as server:
                        self.assertEqual(early.read(5), b"early")
                        with Peer(path) as peer:
                            peer.send("\n")
                            self.assertRegex(peer.line(), rb"\A\d+\n\Z")
                        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                            client.settimeout(PATIENCE)
                            client.sendto(b"packet", packets.getsockname())
                            self.assertEqual(client.recv(100), b"packet")
                        server.signal(signal.SIGTERM)
                        self.assertEqual(server.wait(), 0, server.describe())
                        self.assertIn("listening echo tcp 127.0.0.1:%d\n" % stream.getsockname()[1], server.out)
                        self.assertIn("listening random unix %s\n" % path, server.out)
                        self.assertIn("listening echo udp ", server.out)
                        self.assertTrue(os.path.exists(path), "systemd's file was removed")

    def test_only_what_the_sockets_are_named_after(self):
        with tcp() as stream, activated([("echo", stream)], "--quiet") as server:
            with Peer(stream.getsockname()) as peer:
                peer.send("x")
                self.assertEqual(peer.read(1), b"x")
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0, server.describe())
            self.assertEqual(server.out.count("listening "), 1)

    def test_without_names_in_order(self):
        with tcp() as first, tcp() as second, \
                activated([("a.socket", first), ("a.socket", second)], "--quiet", "greet", "echo") as server:
            with Peer(second.getsockname()) as peer:
                peer.send("x")
                self.assertEqual(peer.read(1), b"x")
            with Peer(first.getsockname()) as peer:
                self.assertEqual(peer.line(), b"Let's GO!\n")
            self.assertTrue(server.alive())

    def test_what_has_no_place(self):
        with tcp() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets, \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local, \
                socket.socket() as silent, open(os.devnull, "rb") as file:
            packets.bind(("127.0.0.1", 0))
            silent.bind(("127.0.0.1", 0))
            for sockets, words, wanted in (
                    ([("what", stream), ("what", stream)], ["echo"], "socket 'what': there is no service for it"),
                    ([("admin", stream)], [], "socket 'admin': --admin is not given"),
                    ([("ack", packets)], [], "ack does not serve udp"),
                    ([("echo", local)], [], "socket 'echo': neither tcp, udp nor a unix stream"),
                    ([("echo", file)], [], "socket 'echo': neither tcp, udp nor a unix stream"),
                    ([("echo", silent)], [], "listen tcp descriptor 3: invalid argument")):
                with self.subTest(wanted=wanted):
                    code, err = refused(sockets, *words)
                    self.assertEqual(code, 78, err)
                    self.assertIn(wanted, err)

    def test_the_status_server(self):
        need_admin()
        with tcp() as admin, tcp() as echo, activated([("admin", admin), ("echo", echo)], "--admin", "7070") as server:
            server.wait_text("listening admin tcp 127.0.0.1:%d" % admin.getsockname()[1])
            status = run_coracle("status", "-f", "json", "127.0.0.1:%d" % admin.getsockname()[1])
            self.assertEqual(status.code, 0, status.describe())

    def test_by_systemd_itself(self):
        tool = shutil.which("systemd-socket-activate")
        if not tool:
            self.skipTest("systemd-socket-activate is not installed")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x")
            with Program([tool, "--listen", path, "--fdname", "echo", BIN, "serve", "--quiet"]) as program:
                program.wait_text("Listening on", name="err")
                with Peer(path) as peer:
                    peer.send("x")
                    self.assertEqual(peer.read(1), b"x")
                program.signal(signal.SIGTERM)
                self.assertEqual(program.wait(), 0, program.describe())


class Notify(Case):
    def setUp(self):
        need_systemd()

    def test_what_is_told(self):
        """READY when clients are served, RELOADING and READY at a SIGHUP, STOPPING at the end."""
        for poller in POLLERS:
            with self.subTest(poller=poller), Manager() as manager, \
                    Server([BIN, "serve", "--poller", poller, "echo=127.0.0.1:0"], env=manager.env) as server:
                ready = manager.next()
                self.assertEqual(ready, {"READY": "1", "STATUS": "Serving on 1 address"})
                server.wait_text(re.compile(r"^listening echo tcp \S+$", re.M))
                address = split_address(re.search(r"listening echo tcp (\S+)", server.out).group(1))
                with Peer(address) as peer:
                    peer.send("x")
                    self.assertEqual(peer.read(1), b"x")
                server.signal(signal.SIGHUP)
                reloading = manager.next()
                self.assertEqual(reloading["RELOADING"], "1")
                self.assertGreater(int(reloading["MONOTONIC_USEC"]), 0)
                self.assertEqual(manager.next()["READY"], "1")
                server.wait_text("event=closed", name="err")
                server.signal(signal.SIGTERM)
                self.assertEqual(manager.next(), {"STOPPING": "1", "STATUS": "Ending 0 connections"})
                self.assertEqual(server.wait(), 0, server.describe())

    def test_nobody_listens(self):
        """The manager has gone: that is said, and serving goes on."""
        with serve("echo", env={"NOTIFY_SOCKET": "/nowhere/notify"}) as server, server.connect() as peer:
            server.wait_text("event=notify_failed", name="err")
            peer.send("x")
            self.assertEqual(peer.read(1), b"x")

    def test_signs_of_life(self):
        """They come while all workers do, and end when one thread of them is held."""
        env = {"WATCHDOG_USEC": "150000"}
        for poller, which in zip(POLLERS, (0, 1)):
            with self.subTest(poller=poller), Manager() as manager, \
                    serve("echo", workers=2, options=("--poller", poller), env=dict(manager.env, **env)) as server:
                manager.wait_for("READY")
                manager.wait_for("WATCHDOG")
                with held(self.workers(server)[which]):
                    self.silence(manager)
                manager.wait_for("WATCHDOG")
                self.assertTrue(server.alive())

    def workers(self, server):
        """The threads that are the two workers: the first one, and the one that it has started next."""
        threads = sorted(int(name) for name in os.listdir("/proc/%d/task" % server.pid))
        return [threads[0], self.second_worker(server, threads)]

    def second_worker(self, server, threads):
        """The one that waits for events, as the first one does: by the system call it is in."""
        def call(thread):
            try:
                with open("/proc/%d/task/%d/syscall" % (server.pid, thread), encoding="ascii") as file:
                    return file.read().split()[0]
            except OSError as error:
                raise unittest.SkipTest("what a thread waits for is not to be seen: %s" % error) from None
        first = None
        for _ in range(10000):
            first = call(threads[0])
            others = [thread for thread in threads[1:] if call(thread) == first]
            if first != "running" and len(others) == 1:
                return others[0]
        self.fail("no thread waits as worker 0 does, which is in call " + first)

    def silence(self, manager):
        """Half a second without a sign of life, which is ten of them."""
        for _ in range(60):
            message = manager.next(0.5)
            if message is None:
                return
        self.fail("signs of life go on while a worker is held")


@contextlib.contextmanager
def held(thread):
    """Stops one thread of a child, by ptrace."""
    seize, interrupt, detach = 0x4206, 0x4207, 17
    libc = ctypes.CDLL(None, use_errno=True)

    def ptrace(what):
        if libc.ptrace(ctypes.c_long(what), ctypes.c_long(thread), None, None) != 0:
            raise unittest.SkipTest("ptrace: " + os.strerror(ctypes.get_errno()))
    ptrace(seize)
    ptrace(interrupt)
    os.waitpid(thread, 0x40000000)  # __WALL
    try:
        yield
    finally:
        ptrace(detach)


class Units(Case):
    def test_verify_and_exposure(self):
        tool = need_tool("systemd-analyze")
        with open(os.path.join(SOURCE, "packaging", "systemd", "coracle.service.in"), encoding="utf-8") as file:
            text = file.read().replace("@CMAKE_INSTALL_FULL_BINDIR@/coracle", BIN)
        with tempfile.TemporaryDirectory() as folder:
            service, listener = os.path.join(folder, "coracle.service"), os.path.join(folder, "coracle.socket")
            with open(service, "w", encoding="utf-8") as file:
                file.write(text)
            shutil.copy(os.path.join(SOURCE, "packaging", "systemd", "coracle.socket"), listener)
            verified = subprocess.run([tool, "verify", "--man=no", "--recursive-errors=no", service, listener],
                                      capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual((verified.returncode, verified.stderr), (0, ""))
            judged = subprocess.run([tool, "security", "--offline=yes", "--threshold=20", "--no-pager", service],
                                    capture_output=True, text=True, timeout=60, check=False)
            exposure = re.search(r"Overall exposure level for coracle.service: (\d+\.\d+)", judged.stdout)
            self.assertIsNotNone(exposure, judged.stdout[-500:] + judged.stderr)
            print("exposure", exposure.group(1))
            self.assertEqual(judged.returncode, 0, judged.stdout)
            self.assertLessEqual(float(exposure.group(1)), 2.0)


if __name__ == "__main__":
    main()
