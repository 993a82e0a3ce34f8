# SPDX-License-Identifier: MIT
"""What all attacks share: a server under attack with a healthy client beside it, and what must hold after each attack.

The healthy client connects anew each time and has an echo come back: when the attack begins, ten times a second, and
when it is over. It must never be refused or get anything else. At full size 99 of 100 of its echoes take less than
50 ms; the quick suite shares a machine with other tests and judges no times.
"""
import contextlib
import itertools
import re
import resource
import signal
import threading
import time

from harness import PATIENCE, Case, Peer, serve, settled_fds

EACH = tuple(itertools.product(("epoll", "io_uring"), (1, 2)))
PROBE_S = 0.1
PROBE_P99_S = 0.050


def raise_limit():
    """Lets this process have as many sockets as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def crowd(server, service, count, each=8000):
    """Connects many clients, from several addresses so that ports do not run out."""
    return [Peer(server.address(service), source="127.0.1.%d" % (1 + number // each)) for number in range(count)]


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
            with Peer(self.address) as peer:
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
        times = sorted(self.times)
        return times[len(times) * 99 // 100] if times else 0.0

    def stop(self):
        self.over.set()
        self.join(PATIENCE)


class Ground(Case):
    """A case that attacks servers. `full`: with the numbers of the catalogue, else scaled down."""
    full = False

    def size(self, full, quick):
        return full if self.full else quick

    @contextlib.contextmanager
    def attacked(self, *services, poller="epoll", workers=1, options=(), patience=PATIENCE):
        """Gives a server of `services` and echo. After the attack in the body the invariants are checked: the process
        lives, its descriptors are back, every connection accepted was closed for one reason, the probe is well."""
        with serve(*services, "echo", workers=workers,
                   options=("--quiet", "--grace", "2s", "--poller", poller, *options)) as server:
            base = settled_fds(server, "echo")
            memory = server.smaps("Rss")
            server.probe = probe = Probe(server.address("echo"), patience)
            try:
                yield server
            finally:
                probe.stop()
            self.assertEqual(probe.errors[:3], [])
            self.assertGreaterEqual(len(probe.times), 2)
            self.assertTrue(server.alive(), server.describe())
            server.wait_fds(base)
            if self.full and not server.is_sanitized():
                print("probe: %d echoes, p99 %.1f ms; Rss %+d KiB" % (len(probe.times), probe.p99() * 1000,
                                                                      server.smaps("Rss") - memory))
                self.assertLess(probe.p99(), PROBE_P99_S)
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0, server.describe())
            self.check_sums(server)

    def check_sums(self, server):
        """accepted = closed, as the counters say it and as the events do; gives the counters by reason."""
        accepted, closed, still = map(int, re.search(
            r"event=stopped accepted=(\d+) closed=(\d+) open=(\d+)", server.err).groups())
        counters = re.search(r"event=reasons(.*)", server.err).group(1)
        counters = {word: int(count) for word, count in re.findall(r" (\w+)=(\d+)", counters)}
        self.assertEqual((closed, still), (accepted, 0))
        self.assertEqual(sum(counters.values()), closed)
        if "event=dropped" not in server.err:
            events = re.findall(r"event=closed .*?reason=(\S+)", server.err)
            self.assertEqual({word: events.count(word) for word in set(events)}, counters)
        server.counters = counters
        return counters
