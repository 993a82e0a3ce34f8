# SPDX-License-Identifier: MIT
"""Each connection ends for exactly one reason: the clients know how they ended, one event each says the same, and so do
the counters, which add up."""
import collections
import itertools
import random
import re
import resource
import signal
import threading

from harness import (ACK_ANSWER, PATIENCE, REPLY, Case, close_all, main, message, need_json, serve, wait_until)

POLLERS = ("epoll", "io_uring")
THREADS, ENDINGS = 4, 60
LINGERING = 5  # clients that are there at the end
MAX_LINE = 200
SPARE_SPACE = 4 << 20  # bytes of address space: less than a slab of stacks takes


def counted(server):
    """What the server has said at its end: reasons by its events, by its counters, and accepted, closed, open."""
    counters = re.search(r"event=reasons(.*)", server.err).group(1)
    counters = {word: int(count) for word, count in re.findall(r" (\w+)=(\d+)", counters)}
    stopped = re.search(r"event=stopped accepted=(\d+) closed=(\d+) open=(\d+)", server.err)
    return server.told("closed"), counters, tuple(int(number) for number in stopped.groups())


def echoes(peer):
    """Whether the service echo serves this client."""
    try:
        peer.send("x")
        return peer.read(1) == b"x"
    except ConnectionError:
        return False


def ends_at_once(server, _):
    with server.connect("echo") as peer:
        peer.half_close()
        peer.gone()
    return "eof"


def ends_after_an_echo(server, _):
    with server.connect("echo") as peer:
        peer.send(b"x" * 3000)
        assert peer.read(3000) == b"x" * 3000
    return "eof"


def resets(server, _):
    peer = server.connect("echo")
    peer.send("x")
    assert peer.read(1) == b"x"
    peer.reset()
    return "reset"


def is_answered_once(server, _):
    with server.connect("ack") as peer:
        peer.send("x")
        assert peer.read_all() == REPLY
    return "eof"


def says_stop(server, choice):
    with server.connect("random") as peer:
        peer.send("x\n" * choice.randint(0, 3) + "STOP\n")
        peer.read_all()
    return "eof"


def says_too_much(server, choice):
    text = "x" * (MAX_LINE + 1) + "\n" if choice.random() < 0.5 else "x" * 2 * MAX_LINE
    with server.connect("random") as peer:
        peer.send(text)
        assert peer.read_all() == b"line too long\n"
    return "too_long"


def is_a_member(server, _):
    with server.connect("broadcast") as peer:
        peer.send(message("hello"))
        while ACK_ANSWER not in peer.line():
            pass
        peer.half_close()
        peer.gone()
    return "eof"


def is_a_long_winded_member(server, _):
    with server.connect("broadcast") as peer:
        peer.send(message("x" * 2 * MAX_LINE))
        while b"too long" not in peer.line():
            pass
    return "too_long"


WAYS = (ends_at_once, ends_after_an_echo, resets, is_answered_once, says_stop, says_too_much, is_a_member,
        is_a_long_winded_member)


class Reasons(Case):
    def test_every_ending_is_counted_once(self):
        need_json()
        for poller, workers in itertools.product(POLLERS, (1, 2, 8)):
            with self.subTest(poller=poller, workers=workers), \
                    serve("echo", "ack", "random", "broadcast", workers=workers,
                          options=("--quiet", "--poller", poller, "--max-line", str(MAX_LINE))) as server:
                expected, failures, lock = collections.Counter(), [], threading.Lock()

                def hammer(seed, server=server, expected=expected, failures=failures, lock=lock):
                    choice = random.Random(seed)
                    for _ in range(ENDINGS):
                        way = choice.choice(WAYS)
                        try:
                            reason = way(server, choice)
                        except Exception as error:  # told by the thread of the test
                            failures.append((way.__name__, repr(error)))
                            return
                        with lock:
                            expected[reason] += 1

                threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(THREADS)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(PATIENCE * 3)
                self.assertEqual(failures, [])
                peers = [server.connect("echo") for _ in range(LINGERING)]
                for peer in peers:
                    peer.send("x")
                    self.assertEqual(peer.read(1), b"x")
                expected["drain"] += LINGERING
                total = THREADS * ENDINGS + LINGERING
                wait_until(lambda: sum(server.told("closed").values()) >= total - LINGERING, "all endings to be told")
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 0, server.describe())
                close_all(*peers)
                events, counters, sums = counted(server)
                self.assertEqual(events, dict(expected))
                self.assertEqual(counters, dict(expected))
                self.assertEqual(sums, (total, total, 0))

    def test_a_refused_one_counts_too(self):
        for poller in POLLERS:
            with self.subTest(poller=poller), \
                    serve("echo", options=("--quiet", "--poller", poller, "--max-conns", "3")) as server:
                peers = [server.connect() for _ in range(3)]
                for peer in peers:
                    peer.send("x")
                    self.assertEqual(peer.read(1), b"x")
                for _ in range(7):
                    with server.connect() as refused:
                        self.assertEqual(refused.gone(), b"")
                peers.pop().close()
                server.wait_text("reason=eof", name="err")
                with server.connect() as peer:
                    peer.send("y")
                    self.assertEqual(peer.read(1), b"y")
                    server.signal(signal.SIGTERM)
                    self.assertEqual(server.wait(), 0, server.describe())
                close_all(*peers)
                events, counters, sums = counted(server)
                self.assertEqual(events, {"max_conns": 7, "eof": 1, "drain": 3})
                self.assertEqual(counters, events)
                self.assertEqual(sums, (11, 11, 0))

    def test_one_that_memory_is_lacking_for_counts_too(self):
        """Address space for no more stacks: what is accepted then gets no task, and is closed, counted and logged."""
        for poller in POLLERS:
            with self.subTest(poller=poller), \
                    serve("echo", workers=1, options=("--quiet", "--poller", poller)) as server:
                if server.is_sanitized():
                    self.skipTest("a sanitizer takes more address space than can be limited")
                peers = [server.connect()]
                self.assertTrue(echoes(peers[0]))
                pid = server.process.pid
                with open("/proc/%d/statm" % pid, encoding="ascii") as statm:
                    used = int(statm.read().split()[0]) * resource.getpagesize()
                before = resource.prlimit(pid, resource.RLIMIT_AS, (used + SPARE_SPACE, resource.RLIM_INFINITY))
                while len(peers) < 1000 and echoes(peers[-1]):
                    peers.append(server.connect())
                server.wait_text("reason=oom", name="err")
                resource.prlimit(pid, resource.RLIMIT_AS, before)
                with server.connect() as peer:
                    self.assertTrue(echoes(peer))
                    server.signal(signal.SIGTERM)
                    self.assertEqual(server.wait(), 0, server.describe())
                count = len(peers) + 1
                close_all(*peers)
                events, counters, sums = counted(server)
                self.assertEqual(events, counters)
                self.assertEqual(set(events), {"oom", "drain"})
                self.assertEqual(sums, (count, count, 0))
                self.assertRegex(server.err, r"event=closed service=echo conn=\d+ peer=127\.0\.0\.1:\d+ reason=oom "
                                             r"in=0 out=0 ms=0 error=\"?[Cc]annot allocate memory")


if __name__ == "__main__":
    main()
