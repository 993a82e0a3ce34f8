# SPDX-License-Identifier: MIT
"""Attacks B: the system refuses things. Descriptors, memory, threads, rings and the log's disk run out; calls are
interrupted, or move a byte at a time. What can be refused at will is refused by the program with faults
(tests/faults/faults.h), the same over both pollers."""
import contextlib
import itertools
import os
import random
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from harness import (
    BIN, PATIENCE, SOURCE, Peer, Program, close_all, finish, need_json, need_tool, serve, settled_fds, wait_until)

from dialogues import DIALOGUES, whole
from ground import EACH, LOG_LINES_PER_S, Ground, ask, crowd, has_status

FAULTY = os.path.join(os.path.dirname(BIN), "tests", "coracle_faults")


def faulty(rule, **more):
    """What starts the program with these faults."""
    if not os.path.exists(FAULTY):
        raise unittest.SkipTest("built without tests/coracle_faults")
    return {"binary": FAULTY, "env": dict({"COR_FAULT": rule}, **more)}


def injected(calls, fault):
    """The words before a program's own that have strace spoil these calls of it. The program keeps its process id."""
    strace = need_tool("strace")
    if os.environ.get("COR_SANITIZE"):
        raise unittest.SkipTest("a search for leaks and strace exclude each other")
    words = (strace, "-D", "-f", "-qq", "-o", os.devnull, "-e", "trace=" + calls,
             "-e", "inject=%s:%s" % (calls, fault))
    if subprocess.run((*words, "true"), check=False, capture_output=True, timeout=60).returncode:
        raise unittest.SkipTest("strace may not trace here")
    return words


def limited(kind, most):
    return lambda: resource.setrlimit(kind, (most, most))


class Stream:
    """Bytes there and back, compared as they come: `size` of them in pieces of sizes that are never the same."""

    def __init__(self, case, server, size, pieces=(1, 70000)):
        self.sent = random.Random(size).randbytes(1 << 20)
        with server.connect("echo") as peer:
            sender = threading.Thread(target=self.send, args=(peer, size, pieces), daemon=True)
            sender.start()
            got = 0
            while got < size:
                data = peer.sock.recv(1 << 18)
                case.assertNotEqual(data, b"", "%d of %d bytes" % (got, size))
                at = got % len(self.sent)
                wanted = self.sent[at:at + len(data)]
                wanted += self.sent[:len(data) - len(wanted)]
                case.assertTrue(data == wanted, "not what was sent, at byte %d" % got)
                got += len(data)
            sender.join(PATIENCE)
            case.assertEqual(peer.read_all(), b"")

    def send(self, peer, size, pieces):
        choice, done = random.Random(1), 0
        while done < size:
            at = done % len(self.sent)
            piece = self.sent[at:at + min(choice.randint(*pieces), size - done)]
            peer.send(piece)
            done += len(piece)
        peer.half_close()


class B1(Ground):
    """Descriptors run out, of the process or of the host. Acceptors pause, and nobody spins: clients wait in the
    listener's queue, and are served when others have left. The probe would wait as they do: it is left out there."""
    MOST = 64

    def test_a_crowd(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked(poller=poller, workers=workers, watched=False, options=("--max-conns", "1000"),
                                  preexec=limited(resource.RLIMIT_NOFILE, self.MOST)) as server:
                for _ in self.cycles(server):
                    self.crowd_in(server)

    def crowd_in(self, server):
        """Those who came first are served, nothing is done for the others; then there is room for them."""
        pauses = server.told("accept_paused").get("", 0)
        peers = crowd(server, "echo", 200)
        for number, peer in enumerate(peers):
            peer.send("%3d" % number)
        wait_until(lambda: server.told("accept_paused").get("", 0) > pauses and server.fds() == self.MOST,
                   "descriptors to be out")
        self.assertIn('error="too many open files"', server.err)
        self.assertEqual(peers[0].read(3), b"  0")
        self.spins_not(server)
        peers[0].send("  0")
        for number, peer in enumerate(peers):
            self.assertEqual(peer.read(3), b"%3d" % number)
            peer.close()

    def test_who_wants_status_waits_too(self):
        """The status server's listener pauses as the others do, and says so once for all its pauses."""
        if not has_status():
            raise unittest.SkipTest("built without libmicrohttpd: no status over HTTP")
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked(poller=poller, workers=workers, watched=False, options=("--max-conns", "1000"),
                                  preexec=limited(resource.RLIMIT_NOFILE, self.MOST)) as server:
                server.wait_fds(server.base)  # none is left over for the status server by whoever asked it last
                peers = crowd(server, "echo", 100)
                wait_until(lambda: server.fds() == self.MOST, "descriptors to be out")
                with Peer(server.address("admin")) as peer:
                    peer.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    self.spins_not(server, 2.0)
                    close_all(*peers)
                    told = peer.gone()
                self.assertRegex(told, rb"\AHTTP/1.1 200 OK\r\n")
                self.assertRegex(told, rb"\ncoracle_accept_pauses_total [1-9]")
                self.assertEqual(server.err.count("event=accept_paused service=admin"), 1, server.describe())

    def spins_not(self, server, seconds=1.0):
        """The first pauses are short: the CPU's time counts once they are not."""
        paused = wait_until(lambda: re.search(r"event=accept_paused .* ms=640", server.err), "a long pause")
        self.assertTrue(paused)
        before, begin = server.cpu_seconds(), time.monotonic()
        while time.monotonic() < begin + self.size(5.0, seconds):
            time.sleep(0.01)  # pacing: as long as it is looked at
        share = (server.cpu_seconds() - before) / (time.monotonic() - begin)
        if self.full:
            print("CPU without descriptors: %.1f %%" % (100 * share), flush=True)
        self.assertLess(share, 0.05)

    def test_a_word_for_each(self):
        """By default some descriptors are kept: who is too many is told so, and the status server answers."""
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("random", poller=poller, workers=workers, watched=False,
                                  preexec=limited(resource.RLIMIT_NOFILE, self.MOST)) as server:
                peers = crowd(server, "random", 100)
                said = []
                for peer in peers:
                    with contextlib.suppress(ConnectionError):  # it was told, and closed
                        peer.send("\n")
                    said.append(peer.line())
                self.assertGreater(said.count(b"refused: too many connections\n"), 60)
                if has_status():
                    self.assertEqual(ask(server, "/livez")[0], 200)
                self.assertLess(server.fds(), self.MOST)
                close_all(*peers)

    def test_other_files(self):
        """What else wants a descriptor then is refused, and tried again when asked."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "log")
            with serve("echo", options=("--quiet", "--max-conns", "1000", "--log-file", path),
                       preexec=limited(resource.RLIMIT_NOFILE, self.MOST)) as server:
                peers = crowd(server, "echo", 100)
                wait_until(lambda: server.fds() == self.MOST, "descriptors to be out")
                server.signal(signal.SIGUSR1)
                self.wait_log(path, 'event=log_reopen_failed file=%s error="too many open files"' % path)
                close_all(*peers)
                wait_until(lambda: server.fds() < self.MOST // 2, "descriptors to be back")
                server.signal(signal.SIGUSR1)
                self.wait_log(path, "event=log_reopened")
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 0, server.describe())

    @staticmethod
    def wait_log(path, text):
        def seen():
            with open(path, encoding="utf-8") as file:
                return text in file.read()
        wait_until(seen, text)

    def test_refused_now_and_then(self):
        """Each seventh accept, for the process or the host: the client waits for the next one."""
        need_json()
        for (poller, workers), error in zip(EACH, ("EMFILE", "ENFILE", "ENOBUFS", "EMFILE")):
            with self.subTest(poller=poller, workers=workers, error=error), \
                    self.attacked(*DIALOGUES, poller=poller, workers=workers,
                                  **faulty("accept:%s@3+7" % error)) as server:
                self.talk(server)
                server.wait_text("event=accept_paused", name="err")

    def test_refused_by_the_kernel(self):
        need_json()
        with self.attacked(*DIALOGUES, workers=2, before=injected("accept4", "error=EMFILE:when=3+7")) as server:
            self.talk(server)
            server.wait_text("event=accept_paused", name="err")

    def talk(self, server):
        server.lines = 2 * LOG_LINES_PER_S  # pauses and ends come together, each at its own rate
        for _ in range(self.size(200, 5)):
            for service in DIALOGUES:
                whole(self, server, service)

    def test_no_socket_at_all(self):
        """Whoever wants to start says what there is none of."""
        for error, text in (("EMFILE", "too many open files\n"), ("ENFILE", "too many open files in system\n")):
            more = faulty("socket:" + error)
            for words in (("dial", "127.0.0.1:9"), ("serve", "echo=127.0.0.1:0")):
                ended = finish(Program([more["binary"], *words], env=more["env"]))
                self.assertNotEqual(ended.code, 0, ended.describe())
                self.assertGreaterEqual(ended.code, 0, ended.describe())
                self.assertIn(text, ended.err)


class Crowd:
    """Clients of all services. Some have said all that they want to say, others half of it."""

    def __init__(self, server, choice, count, services):
        self.peers = []
        for number in range(count):
            service = choice.choice(services)
            words = DIALOGUES[service][0]
            cut = choice.choice((0, len(words) // 2, len(words)))
            with contextlib.suppress(ConnectionError):  # turned away, sooner or later
                self.peers.append(Peer(server.address(service), source="127.0.1.%d" % (1 + number % 4)))
                self.peers[-1].rest = words[cut:]
                self.peers[-1].send(words[:cut])
        choice.shuffle(self.peers)

    def end(self):
        """All say the rest. Gives those who hear no end."""
        left, over = {}, time.monotonic() + PATIENCE
        with select.epoll() as ends:
            for peer in self.peers:
                with contextlib.suppress(OSError):
                    peer.send(peer.rest)
                    peer.half_close()
                peer.sock.setblocking(False)
                left[peer.sock.fileno()] = peer
                ends.register(peer.sock, select.EPOLLIN)
            while left and time.monotonic() < over:
                for number, _ in ends.poll(0.1, 256):
                    if self.is_over(left[number].sock):
                        ends.unregister(number)
                        left.pop(number)
        close_all(*self.peers)
        return len(left)

    @staticmethod
    def is_over(sock):
        try:
            return sock.recv(1 << 16) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


class B2(Ground):
    """Memory runs out. Whoever gets none is turned away or cut; the others are served, and when memory is back so is
    everybody. In the quick suite tests `faults.*` make single allocations and calls fail; here all of them."""

    def test_addresses_run_out(self):
        """There is room for more addresses or less; hundreds of clients come, of all services, and all are ended."""
        if os.environ.get("COR_SANITIZE"):
            raise unittest.SkipTest("a sanitizer needs the addresses")
        need_json()
        for poller, workers in EACH:
            for seed in range(self.size(50, 2)):
                with self.subTest(poller=poller, workers=workers, seed=seed):
                    self.attack(poller, workers, random.Random(seed))

    def attack(self, poller, workers, choice):
        with self.attacked(*DIALOGUES, poller=poller, workers=workers, watched=False,
                           options=("--no-limits",)) as server:
            server.room += 1 << 15  # what the crowd took once is kept for the next one
            server.lines = 2 * LOG_LINES_PER_S  # pauses and ends come together, each at its own rate
            for _ in range(3):
                limit = self.addresses(server) + choice.choice((0, 1 << 18, 1 << 20, 1 << 22, 1 << 24))
                resource.prlimit(server.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
                services = choice.choice((tuple(DIALOGUES), ("broadcast",)))
                came = Crowd(server, choice, choice.choice((100, 300)), services)
                if choice.random() < 0.5:
                    close_all(*(came.peers.pop() for _ in range(len(came.peers) // 2)))
                stuck = came.end()
                self.assertEqual(stuck, 0, server.describe())
                resource.prlimit(server.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
                for service in DIALOGUES:
                    whole(self, server, service)

    @staticmethod
    def addresses(server):
        with open("/proc/%d/statm" % server.pid, encoding="ascii") as statm:
            return int(statm.read().split()[0]) * resource.getpagesize()

    def test_every_failure(self):
        if not self.full:
            raise unittest.SkipTest("at full size; the tests faults.* are some of it")
        faulty("")
        script = os.path.join(SOURCE, "tests", "faults", "nth.py")
        self.assertEqual(subprocess.run((sys.executable, "-B", script), env=dict(os.environ, COR_BIN=FAULTY),
                                        check=False).returncode, 0)


class B3(Ground):
    """Calls are interrupted, or move a byte at a time: what comes back is what was sent, to the byte."""
    MIB = 1 << 20

    def test_a_byte_at_a_time(self):
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked(poller=poller, workers=workers, **faulty("recv:short=1,send:short=1")) as server:
                Stream(self, server, self.size(100 * self.MIB, self.MIB // 4))

    def test_clients_that_send_bytes(self):
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked(poller=poller, workers=workers) as server:
                Stream(self, server, self.size(10 * self.MIB, self.MIB // 32), pieces=(1, 1))

    def test_signals(self):
        """Thousands a second, of a kind that the program catches and does nothing about."""
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked(poller=poller, workers=workers) as server, self.storm(server):
                Stream(self, server, self.size(100 * self.MIB, self.MIB))

    @contextlib.contextmanager
    def storm(self, server, rate=5000):
        over, sent, begin = threading.Event(), [0], time.monotonic()

        def send():
            while not over.wait(1.0 / rate):
                while sent[0] < (time.monotonic() - begin) * rate and not over.is_set():
                    server.signal(signal.SIGUSR1)
                    sent[0] += 1
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        try:
            yield
        finally:
            over.set()
            sender.join(PATIENCE)
        self.assertGreater(sent[0], 0)
        if self.full:
            print("%.0f signals a second" % (sent[0] / (time.monotonic() - begin)), flush=True)

    def test_interrupted_by_the_kernel(self):
        calls = "recvfrom,sendto,accept4,epoll_wait,epoll_pwait,epoll_pwait2,io_uring_enter"
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked(poller=poller, workers=workers,
                                  before=injected(calls, "error=EINTR:when=2+3")) as server:
                Stream(self, server, self.size(100 * self.MIB, self.MIB))


class B4(Ground):
    """Rings that cannot be made, that are far too small, that have no buffer, whose requests are cancelled while they
    end: the program falls back or backs off, and clients notice nothing."""

    def test_no_ring(self):
        need_json()
        for error in ("EPERM", "ENOSYS", "ENOMEM"):
            for workers in (1, 2):
                with self.subTest(error=error, workers=workers), \
                        self.attacked(*DIALOGUES, poller="io_uring", workers=workers,
                                      **faulty("uring_setup:" + error)) as server:
                    self.assertRegex(server.err, r"poller: epoll \(io_uring was asked for, but .*%s" % error)
                    for service in DIALOGUES:
                        whole(self, server, service)

    def test_some_rings(self):
        """The second worker gets none: all of them wait by epoll, or it starts after all."""
        need_json()
        with self.attacked(*DIALOGUES, poller="io_uring", workers=2, **faulty("uring_setup:ENOMEM@2+2")) as server:
            for service in DIALOGUES:
                whole(self, server, service)

    def test_no_entry(self):
        need_json()
        for workers in (1, 2):
            with self.subTest(workers=workers), \
                    self.attacked(*DIALOGUES, poller="io_uring", workers=workers,
                                  **faulty("uring_entry:EBUSY@3+7")) as server:
                for _ in range(self.size(200, 5)):
                    for service in DIALOGUES:
                        whole(self, server, service)

    def test_a_tiny_ring(self):
        """Eight entries, sixteen completions and eight buffers; thousands of clients talk at once, and none reads
        before all have sent; others leave while they are received from."""
        for workers in (1, 2):
            with self.subTest(workers=workers), \
                    self.attacked(poller="io_uring", workers=workers, options=("--no-limits",),
                                  **faulty("", COR_FAULT_RING="8")) as server:
                server.room += 1 << 16  # each client has its stack, buffers and sockets at once
                for _ in self.cycles(server):
                    self.talk_at_once(server, self.size(5000, 300), b"0123456789abcdef" * 64)

    def talk_at_once(self, server, count, text):
        peers = crowd(server, "echo", count, each=2500)
        for peer in peers:
            peer.send(text)
        leaving = peers[::4]
        for number, peer in enumerate(leaving):
            (peer.reset if number % 2 else peer.close)()
        for number, peer in enumerate(peers):
            if number % 4:
                self.assertEqual(peer.read(len(text)), text)
                peer.send(text[:7])
                self.assertEqual(peer.read(7), text[:7])
        close_all(*peers)


class B5(Ground):
    """No thread or process can be made; nobody takes what the log says, or its disk is full: serving goes on."""

    def test_no_worker(self):
        """A program that cannot have its threads says so and ends."""
        before = injected("clone,clone3", "error=EAGAIN")
        for number in (1, 2, 3):
            rule = before[-1] + ":when=%d+" % number
            with Program([*before[:-1], rule, BIN, "serve", "--workers", "4", "echo=127.0.0.1:0"]) as program:
                over = time.monotonic() + PATIENCE
                while program.alive() and "listening echo" not in program.out and time.monotonic() < over:
                    time.sleep(0.001)  # pacing: it is looked at again and again
                if program.alive():
                    program.signal(signal.SIGTERM)
                    self.assertIn(program.wait(), (0, 128 + signal.SIGTERM), program.describe())
                else:
                    self.assertGreater(program.wait(), 0, program.describe())
                    self.assertRegex(program.err, "resource temporarily unavailable|cannot", program.describe())

    def test_no_process(self):
        """exec: a client whose program cannot be started is told by the end; later ones are served."""
        more = ("clone,clone3,vfork", "error=EAGAIN")
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("exec", poller=poller, workers=workers, program=("cat",)) as server:
                self.talk_to_cat(server)
                with self.traced(server, *more):
                    for _ in range(self.size(100, 5)):
                        with server.connect("exec") as peer:
                            with contextlib.suppress(OSError):
                                peer.send("x")
                            self.assertEqual(peer.gone(), b"")
                self.talk_to_cat(server)
                wait_until(lambda log=server: re.search(r"service=exec .*temporarily unavailable", log.err), "the log")

    def talk_to_cat(self, server):
        with server.connect("exec") as peer:
            peer.send("x")
            peer.half_close()
            self.assertEqual(peer.read_all(), b"x")

    @contextlib.contextmanager
    def traced(self, server, calls, fault):
        """strace spoils these calls of a running server."""
        strace = injected(calls, fault)[0]
        with Program([strace, "-f", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "inject=%s:%s" % (calls, fault),
                      "-p", str(server.pid)]) as tracer:
            tracer.wait_text("attached", name="err")
            yield
            tracer.signal(signal.SIGINT)
            tracer.wait()

    def test_nobody_takes_the_log(self):
        """Standard error is closed, a full disk, a pipe that nobody reads, or one whose reader has left."""
        for (poller, workers), name in itertools.product(EACH, ("closed", "full", "unread", "left")):
            with self.subTest(poller=poller, workers=workers, log=name), tempfile.TemporaryDirectory() as folder:
                pipe = os.path.join(folder, "pipe")
                os.mkfifo(pipe)
                reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
                to = {"closed": "&-", "full": "/dev/full"}.get(name, pipe)
                with self.start(("random",), poller, workers, ("--log-level", "debug"),
                                before=("sh", "-c", 'exec "$@" 2>' + to, "sh")) as server:
                    if name == "left":
                        os.close(reader)
                    self.serve_on(server, taken=None if name == "unread" else 0)
                if name != "left":
                    os.close(reader)

    def serve_on(self, server, taken):
        """There is no log to read the sums in: the status server has them. Each client is told of in a line at least;
        so many of those may have been `taken` (None: all, or they wait to be), the others are counted as lost."""
        base, count = settled_fds(server, "random"), self.size(3000, 300)
        for _ in range(count):
            whole(self, server, "random")
        if has_status():
            wait_until(lambda: self.sum(server, "connections_closed") > count, "all to be closed")
            if taken is not None:
                wait_until(lambda: self.sum(server, "log_lines_dropped") > 0 and count - taken <= sum(
                    self.sum(server, "log_lines_" + what) for what in ("dropped", "suppressed")), "lost lines")
        server.wait_fds(base)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.describe())

    @staticmethod
    def sum(server, name):
        return sum(map(int, re.findall(r"^coracle_%s_total(?:{.*})? (\d+)$" % name, ask(server, "/metrics")[1], re.M)))

    def test_the_disk_of_the_log_is_full(self):
        """A file system of 1 MiB: what no longer fits is lost, and nothing else is."""
        before = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m none "$0" && exec "$@"')
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), tempfile.TemporaryDirectory() as folder:
                if subprocess.run((*before, folder, "true"), capture_output=True, check=False).returncode:
                    raise unittest.SkipTest("no file system of its own allowed here")
                with self.start(("random",), poller, workers,
                                ("--log-file", folder + "/log", "--log-format", "json"),
                                before=(*before, folder)) as server:
                    self.fill(server, folder)
                    self.serve_on(server, taken=64)  # those for which the last page had room

    @staticmethod
    def fill(server, folder):
        """The disk is full but for some bytes; the server's is seen through its root."""
        seen = "/proc/%d/root%s" % (server.pid, folder)
        with open(seen + "/other", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 1000)
