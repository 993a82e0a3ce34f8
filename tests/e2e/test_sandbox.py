# SPDX-License-Identifier: MIT
"""`coracle serve --sandbox`: what it says, what goes on working inside it, what is refused, kernels that have less.

That strangers are kept out is attack F2 (tests/attack/sandbox.py)."""
import ctypes
import json
import os
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import unittest

from harness import WORKERS, Case, Peer, main, need_json, run_coracle, serve, split_address, wait_until
from test_systemd import Manager, activated, need_systemd, tcp

POLLERS = ("epoll", "io_uring")
EACH = [(poller, workers) for poller in POLLERS for workers in WORKERS]
# The search for leaks traces its own process in the end.
ENV = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
ENOSYS = 38


def number_of(call):
    """By the C compiler's header: numbers differ from CPU to CPU."""
    text = subprocess.run(("cc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", os.devnull), capture_output=True,
                          text=True, check=True).stdout
    return int(re.search(r"#define __NR_%s (\d+)" % call, text).group(1))


def without(*calls):
    """For a child: the kernel says that it has none of these calls."""
    numbers = [number_of(call) for call in calls]

    def preexec():
        code = [(0x20, 0, 0, 0)]  # the number
        for number in numbers:
            code += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | ENOSYS)]
        code.append((0x06, 0, 0, 0x7FFF0000))  # allow
        text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
        program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(text)))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
            raise OSError(ctypes.get_errno(), "seccomp")
    return preexec


def setUpModule():
    if "sandbox: on" not in run_coracle("--version").out:
        raise unittest.SkipTest("built without libseccomp")
    with sandboxed("echo") as server:
        landlock = int(re.search(r"event=sandbox\w+ landlock=(\d+)", server.err).group(1))
    if landlock < 6:
        raise unittest.SkipTest("this kernel's Landlock is version %d, and all of it is tested" % landlock)


def sandboxed(*services, workers=1, options=(), env=None, **more):
    server = serve(*services, workers=workers, options=("--sandbox", "on", *options), env=dict(ENV, **(env or {})),
                   **more)
    server.wait_text("event=sandbox", name="err")
    return server


def echoes(address, text="x"):
    with Peer(address) as peer:
        peer.send(text)
        return peer.read(len(text)) == text.encode()


class Options(Case):
    def test_off_unless_asked_for(self):
        self.assertIn("\nsandbox=off\n", run_coracle("serve", "--dump-config").out)
        self.assertIn("\nsandbox=strict\n", run_coracle("serve", "--dump-config", "--sandbox=strict").out)
        with serve("echo") as server:
            self.assertTrue(echoes(server.address()))
            self.assertEqual(self.seccomp(server), {"0"})
            self.assertNotIn("event=sandbox", server.err)
        done = run_coracle("serve", "--sandbox", "maybe", "echo=127.0.0.1:0")
        self.assertEqual(done.code, 2)
        self.assertIn("--sandbox: 'maybe' is not off, on or strict", done.err)

    @staticmethod
    def seccomp(server):
        found = set()
        for thread in os.listdir("/proc/%d/task" % server.pid):
            with open("/proc/%d/task/%s/status" % (server.pid, thread), encoding="ascii") as status:
                found.add(re.search(r"^Seccomp:\s*(\d)", status.read(), re.M).group(1))
        return found

    def test_all_threads_and_those_that_come(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), sandboxed(
                    "echo", workers=workers, options=("--poller", poller, "--sandbox", "strict")) as server:
                self.assertIn("event=sandboxed landlock=", server.err)
                self.assertIn(" seccomp=on\n", server.err)
                self.assertTrue(echoes(server.address()))
                server.signal(signal.SIGUSR1)  # a thread of the pool is started for it
                server.signal(signal.SIGHUP)
                server.wait_text("event=reloaded", name="err")
                self.assertEqual(self.seccomp(server), {"2"})

    def test_programs_are_refused(self):
        done = run_coracle("serve", "--sandbox=on", "exec=127.0.0.1:0", "--", "cat")
        self.assertEqual(done.code, 78, done.describe())
        self.assertIn("--sandbox: exec starts programs", done.err)

    def test_folders_with_secrets_are_refused(self):
        for words in (("--log-file", "/etc/coracle-test.log", "echo=127.0.0.1:0"), ("echo=unix:///coracle-test",),
                      ("--admin", "unix:///etc/coracle-test", "echo=127.0.0.1:0"),
                      ("--log-file", "coracle-test.log", "echo=127.0.0.1:0")):
            with self.subTest(words=words):
                done = run_coracle("serve", "--sandbox=on", *words, cwd="/")
                self.assertEqual(done.code, 78, done.describe())
                self.assertIn("give it a folder of its own", done.err)
                self.assertEqual(done.out, "")
        self.assertFalse(os.path.exists("/etc/coracle-test.log") or os.path.exists("/coracle-test.log"))

    def test_a_list_in_such_a_folder_by_a_link(self):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink("/etc/nothing/../hostname", folder + "/list")
            os.mkdir(folder + "/x")
            os.symlink("/etc", folder + "/x/etc")
            done = run_coracle("serve", "--sandbox=on", "--log-file", folder + "/x/etc/coracle-test.log",
                               "echo=127.0.0.1:0")
            self.assertEqual(done.code, 78, done.describe())
            self.assertIn("give it a folder of its own", done.err)


class Inside(Case):
    """All that a server does at work, and nothing of it is denied."""

    def test_a_whole_life(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), tempfile.TemporaryDirectory() as folder:
                self.live(folder, poller, workers)

    def live(self, folder, poller, workers):
        lists, logs, sockets = (os.path.join(folder, name) for name in ("lists", "logs", "sockets"))
        for name in (lists, logs, sockets):
            os.mkdir(name)
        log = os.path.join(logs, "log")
        self.replace(lists + "/allow", "127.0.0.0/8\n")
        options = ("--poller", poller, "--log-file", log, "--allow", "@" + lists + "/allow",
                   "--admin", "unix://" + sockets + "/admin", "--grace", "2s")
        with serve("echo", "ack=localhost:0", "random=udp://127.0.0.1:0", "greet=unix://" + sockets + "/greet",
                   "echo=unixgram://" + sockets + "/packets", "print", workers=workers,
                   options=("--sandbox", "strict", *options), env=ENV) as server:
            wait_until(lambda: "event=sandboxed " in self.read(log), "the event")
            addresses = dict(re.findall(r"^listening (\S+ \S+) (\S+)$", server.out, re.M))
            stream = split_address(addresses["echo tcp"])
            self.talk(server, addresses, stream, sockets)
            self.rotate(server, log)
            self.replace(lists + "/allow", "127.0.0.0/8\n10.0.0.0/8\n")
            server.signal(signal.SIGHUP)
            wait_until(lambda: "event=reloaded blocks=2" in self.read(log), "the lists")
            server.signal(signal.SIGQUIT)
            server.wait_text("SIGQUIT: all tasks", name="err")
            server.signal(signal.SIGUSR2)
            wait_until(lambda: "event=restart_failed" in self.read(log), "the refusal")
            self.assertTrue(echoes(stream))
            self.look(server, sockets, denied=0)
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0, server.describe())
            text = self.read(log)
            self.assertRegex(text, r"event=stopped accepted=(\d+) closed=\1 open=0")
            self.assertNotIn("sandbox_denied", text + self.read(log + ".1"))
            self.assertEqual(os.listdir(sockets), ["packets"])  # Go leaves those of datagrams, too

    @staticmethod
    def read(path):
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    @staticmethod
    def replace(path, text):
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def talk(self, server, addresses, stream, sockets):
        self.assertTrue(echoes(stream))
        with Peer(split_address(addresses["ack tcp"])) as peer:
            peer.send("x")
            self.assertTrue(peer.gone())
        with Peer(sockets + "/greet") as peer:
            self.assertEqual(peer.line(), b"Let's GO!\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(20)
            client.sendto(b"a number", split_address(addresses["random udp"]))
            self.assertRegex(client.recv(100), rb"\A\d+\n?\Z")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.settimeout(20)
            client.bind("\0coracle-test-%d" % os.getpid())  # abstract: it has to be reached
            client.sendto(b"packet", sockets + "/packets")
            self.assertEqual(client.recv(100), b"packet")
        self.look(server, sockets, denied=0)

    def rotate(self, server, log):
        os.rename(log, log + ".1")
        server.signal(signal.SIGUSR1)
        wait_until(lambda: "event=log_reopened" in self.read(log), "the new log")

    def look(self, server, sockets, denied):
        if "admin: off" in run_coracle("--version").out:
            return
        found = run_coracle("status", "-f", "json", "unix://" + sockets + "/admin")
        state = json.loads(found.out)
        self.assertEqual(state["sandbox"]["seccomp"], True)
        self.assertGreaterEqual(state["sandbox"]["landlock"], 6)
        self.assertEqual(state["sandbox"]["denied"], denied)
        self.assertEqual(state["limits"]["sandbox"], "strict")
        self.assertGreater(state["process"]["open_fds"], 5)
        self.assertGreater(state["process"]["resident_bytes"], 100000)
        text = run_coracle("status", "unix://" + sockets + "/admin").out
        self.assertRegex(text, r"\nsandbox: Landlock \d+, seccomp on\n")
        self.assertTrue(server.alive())

    def test_without_it_the_status_says_so(self):
        if "admin: off" in run_coracle("--version").out:
            self.skipTest("built without libmicrohttpd")
        with serve("echo", options=("--admin", "127.0.0.1:0")) as server:
            server.wait_text("listening admin")
            address = re.search(r"listening admin tcp (\S+)", server.out).group(1)
            self.assertIsNone(json.loads(run_coracle("status", "-f", "json", address).out)["sandbox"])
            self.assertNotIn("sandbox:", run_coracle("status", address).out)

    def test_another_user(self):
        if os.getuid() != 0:
            self.skipTest("only root can become somebody else")
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), sandboxed(
                    "echo", workers=workers, options=("--poller", poller, "--user", "nobody")) as server:
                self.assertTrue(echoes(server.address()))
                with open("/proc/%d/status" % server.pid, encoding="ascii") as status:
                    self.assertIn("\nUid:\t" + "\t".join([str(pwd.getpwnam("nobody").pw_uid)] * 4), status.read())
                self.assertIn("event=sandboxed ", server.err)

    def test_systemd(self):
        """Its socket, what it is told, its sign of life; by a path, and by an abstract name."""
        need_systemd()
        for poller in POLLERS:
            with self.subTest(poller=poller), Manager() as manager, tcp() as stream, activated(
                    [("echo", stream)], "--sandbox=strict", "--quiet", "--poller", poller,
                    env=dict(ENV, WATCHDOG_USEC="300000", **manager.env)) as server:
                self.assertEqual(manager.wait_for("READY")["READY"], "1")
                manager.wait_for("WATCHDOG")
                self.assertTrue(echoes(stream.getsockname()))
                server.signal(signal.SIGHUP)
                manager.wait_for("RELOADING")
                manager.wait_for("READY")
                server.signal(signal.SIGTERM)
                manager.wait_for("STOPPING")
                self.assertEqual(server.wait(), 0, server.describe())
                self.assertNotIn("sandbox_denied", server.err)
                self.assertNotIn("notify_failed", server.err)

    def test_an_abstract_manager(self):
        need_systemd()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(20)
            name = "coracle-test-%d" % os.getpid()
            manager.bind("\0" + name)
            with sandboxed("echo", env={"NOTIFY_SOCKET": "@" + name}):
                self.assertIn(b"READY=1", manager.recv(4096))

    def test_the_watchdog_of_tasks(self):
        """Its timers, and its look at the calls of a task that computes: a long message is looked at as a whole."""
        need_json()
        text = '{"message":"%s"}' % ("x" * 30_000_000)
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), sandboxed("broadcast", workers=workers, options=(
                    "--quiet", "--poller", poller, "--max-line", "64M", "--stall-after", "2ms")) as server, \
                    server.connect() as peer:
                peer.send(text)
                server.wait_text("event=stall task=", name="err")
                self.assertNotIn("sandbox_denied", server.err)

    def test_under_load(self):
        """Clients come and go, and messages are checked."""
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), sandboxed(
                    "echo", workers=workers, options=("--quiet", "--poller", poller)) as server:
                for mode in ("echo", "connect"):
                    done = run_coracle("bench", "-q", "-m", mode, "-c", "20", "-d", "300ms",
                                       "%s:%d" % server.address(), seconds=60)
                    self.assertEqual(done.code, 0, done.describe())
                self.assertNotIn("sandbox_denied", server.err)


class Older(Case):
    """Kernels without one half, or without both."""

    def setUp(self):
        if not shutil.which("cc"):
            self.skipTest("no compiler to ask for the numbers of calls")

    def test_one_notice_and_serving_goes_on(self):
        for calls, landlock, seccomp, missing in (
                (("landlock_create_ruleset",), "0", "on", "files, tcp, signals"),
                (("seccomp",), None, "off", "system calls"),
                (("landlock_create_ruleset", "seccomp"), "0", "off", "files, tcp, signals, system calls")):
            with self.subTest(calls=calls), sandboxed("echo", workers=2, preexec=without(*calls)) as server:
                self.assertTrue(echoes(server.address()))
                found = re.findall(r'level=warn event=sandbox_partial landlock=(\d+) seccomp=(\w+) open="([^"]*)"',
                                   server.err)
                self.assertEqual(len(found), 1, server.err)
                self.assertEqual(found[0][1:], (seccomp, missing))
                if landlock is not None:
                    self.assertEqual(found[0][0], landlock)
                self.assertNotIn("event=sandboxed", server.err)

    def test_strict_does_not_start(self):
        for call, text in (("landlock_create_ruleset", "cannot restrict files, tcp, signals (Landlock version 0)"),
                           ("seccomp", "cannot restrict system calls (")):
            for poller in POLLERS:
                with self.subTest(call=call, poller=poller):
                    done = run_coracle("serve", "--sandbox=strict", "--poller", poller, "echo=127.0.0.1:0",
                                       preexec=without(call), env=ENV)
                    self.assertEqual(done.code, 78, done.describe())
                    self.assertIn("--sandbox=strict: " + text, done.err)
                    self.assertNotIn("listening", done.out)


if __name__ == "__main__":
    main()
