# SPDX-License-Identifier: MIT
"""What all attacks share: a server under attack with a healthy client beside it, and what must hold after each attack.

The healthy client connects anew each time and has an echo come back: when the attack begins, ten times a second, and
when it is over. It must never be refused or get anything else. Once a second the status server is asked whether the
server lives. After the attack descriptors and tasks are those that there were before, memory is back within 2 MiB,
every connection accepted was closed for one reason, the log had at most 200 lines in any second, and there is no core
file. At full size an attack is made twice,
and memory compared with what it was after the first time; 99 of 100 of the echoes take less than 50 ms, an answer of
the status server less than a second. Beside it a second client does the same with a server that does nothing else
(bare.py); where that one has to wait too long as well, it is for the machine or the test, and the time is not judged.
The quick suite shares a machine with other tests and judges no times.
"""
import collections
import contextlib
import functools
import glob
import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

from harness import PATIENCE, Case, Peer, run_coracle, serve, settled_fds, split_address, wait_until

EACH = tuple(itertools.product(("epoll", "io_uring"), (1, 2)))
PROBE_S = 0.1
PROBE_P99_S = 0.050
LIVE_S = 1.0
LOG_LINES_PER_S = 200
MEMORY_KIB = 2048
KIB_PER_WORKER = {"epoll": 0, "io_uring": 1024}  # what a worker has for receiving, once it has received anything
RECLAIM_S = 6.0  # deep pages of stacks go back to the kernel after 5 s


def raise_limit():
    """Lets this process have as many sockets as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def crowd(server, service, count, each=8000):
    """Connects many clients, from several addresses so that ports do not run out; each knows when it was `made`."""
    peers = []
    for number in range(count):
        peers.append(Peer(server.address(service), source="127.0.1.%d" % (1 + number // each)))
        peers[-1].made = time.monotonic()
    return peers


def allow_core():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)


class Probe(threading.Thread):
    """The healthy client. `patience`: how long the server waits for it; if it had no turn for that long, the machine is
    to blame, and it was late."""

    def __init__(self, address, patience):
        super().__init__(daemon=True)
        self.address, self.patience, self.late = address, patience, 0
        self.times, self.errors, self.over = [], [], threading.Event()
        self.start()

    def run(self):
        self.echo()
        while not self.over.wait(PROBE_S):
            self.echo()
        self.echo()

    def echo(self):
        problem, text, begin = None, b"probe %d" % len(self.times), time.monotonic()
        try:
            with Peer(self.address, timeout=self.patience + PATIENCE) as peer:
                peer.send(text)
                answer = peer.read(len(text))
            if answer != text:
                problem = "got %r for %r" % (answer, text)
        except OSError as error:
            problem = repr(error)
        took = time.monotonic() - begin
        self.times.append(took)
        if problem and took >= self.patience:
            self.late += 1
        elif problem:
            self.errors.append(problem)

    def p99(self):
        """What 99 of 100 echoes keep to. An attack of a few seconds has fewer than 100, and the slowest of 60 says how
        long somebody waited for a processor once: the slowest one is always left out."""
        times = sorted(self.times)
        left_out = max(1, len(times) // 100)
        return times[-1 - left_out] if len(times) > left_out else 0.0

    def stop(self):
        self.over.set()
        self.join(PATIENCE)


class Control:
    """The probe of a bare server, on a process of its own."""

    def __init__(self, patience):
        self.process = subprocess.Popen((sys.executable, os.path.join(os.path.dirname(__file__), "bare.py")),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.probe = Probe(("127.0.0.1", int(self.process.stdout.readline())), patience)

    def stop(self):
        """Gives the probe's p99."""
        self.probe.stop()
        self.process.communicate("", PATIENCE)
        return self.probe.p99()


@functools.lru_cache(maxsize=None)
def has_status():
    return "admin: off" not in run_coracle("--version").out


def ask(server, path, method="GET", headers=""):
    """Asks the status server; gives status and body, (0, "") if it ended the connection without a word."""
    with Peer(server.address("admin")) as peer:
        peer.send("%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (method, path, headers))
        head, _, body = peer.gone().partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body.decode()


class Pulse(threading.Thread):
    """Asks once a second whether the server lives. `tries`: how often in a row it may be without an answer, for where
    many ask the oldest connection gives way after a second, and on a busy machine that may be this one."""

    def __init__(self, server, tries):
        super().__init__(daemon=True)
        self.server, self.slowest, self.errors, self.over = server, 0.0, [], threading.Event()
        self.tries, self.missed = tries, 0
        self.start()

    def run(self):
        while not self.over.is_set():
            begin = time.monotonic()
            try:
                answer = ask(self.server, "/livez")
            except OSError as error:
                answer = repr(error)
            self.slowest = max(self.slowest, time.monotonic() - begin)
            self.missed = self.missed + 1 if answer != (200, "ok\n") else 0
            if self.missed >= self.tries:
                self.errors.append(answer)
            self.over.wait(1.0)

    def stop(self):
        self.over.set()
        self.join(PATIENCE)


class Ground(Case):
    """A case that attacks servers. `full`: with the numbers of the catalogue, else scaled down."""
    full = False

    def size(self, full, quick):
        return full if self.full else quick

    def cycles(self, server, warm=1):
        """How often the attack is made: once more than `warm` at full size, and memory is compared with that before the
        last time."""
        yield
        for _ in range(self.size(warm, 0)):
            self.rest(server)
            server.memory = self.memory(server)
            yield

    @staticmethod
    def memory(server):
        """KiB, once stacks have been given back."""
        least, over = server.smaps("Rss"), time.monotonic() + RECLAIM_S
        while time.monotonic() < over:
            least = min(least, server.smaps("Rss"))
            threading.Event().wait(0.1)
        return least

    @staticmethod
    def tasks(server):
        """Asks until a worker has had the time to answer."""
        def count():
            return json.loads(ask(server, "/status?limit=1")[1])["runtime"].get("tasks")
        return wait_until(count, "the number of tasks")

    def settle(self, server, services):
        """Notes descriptors and tasks. A service that has had a client has begun to accept; with several workers its
        other acceptors may still come."""
        for service in services:
            with server.connect(service) as peer:
                peer.half_close()
                peer.gone()
        server.base, server.tasks, looks = settled_fds(server, "echo"), 0, list(range(-5, 0))
        while has_status() and len(set(looks[-5:])) > 1:
            looks.append(self.tasks(server))
            server.tasks = looks[-1]

    def rest(self, server):
        """Waits until descriptors and tasks are those of the beginning. The healthy client has some now and then."""
        server.wait_fds(server.base)
        if has_status():
            wait_until(lambda: self.tasks(server) <= server.tasks, lambda: "%d tasks, now %d:\n%s" % (
                server.tasks, self.tasks(server), ask(server, "/tasks")[1]))

    def start(self, services, poller, workers, options, shown=False, preexec=None, **more):
        """Starts a server with a status server and, unless `services` have it, echo; it writes cores where it runs.
        `shown`: it shows what clients send; `preexec`: is called in the new process before it becomes the server."""
        def prepare():
            allow_core()
            if preexec:
                preexec()
        services += () if any(name.split("=")[0] == "echo" for name in services) else ("echo",)
        options = (() if shown else ("--quiet",)) + ("--grace", "2s", "--poller", poller, *options)
        if has_status():
            options += () if "--admin" in options else ("--admin", "127.0.0.1:0")
        folder = tempfile.TemporaryDirectory(prefix="attack-")
        self.addCleanup(folder.cleanup)
        server = serve(*services, workers=workers, options=options, cwd=folder.name, preexec=prepare, **more)
        server.folder, server.counters, server.lines = folder.name, {}, LOG_LINES_PER_S
        if has_status():
            server.wait_text("listening admin")
            network, address = re.search(r"^listening admin (\S+) (\S+)$", server.out, re.M).groups()
            server.addresses["admin"] = address if network == "unix" else split_address(address)
        return server

    @contextlib.contextmanager
    def attacked(self, *services, poller="epoll", workers=1, options=(), patience=PATIENCE, watched=True, timed=True,
                 **more):
        """Gives a server of `services` and echo. After the attack in the body the invariants are checked. `watched`:
        the healthy client and the status server's are there during the attack too, not only after it; `timed`: what
        they had to wait is judged."""
        with self.start(services, poller, workers, options, **more) as server:
            self.settle(server, () if "before" in more else server.addresses.keys() - {"admin"})
            server.memory = server.smaps("Rss")
            server.room = MEMORY_KIB + self.size(0, KIB_PER_WORKER[poller] * workers)  # at full size it is warm
            begin = time.monotonic()
            if not watched:
                yield server
            server.probe, control = Probe(server.address("echo"), patience), Control(patience) if self.full else None
            pulse = Pulse(server, self.size(1, 5) if timed else 5) if has_status() else None
            try:
                if watched:
                    yield server
            finally:
                server.probe.stop()
                bare = control.stop() if control else 0.0
                if pulse:
                    pulse.stop()
            self.check(server, pulse, time.monotonic() - begin, bare, timed)

    @staticmethod
    def waited(server):
        """Seconds for which threads of the server were ready and had no processor."""
        total = 0
        for path in glob.glob("/proc/%d/task/*/schedstat" % server.pid):
            with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
                total += int(file.read().split()[1])
        return total / 1e9

    def check(self, server, pulse, seconds, bare, timed):
        """`bare`: the p99 of the other probe. Times are judged last: a busy machine is to hide nothing else."""
        probe = server.probe
        self.assertEqual(probe.errors[:3], [])
        self.assertGreaterEqual(len(probe.times), 2)
        self.assertTrue(server.alive(), server.describe())
        self.assertEqual(pulse.errors[:3] if pulse else [], [])
        self.rest(server)
        self.check_memory(server)
        judged = self.full and not server.is_sanitized()
        if judged:
            print("probe: %d echoes in %.0f s, p99 %.1f ms (of a bare server %.1f ms), slowest %.1f ms; the server has "
                  "waited %.2f s for a processor; /livez %.0f ms at most; Rss %+d KiB; log: %d lines in its busiest "
                  "second" % (
                      len(probe.times), seconds, probe.p99() * 1000, bare * 1000, max(probe.times) * 1000,
                      self.waited(server), (pulse.slowest if pulse else 0) * 1000, server.smaps("Rss") - server.memory,
                      self.check_log(server)), flush=True)
        self.check_end(server)
        if judged and timed:
            self.assertLess(probe.p99() if bare < PROBE_P99_S else 0, PROBE_P99_S)
            self.assertLess(pulse.slowest if pulse else 0, LIVE_S)

    def check_end(self, server):
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.describe())
        self.assertNotIn("event=not_reaped ", server.err)
        self.check_sums(server)
        self.check_log(server)
        self.assertEqual([name for name in os.listdir(server.folder) if name.startswith("core")], [])

    def check_log(self, server):
        """The lines of the busiest second by the server's clock; a flood of clients is no flood of lines. Each process
        that has taken over may write as many."""
        lines = re.findall(r"^time=(\S+?)\.\S+ level=\S+ event=(\S+)", server.err, re.M)
        seconds = collections.Counter(second for second, _ in lines)
        takeovers = collections.Counter(second for second, event in lines if event == "taken_over")
        for second, count in seconds.items():
            self.assertLessEqual(count, server.lines * (1 + takeovers[second]), second)
        return max(seconds.values(), default=0)

    def check_memory(self, server):
        """At full size, after the attack has been made once before: within 2 MiB. Else it has not been warm."""
        if not server.is_sanitized():
            wait_until(lambda: server.smaps("Rss") - server.memory <= server.room,
                       lambda: "memory to be given back: %+d KiB" % (server.smaps("Rss") - server.memory))

    def check_sums(self, server):
        """accepted = closed, as the counters say it and as the events do; gives the counters by reason. Where one has
        taken over from another all processes count."""
        stopped = re.findall(r"event=stopped accepted=(\d+) closed=(\d+) open=(\d+)", server.err)
        self.assertEqual(len(stopped), 1 + server.err.count("event=taken_over "), server.describe())
        for accepted, closed, still in stopped:
            self.assertEqual((closed, still), (accepted, "0"))
        counters = collections.Counter()
        for line in re.findall(r"event=reasons(.*)", server.err):
            for word, count in re.findall(r" (\w+)=(\d+)", line):
                counters[word] += int(count)
        self.assertEqual(sum(counters.values()), sum(int(accepted) for accepted, _, _ in stopped))
        if "event=dropped" not in server.err:
            self.assertEqual(server.told("closed"), counters)
        server.counters = dict(counters)
        return server.counters
