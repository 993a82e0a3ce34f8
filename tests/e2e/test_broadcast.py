# SPDX-License-Identifier: MIT
# test: serial timeout=300
"""A room of a hundred with a member that stalls and one that trickles: the other 98 get everything, in order, and the
server's memory is bounded. COR_E2E_FULL=1 publishes 50 MB to each, otherwise 8 MB with a smaller outbox: more than
socket buffers and the outbox take.
"""
import os
import select
import selectors
import signal
import tempfile
import threading
import time

from harness import (ACK_ANSWER, FULL, PATIENCE, TOLD, Case, close_all, join, main, message, need_json, serve, told,
                     wait_until)

READERS = 98
TEXT_SIZE = 8000
BYTES_EACH = 50_000_000 if FULL else 8_000_000
WINDOW = 8  # messages that may be under way to the slowest of the 98: less than an outbox
OUTBOX = 16 << 20 if FULL else 2 << 20  # the first is the default
GROWTH_KIB = 24 * 1024
FLOOD = 20_000  # messages of 1 KB at once: 20 MB


def text_of(number):
    return (b"%08d " % number) + b"abcdefg " * ((TEXT_SIZE - 9) // 8)


class Member:
    """A reader that compares the stream with what it must be."""

    def __init__(self, case, peer, prefix):
        self.case = case
        self.peer = peer
        self.prefix = prefix
        self.buffer = bytearray()
        self.got = 0  # messages

    def take(self):
        data = self.peer.sock.recv(1 << 18)
        if not data:
            raise AssertionError("a healthy reader was cut after %d messages" % self.got)
        self.buffer += data
        size = len(self.prefix) + len(text_of(0)) + 1
        while len(self.buffer) >= size:
            if self.buffer[:size] != self.prefix + text_of(self.got) + b"\n":
                raise AssertionError("message %d is wrong: %r" % (self.got, bytes(self.buffer[:80])))
            del self.buffer[:size]
            self.got += 1


class Room(Case):
    @classmethod
    def setUpClass(cls):
        need_json()

    def test_slow_members_among_a_hundred(self):
        for workers in (1, 2):
            options = () if FULL else ("--outbox", str(OUTBOX))
            with self.subTest(workers=workers), \
                    serve("broadcast", workers=workers, options=("--quiet", "--log-level", "warn", *options)) as server:
                self.run_room(server, workers)
                server.stop()
                self.assertEqual(server.process.returncode, 0, server.describe())

    def test_a_room_may_have_several_entries(self):
        """Who comes in by another door hears the same; the room's files are gone in the end."""
        for workers in (1, 2):
            with self.subTest(workers=workers), tempfile.TemporaryDirectory() as folder:
                services = ("broadcast", "broadcast=unix://" + folder + "/room", "broadcast=127.0.0.1:0")
                with serve(*services, workers=workers, options=("--quiet",)) as server, \
                        server.connect("broadcast tcp") as a, server.connect("broadcast unix") as b:
                    for peer in (a, b):  # who is answered is in; b may have been when a spoke
                        peer.send(message("here"))
                        while not peer.line().endswith(ACK_ANSWER):
                            pass
                    self.assertEqual(a.line(), b"@" + TOLD + b"here\n")
                    for peer, other in ((a, b), (b, a), (a, b)):
                        name = peer.name if peer is a else "@"
                        peer.send(message("from " + name))
                        self.assertEqual(peer.line(), name.encode() + ACK_ANSWER)
                        self.assertEqual(other.line(), name.encode() + TOLD + b"from " + name.encode() + b"\n")
                    server.stop()
                    self.assertEqual(server.process.returncode, 0, server.describe())
                self.assertEqual(os.listdir(folder), [])

    def test_a_pause_is_forgiven(self):
        """A member that reads nothing during a whole burst, less than the outbox, then hears all of it."""
        for workers in (1, 2, 8):
            with self.subTest(workers=workers), \
                    serve("broadcast", workers=workers, options=("--quiet", "--log-level", "warn")) as server:
                talker, pausing = join(self, server, 2)
                count = 1000
                for number in range(count):
                    talker.send(b'{"message":"' + text_of(number) + b'"}')
                for number in range(count):  # all has been said before the other reads on
                    self.assertEqual(talker.line(), talker.name.encode() + ACK_ANSWER)
                prefix = talker.name.encode() + TOLD
                for number in range(count):
                    self.assertEqual(pausing.line(), prefix + text_of(number) + b"\n")
                close_all(talker, pausing)

    def test_a_flood_beside_members_that_stall(self):
        """Healthy members hear all of a flood of many outboxes, also one that pauses until the flood has come to a
        halt for 0.3 s because of it; those that stall are cut."""
        count, outbox = 2000, 1 << 20
        for workers in (1, 2, 8):
            with self.subTest(workers=workers), \
                    serve("broadcast", workers=workers, options=("--log-level", "info", "--quiet",
                                                                 "--outbox", str(outbox))) as server:
                stalled = [self.enter(server, small_buffer=4096) for _ in range(2)]
                *readers, talker = join(self, server, 6)
                prefix, wrong, halted = talker.name.encode() + TOLD, [], threading.Event()

                def listen(peer, prefix=prefix, wrong=wrong, halted=halted, pausing=readers[0]):
                    for number in range(count):
                        if peer is pausing and number == 100:
                            halted.wait(PATIENCE)
                        line = peer.line()
                        if line != prefix + text_of(number) + b"\n":
                            wrong.append((number, line[:80]))
                            return

                def acknowledged(talker=talker, halted=halted):
                    left = count
                    while left > 0:
                        if not select.select([talker.sock], (), (), 0.3)[0]:
                            halted.set()
                        left -= talker.sock.recv(1 << 16).count(b"\n")
                    halted.set()

                threads = [threading.Thread(target=listen, args=(peer,)) for peer in readers]
                threads.append(threading.Thread(target=acknowledged))
                for thread in threads:
                    thread.start()
                talker.send(b"".join(b'{"message":"' + text_of(number) + b'"}' for number in range(count)))
                for thread in threads:
                    thread.join()
                self.assertEqual(wrong, [], server.describe())
                for peer in stalled:
                    peer.gone()
                server.wait_text("reason=slow_consumer", count=len(stalled), name="err")
                close_all(talker, *readers, *stalled)

    def test_slow_after(self):
        """A member that takes nothing at all is cut after a while, however little the room says."""
        for options, reason in ((("--slow-after", "300ms"), "slow_consumer"),
                                (("--write-timeout", "300ms"), "write_timeout"),
                                (("--slow-after", "0", "--write-timeout", "300ms"), "write_timeout"),
                                (("--slow-after", "300ms", "--slow-policy", "drop-oldest", "--write-timeout", "600ms"),
                                 "write_timeout")):
            with self.subTest(options=options), \
                    serve("broadcast", options=("--quiet", "--log-level", "info", *options)) as server:
                talker, stalled = self.enter(server), self.enter(server, small_buffer=4096)
                self.assertEqual(talker.line(), told(stalled, "here"))
                for number in range(1000):  # 8 MB: half an outbox, more than sockets hold
                    talker.send(b'{"message":"' + text_of(number) + b'"}')
                    self.assertEqual(talker.line(), talker.name.encode() + ACK_ANSWER)
                server.wait_text("reason=%s " % reason, name="err")
                stalled.gone()
                talker.send(message("still here"))
                self.assertEqual(talker.line(), talker.name.encode() + ACK_ANSWER)
                close_all(talker, stalled)

    def test_a_flood_cuts_nobody_who_reads(self):
        """Red if a sender is not paced: its flood then fills the outboxes of members that read all the time."""
        for workers in (1, 2):
            with self.subTest(workers=workers), \
                    serve("broadcast", workers=workers,
                          options=("--quiet", "--log-level", "warn", "--outbox", "256k")) as server:
                members = [self.enter(server) for _ in range(6)]
                for index, peer in enumerate(members):  # what the later ones said on entering
                    for _ in range(len(members) - index - 1):
                        peer.line()
                lines = [0] * len(members)

                def listen(index):
                    while lines[index] < FLOOD:
                        data = members[index].sock.recv(1 << 16)
                        if not data:
                            return
                        lines[index] += data.count(b"\n")

                listeners = [threading.Thread(target=listen, args=(index,)) for index in range(len(members))]
                for listener in listeners:
                    listener.start()
                members[-1].send(b'{"message":"%s"}' % (b"y" * 950) * FLOOD)
                for listener in listeners:
                    listener.join()
                self.assertEqual(lines, [FLOOD] * len(members))

    def test_floods_of_many_cut_nobody_who_reads(self):
        """Red if senders are not held up before they add to what waits: together they overrun the outboxes."""
        count, size = 1000, 1000
        for workers in (1, 2):
            with self.subTest(workers=workers), \
                    serve("broadcast", workers=workers,
                          options=("--quiet", "--log-level", "warn", "--outbox", "16k")) as server:
                members = [self.enter(server) for _ in range(8)]
                for index, peer in enumerate(members):
                    for _ in range(len(members) - index - 1):
                        peer.line()
                lines = [0] * len(members)

                def listen(index):
                    while lines[index] < count * len(members):
                        data = members[index].sock.recv(1 << 16)
                        if not data:
                            return
                        lines[index] += data.count(b"\n")

                flood = b'{"message":"%s"}' % (b"y" * size) * count
                threads = [threading.Thread(target=listen, args=(index,)) for index in range(len(members))]
                threads += [threading.Thread(target=peer.send, args=(flood,)) for peer in members]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                self.assertEqual(lines, [count * len(members)] * len(members), server.describe())
                for peer in members:
                    peer.close()

    def test_memory_is_the_log_s(self):
        """Sixty members that never read cost one log, not sixty outboxes."""
        outbox = 1 << 20
        for policy in ("drop-oldest", "cut"):
            with self.subTest(policy=policy), \
                    serve("broadcast", options=("--quiet", "--log-level", "error", "--outbox", str(outbox),
                                                "--slow-policy", policy)) as server:
                if server.is_sanitized():
                    self.skipTest("a sanitizer's memory cannot be judged")
                stalled = [self.enter(server, small_buffer=4096) for _ in range(60)]
                talker = self.enter(server)
                before = server.private_kib()
                for number in range(1500):  # 12 MB, each acknowledged
                    talker.send(b'{"message":"' + text_of(number) + b'"}')
                    self.assertEqual(talker.line(), talker.name.encode() + ACK_ANSWER)
                self.assertLess(server.private_kib() - before, 5 * outbox // 1024)
                for peer in (talker, *stalled):
                    peer.close()

    def test_a_room_that_falls_silent(self):
        """What writes to a member ends after a while without messages, and is there again for the next one."""
        with serve("broadcast", options=("--quiet", "--log-level", "warn")) as server:
            if server.is_sanitized():
                self.skipTest("a sanitizer may keep the signals that dumps are made by")
            a, b = self.enter(server), self.enter(server)
            a.line()
            wait_until(lambda: "delivery_wake" not in self.dump(server), "the writing tasks to end")
            a.send(b'{"message":"again"}')
            self.assertEqual(b.line(), a.name.encode() + TOLD + b"again\n")
            self.assertEqual(a.line(), a.name.encode() + ACK_ANSWER)
            wait_until(lambda: self.writes_again(server, a, b), "a writing task in the dump")
            a.close()
            b.close()

    def writes_again(self, server, a, b):
        """Says something, and looks; the task ends again soon."""
        a.send(b'{"message":"once more"}')
        self.assertEqual(b.line(), a.name.encode() + TOLD + b"once more\n")
        self.assertEqual(a.line(), a.name.encode() + ACK_ANSWER)
        return "delivery_wake" in self.dump(server)

    def test_order_of_one_s_own(self):
        """What a member says, gets wrong and hears comes in the order in which it happened."""
        with serve("broadcast", options=("--quiet", "--log-level", "warn")) as server:
            a, b = self.enter(server), self.enter(server)
            a.line()
            own, told, wrong = a.name.encode() + ACK_ANSWER, b.name.encode() + TOLD, b"invalid message: "
            for _ in range(100):
                a.send(b'{"message":"1"}x\n{"message":"2"}{"message":""}\n{"message":"3"}')
                b.send(b'{"message":"b"}')
                heard = [a.line() for _ in range(6)]
                heard.remove(told + b"b\n")
                self.assertEqual([line[:len(wrong)] for line in heard],
                                 [line[:len(wrong)] for line in (own, wrong, own, wrong, own)])
                heard = [b.line() for _ in range(4)]
                heard.remove(b.name.encode() + ACK_ANSWER)
                self.assertEqual(heard, [a.name.encode() + TOLD + b"%d\n" % number for number in (1, 2, 3)])
            a.close()
            b.close()

    @staticmethod
    def dump(server):
        """What SIGQUIT prints. Dumps come one after the other, so a second one ends the first."""
        mark = "SIGQUIT: all tasks"
        done = server.err.count(mark)
        for count in (1, 2):
            server.signal(signal.SIGQUIT)
            server.wait_text(mark, count=done + count, name="err")
        return server.err.split(mark)[done + 1]

    def enter(self, server, **options):
        """Connects and waits until the room knows the member: its own message is acknowledged."""
        peer = server.connect(**options)
        peer.send(b'{"message":"here"}')
        self.assertEqual(peer.line(), peer.name.encode() + ACK_ANSWER)
        return peer

    def run_room(self, server, workers):
        stalled = self.enter(server, small_buffer=4096)
        trickle = self.enter(server, small_buffer=4096)
        talker = self.enter(server)
        readers = [self.enter(server) for _ in range(READERS)]
        for index, peer in enumerate(readers):  # what the later ones said on entering
            for _ in range(READERS - index - 1):
                peer.line()
        for _ in range(READERS):
            talker.line()
        prefix = talker.name.encode() + TOLD
        members = [Member(self, peer, prefix) for peer in readers]
        before = server.private_kib()
        peak, begin, gaps = self.publish(server, talker, members, trickle, BYTES_EACH // TEXT_SIZE)
        seconds = time.monotonic() - begin
        gaps.sort()
        print("workers %d: %d messages of %d bytes to each of %d readers in %.1f s; one reaches all 98 in %.1f ms "
              "(median), %.1f ms (p99); server grew by %d KiB at most" % (
                  workers, BYTES_EACH // TEXT_SIZE, TEXT_SIZE, READERS, seconds, gaps[len(gaps) // 2] * 1000,
                  gaps[len(gaps) * 99 // 100] * 1000, peak - before))
        if not server.is_sanitized():
            self.assertLess(peak - before, GROWTH_KIB)
        stalled.gone()  # cut by the default policy: it is farther behind than the outbox
        for peer in (stalled, trickle, talker, *readers):
            peer.close()

    def publish(self, server, talker, members, trickle, count):
        """Publishes `count` messages, never more than WINDOW ahead of the slowest healthy reader; all in one loop."""
        begin = last_news = last_trickle = time.monotonic()
        peak, sent, sent_at, gaps = 0, 0, {}, []
        talker.sock.setblocking(False)
        trickle.sock.setblocking(False)
        pending = b""
        with selectors.DefaultSelector() as selector:
            for member in members:
                selector.register(member.peer.sock, selectors.EVENT_READ, member)
            selector.register(talker.sock, selectors.EVENT_READ, None)
            done = 0
            while done < count:
                while not pending and sent < min(count, done + WINDOW):
                    pending = b'{"client_ip":"x","message":"' + text_of(sent) + b'"}'
                    sent_at[sent] = time.monotonic()
                    sent += 1
                    pending = self.push(talker.sock, pending)
                if pending:
                    pending = self.push(talker.sock, pending)
                for key, _ in selector.select(0.05):
                    last_news = time.monotonic()
                    if key.data is None:
                        talker.sock.recv(65536)  # acknowledgements
                    else:
                        key.data.take()
                now = time.monotonic()
                slowest = min(member.got for member in members)
                while done < slowest:
                    gaps.append(now - sent_at.pop(done))
                    done += 1
                if now - last_trickle > 1:
                    last_trickle = now
                    peak = max(peak, server.private_kib())
                    self.trickle(trickle.sock)
                self.assertLess(now - last_news, PATIENCE, "stuck at message %d of %d" % (done, count))
        return max(peak, server.private_kib()), begin, gaps

    @staticmethod
    def push(sock, data):
        try:
            return data[sock.send(data):]
        except BlockingIOError:
            return data

    @staticmethod
    def trickle(sock):
        try:
            sock.recv(1024)
        except (BlockingIOError, ConnectionError):
            pass

    def test_policies_that_drop_keep_the_member(self):
        """With drop-oldest and drop-newest a stalled member stays, whole messages are missing, none is cut short."""
        for policy in ("drop-oldest", "drop-newest"):
            with self.subTest(policy=policy), \
                    serve("broadcast", options=("--quiet", "--outbox", "64k", "--slow-policy", policy)) as server:
                stalled = self.enter(server, small_buffer=4096)
                talker = self.enter(server)
                stalled.line()
                count = 1500
                for number in range(count):  # 12 MB
                    talker.send(b'{"message":"' + text_of(number) + b'"}')
                    self.assertEqual(talker.line(), talker.name.encode() + ACK_ANSWER)
                numbers = []
                prefix = talker.name.encode() + TOLD
                over = threading.Event()

                def end(talker=talker, over=over, once=policy == "drop-oldest"):
                    """Says so until it is heard: with drop-newest the end itself may be dropped at first."""
                    while not over.is_set():
                        talker.send(b'{"message":"end"}')
                        talker.line()
                        if once:
                            break
                ending = threading.Thread(target=end)
                ending.start()
                try:
                    while (line := stalled.line()) != prefix + b"end\n":
                        number = int(line[len(prefix):len(prefix) + 8])
                        self.assertEqual(line, prefix + text_of(number) + b"\n")
                        numbers.append(number)
                finally:
                    over.set()
                    ending.join()
                self.assertEqual(numbers, sorted(set(numbers)))
                self.assertLess(len(numbers), count)
                self.assertEqual(numbers[0], 0)
                if policy == "drop-oldest":
                    self.assertEqual(numbers[-1], count - 1)
                server.stop()
                self.assertEqual(server.process.returncode, 0, server.describe())

    def test_policy_block_holds_the_sender(self):
        """With block nothing is lost: the sender is held until the stalled member reads on."""
        with serve("broadcast", options=("--quiet", "--outbox", "64k", "--slow-policy", "block")) as server:
            stalled = self.enter(server, small_buffer=4096)
            talker = self.enter(server)
            stalled.line()
            count, acknowledged = 1200, 0  # 10 MB: twice what a system's buffers take for the stalled member
            stream = b"".join(b'{"message":"' + text_of(number) + b'"}' for number in range(count))
            sending = threading.Thread(target=talker.send, args=(stream,))
            sending.start()
            while acknowledged < count and select.select([talker.sock], (), (), 1)[0]:
                acknowledged += talker.sock.recv(1 << 16).count(b"\n")
            self.assertLess(acknowledged, count, "all was taken although a member does not read")
            prefix = talker.name.encode() + TOLD
            for number in range(200):
                self.assertEqual(stalled.line(), prefix + text_of(number) + b"\n")
            stalled.close()
            for _ in range(acknowledged, count):
                self.assertEqual(talker.line(), talker.name.encode() + ACK_ANSWER)
            sending.join()
            talker.close()


if __name__ == "__main__":
    main()
