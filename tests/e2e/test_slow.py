# SPDX-License-Identifier: MIT
"""Members of the room that read too slowly: seen before anything happens to them, and what each policy does to them and
to those who talk. Over unix sockets, whose buffers are small: little has to be said until a member is behind."""
import itertools
import os
import re
import signal
import threading
import time

from harness import (ACK_ANSWER, FULL, TOLD, Case, Peer, close_all, main, message, need_json, serve, wait_until)
from test_status import Asked, fill

POLLERS = ("epoll", "io_uring")
TEXT_SIZE = 8000
OUTBOX = 256 << 10
COUNT = 120  # messages; a megabyte, of which a socket takes less than a quarter
BURST = 1000  # messages: 8 MB, half of the default outbox and more than sockets take
PAUSE = 2 if FULL else 0.2
GROWTH_KIB = 24 * 1024
names = itertools.count()


def address():
    """One that nobody else uses."""
    return "unix://@coracle-slow-%d-%d" % (os.getpid(), next(names))


def text_of(number):
    return b"%08d " % number + b"abcdefg " * ((TEXT_SIZE - 9) // 8)


def say(number):
    return b'{"message":"' + text_of(number) + b'"}'


def numbers_in(peer, last):
    """The numbers of the messages that a member hears, all of them whole, up to `last` or to the end."""
    numbers = []
    while not numbers or numbers[-1] != last:
        line = peer.line()
        if not line.endswith(b"\n"):
            break
        sender, _, text = line.partition(TOLD)
        assert sender == b"@", line[:80]
        numbers.append(int(text[:8]))
        assert text == text_of(numbers[-1]) + b"\n", line[:80]
    return numbers


class Slow(Case):
    @classmethod
    def setUpClass(cls):
        need_json()

    def room(self, poller, policy, workers=1):
        options = ("--quiet", "--poller", poller, "--outbox", str(OUTBOX), "--slow-policy", policy)
        return serve("broadcast=" + address(), workers=workers, options=options)

    def talk(self, talker, count, first=0):
        """Says messages, each after the acknowledgement of the one before."""
        for number in range(first, first + count):
            talker.send(say(number))
            self.assertEqual(talker.line(), b"@" + ACK_ANSWER)

    def enter(self, server):
        """A member that the room knows."""
        peer = server.connect()
        peer.send(message("here"))
        self.assertEqual(peer.line(), b"@" + ACK_ANSWER)
        return peer

    def both(self, server):
        stalled = self.enter(server)
        talker = self.enter(server)
        self.assertEqual(stalled.line(), b"@" + TOLD + b"here\n")
        return stalled, talker

    def end(self, server, reason, dropped=0):
        """The server ends, and what it has said of the member that was slow is this."""
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.describe())
        closed = re.search(r"event=closed service=broadcast conn=1 .*", server.err).group(0)
        self.assertIn("reason=%s " % reason, closed)
        self.assertEqual(re.findall(r" dropped=(\d+)", closed), [str(dropped)] if dropped else [])
        slow = re.search(r"time=(\S+) level=info event=slow service=broadcast conn=1 ", server.err)
        self.assertTrue(slow, server.describe())
        self.assertLessEqual(slow.group(1), re.search(r"time=(\S+) .* conn=1 .*reason=", server.err).group(1))

    def leave(self, server, peer):
        peer.half_close()
        self.assertEqual(peer.read_all(), b"")
        server.wait_text("event=closed", name="err")
        peer.close()

    def one_gap(self, heard):
        """How many of these numbers come before the only gap."""
        self.assertEqual((heard, heard[0], heard[-1]), (sorted(set(heard)), 0, COUNT - 1))
        gaps = [index for index in range(1, len(heard)) if heard[index] != heard[index - 1] + 1]
        self.assertEqual(len(gaps), 1, heard)
        return gaps[0]

    def each(self):
        return zip(POLLERS, (1, 2))

    def test_cut(self):
        """The talker is never held up; the member hears messages from the first on, without a gap, then the end."""
        for poller, workers in self.each():
            with self.subTest(poller=poller, workers=workers), self.room(poller, "cut", workers=workers) as server:
                stalled, talker = self.both(server)
                self.talk(talker, COUNT)
                server.wait_text("reason=slow_consumer", name="err")
                heard = numbers_in(stalled, COUNT)
                self.assertEqual(heard, list(range(len(heard))))
                self.assertLess(len(heard), COUNT)
                self.talk(talker, 1)
                self.end(server, "slow_consumer")
                close_all(stalled, talker)

    def test_drop_oldest(self):
        """The talker is never held up; the member has one gap, before the newest that an outbox takes."""
        for poller, workers in self.each():
            with self.subTest(poller=poller, workers=workers), \
                    self.room(poller, "drop-oldest", workers=workers) as server:
                stalled, talker = self.both(server)
                self.talk(talker, COUNT)
                heard = numbers_in(stalled, COUNT - 1)
                gap = self.one_gap(heard)
                self.assertGreaterEqual(len(heard) - gap, OUTBOX // TEXT_SIZE // 2)
                self.leave(server, stalled)
                self.end(server, "eof", dropped=COUNT - len(heard))
                close_all(talker)

    def test_drop_newest(self):
        """The talker is never held up; the member has one gap, after the oldest that an outbox takes."""
        for poller, workers in self.each():
            with self.subTest(poller=poller, workers=workers), \
                    self.room(poller, "drop-newest", workers=workers) as server:
                stalled, talker = self.both(server)
                self.talk(talker, COUNT)
                heard = numbers_in(stalled, COUNT - 1)
                gap = self.one_gap(heard)
                self.assertGreaterEqual(gap, OUTBOX // TEXT_SIZE // 2)
                self.leave(server, stalled)
                self.end(server, "eof", dropped=COUNT - len(heard))
                close_all(talker)

    def test_block(self):
        """The talker is held up until the member reads on, and nothing is lost for anybody."""
        for poller, workers in self.each():
            with self.subTest(poller=poller, workers=workers), self.room(poller, "block", workers=workers) as server:
                stalled, talker = self.both(server)
                sending = threading.Thread(target=talker.send, args=(b"".join(map(say, range(COUNT))),))
                sending.start()
                server.wait_text("event=slow ", name="err")
                acknowledged = 0
                talker.sock.settimeout(0.5)
                try:
                    while acknowledged < COUNT:
                        self.assertEqual(talker.line(), b"@" + ACK_ANSWER)
                        acknowledged += 1
                except TimeoutError:
                    pass
                self.assertLess(acknowledged, COUNT)
                self.assertEqual(numbers_in(stalled, COUNT - 1), list(range(COUNT)))
                talker.sock.settimeout(10)
                for _ in range(COUNT - acknowledged):
                    self.assertEqual(talker.line(), b"@" + ACK_ANSWER)
                sending.join()
                self.leave(server, stalled)
                self.end(server, "eof")
                close_all(talker)

    def test_told_again_after_it_has_caught_up(self):
        """Once for each time that it is half of the outbox behind, if it was below a quarter in between."""
        with self.room("epoll", "drop-oldest") as server:
            stalled, talker = self.both(server)
            for times in (1, 2):
                self.talk(talker, COUNT)
                server.wait_text("event=slow ", count=times, name="err")
                while int(stalled.line().partition(TOLD)[2][:8]) < COUNT - 1:
                    pass
            self.assertEqual(server.err.count("event=slow "), 2)
            queued = re.search(r"event=slow service=broadcast conn=1 peer=@ queued=(\d+)", server.err)
            self.assertTrue(OUTBOX // 2 <= int(queued.group(1)) <= OUTBOX, queued.group(0))
            close_all(stalled, talker)

    def test_half_of_the_time(self):
        """Whatever the service: a client that takes nothing is told of when half of its time is over, then closed."""
        with serve("echo=" + address(), options=("--quiet", "--write-timeout", "400ms")) as server, \
                server.connect() as peer:
            fill(peer)
            server.wait_text("reason=write_timeout", name="err")
            slow = re.findall(r"event=slow service=echo conn=1 peer=@ queued=(\d+) stuck_ms=(\d+)", server.err)
            self.assertEqual(len(slow), 1, server.err)
            self.assertGreater(int(slow[0][0]), 0)
            self.assertGreaterEqual(int(slow[0][1]), 199)
            self.assertLess(server.err.index("event=slow"), server.err.index("event=closed"))

    def test_the_status_shows_it_before_the_cut(self):
        """Without any limit in time: what waits for the member, and for how long it has taken nothing of it."""
        for poller in POLLERS:
            with self.subTest(poller=poller), \
                    Asked("broadcast=" + address(), poller=poller,
                          options=("--quiet", "--no-limits", "--outbox", str(OUTBOX), "--slow-policy", "drop-newest"),
                          ) as asked:
                stalled, talker = self.both(asked.server)
                self.talk(talker, COUNT)

                def first(asked=asked):
                    row = asked.status()["connections"][0]
                    return row if row["stuck"] > 0 else None

                row = wait_until(first, "the member to be seen to take nothing")
                self.assertEqual(row["id"], 1)
                self.assertGreater(row["pending_bytes"] - row["unsent_bytes"], OUTBOX // 2)
                text = asked.ask("/status?format=text").text
                self.assertRegex(text, r"(?m)^ +1 broadcast @ .*k +- +[\d.]+s$")
                numbers_in(stalled, 3)
                close_all(stalled, talker)

    def test_a_pause_in_a_burst(self):
        """A member that pauses in a burst at full speed hears all of it, in order; one that never reads is cut."""
        options = () if FULL else ("--slow-after", "5s")
        for poller in POLLERS:
            with self.subTest(poller=poller), \
                    serve("broadcast", workers=2, options=("--quiet", "--poller", poller, *options)) as server:
                members = []
                for size in (4096, None, None):
                    peer = Peer(server.address(), small_buffer=size)
                    peer.send(message("here"))
                    self.assertTrue(peer.line().endswith(ACK_ANSWER))
                    for other in members:
                        other.line()
                    members.append(peer)
                stalled, pausing, talker = members
                before = server.private_kib()
                talker.send(say(0))  # from then on it pauses
                begin, heard = time.monotonic(), []

                def hear(pausing=pausing, heard=heard):
                    threading.Event().wait(PAUSE)
                    heard += [pausing.line() for _ in range(BURST)]
                hearing = threading.Thread(target=hear)
                hearing.start()
                acknowledging = threading.Thread(target=lambda: [talker.line() for _ in range(BURST)])
                acknowledging.start()
                for number in range(1, BURST):
                    talker.send(say(number))
                sent = time.monotonic() - begin
                prefix = talker.name.encode() + TOLD
                hearing.join()
                self.assertTrue(heard == [prefix + text_of(number) + b"\n" for number in range(BURST)], len(heard))
                acknowledging.join()
                server.wait_text("reason=slow_consumer", name="err")
                grown = server.private_kib() - before
                self.assertTrue(grown <= GROWTH_KIB or server.is_sanitized(), grown)
                self.assertEqual(server.err.count("event=closed"), 1)
                if FULL:
                    print("%s: %d MB sent in %.2f s, memory grew by %d KiB" % (
                        poller, BURST * TEXT_SIZE // 10**6, sent, grown))
                close_all(*members)


if __name__ == "__main__":
    main()
