# SPDX-License-Identifier: MIT
"""Attack A2: members of a room that do not read, or hardly. What the others get, when, and what it costs."""
import select
import socket
import time
import zlib

from harness import ACK_ANSWER, PATIENCE, TOLD, Peer, close_all, join, message, need_json

from ground import EACH, Ground

GAP_P99_S = 0.050
MEMBER_KIB = 16 + 64 + 64 + 8  # of SECURITY.md: a read, a message, a slice being written, and its task


class Crowd:
    """The members that read, and the one that speaks, in one loop: all that the others get is counted and summed. It
    reads from each in turn, and not too much at once: what a turn takes is part of every gap that it sees."""

    def __init__(self, server, speaker, readers, trickling):
        self.server, self.speaker, self.trickling, self.buffer = server, speaker, trickling, bytearray(1 << 16)
        self.readers = {peer.sock.fileno(): [peer, 0, 0, None] for peer in readers}  # with bytes, sum, last time
        self.gaps, self.turns, self.highest, self.unsent, self.heard = [], [], 0, b"", 0
        self.epoll = select.epoll()
        for peer in (speaker, *readers):
            peer.sock.setblocking(False)
            self.epoll.register(peer.sock, select.EPOLLIN)

    def publish(self, count, size, pause):
        """Sends `count` messages of `size` bytes; gives the bytes and the sum of what each reader should have."""
        bytes_due, sum_due, begin = 0, 0, self.speaker.name.encode() + TOLD
        for number in range(count):
            text = "%08d" % number + "z" * (size - 8)
            line = begin + text.encode() + b"\n"
            bytes_due, sum_due = bytes_due + len(line), zlib.crc32(line, sum_due)
            self.unsent += message(text)
            while self.unsent:
                self.turn(pause)
        return bytes_due, sum_due

    def turn(self, pause):
        if self.unsent:
            try:
                self.unsent = self.unsent[self.speaker.sock.send(self.unsent):]
            except BlockingIOError:
                self.epoll.modify(self.speaker.sock, select.EPOLLIN | select.EPOLLOUT)
        ready, begin = self.epoll.poll(0.1), time.monotonic()
        for fd, _ in ready:
            if fd == self.speaker.sock.fileno():
                self.epoll.modify(fd, select.EPOLLIN)
                try:
                    self.heard += len(self.speaker.sock.recv(1 << 16))
                except BlockingIOError:
                    pass
            else:
                self.read(self.readers[fd])
        now = time.monotonic()
        self.turns.append(now - begin)
        if now >= getattr(self, "next_look", 0):
            self.next_look = now + pause
            self.highest = max(self.highest, self.server.smaps("Rss"))
            self.trickle()

    def read(self, reader):
        count = reader[0].sock.recv_into(self.buffer)
        if count == 0:
            raise AssertionError("a reader was cut")
        now = time.monotonic()
        if reader[3] is not None:
            self.gaps.append(now - reader[3])
        reader[1:] = reader[1] + count, zlib.crc32(memoryview(self.buffer)[:count], reader[2]), now

    def trickle(self):
        try:
            self.trickling.sock.recv(1024, socket.MSG_DONTWAIT)
        except OSError:
            pass


class A2(Ground):
    """Slow readers in a room: one takes nothing, one a thousand bytes a second. The others get every byte, in time; the
    two are cut for it, and counted."""

    def test_slow_readers(self):
        need_json()
        for poller, workers in self.size(EACH, EACH[::3]):
            options = self.size((), ("--outbox", "512k", "--slow-after", "500ms"))
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("broadcast", poller=poller, workers=workers, options=options) as server:
                # Of the room's log malloc keeps more or less for the next flood.
                server.room = max(server.room, self.size(24 << 10, 0))
                for number, _ in enumerate(self.cycles(server), 1):
                    self.attack(server, number, self.size(98, 8), self.size(5000, 800), self.size(10000, 8000))
            self.assertEqual(server.counters.get("slow_consumer"), 2 * number)

    def attack(self, server, number, readers, count, size):
        """Each gets more than a system's buffers take: 4 MiB, the most of net.ipv4.tcp_wmem."""
        before = server.smaps("Rss")
        stalled, trickling = (self.member(server, small_buffer=4096) for _ in range(2))
        speaker, *others = join(self, server, readers + 1)
        crowd = Crowd(server, speaker, others, trickling)
        bytes_due, sum_due = crowd.publish(count, size, self.size(1.0, 0.1))
        acks_due = count * len(speaker.name.encode() + ACK_ANSWER)
        over = time.monotonic() + self.size(120, PATIENCE)
        while crowd.heard < acks_due or any(reader[1] < bytes_due for reader in crowd.readers.values()):
            self.assertLess(time.monotonic(), over, "acknowledgements or messages are missing")
            crowd.turn(self.size(1.0, 0.1))
        self.assertEqual({tuple(reader[1:3]) for reader in crowd.readers.values()}, {(bytes_due, sum_due)})
        self.assertEqual(crowd.heard, acks_due)
        gaps, turns = sorted(crowd.gaps), sorted(crowd.turns)
        p99, grown = gaps[len(gaps) * 99 // 100], crowd.highest - before
        if self.full:
            print("%d MB to each of %d: p99 of the gaps %.1f ms, longest %.0f ms, of them at most %.1f ms (p99) that "
                  "reading itself takes; memory %+d KiB" % (bytes_due // 1000000, readers, p99 * 1000, gaps[-1] * 1000,
                                                            turns[len(turns) * 99 // 100] * 1000, grown), flush=True)
            if not server.is_sanitized():
                self.assertLess(p99, GAP_P99_S)
        if not server.is_sanitized():
            self.assertLess(grown, self.size(16 << 10, 512 + server.room) + (readers + 3) * MEMBER_KIB)
        server.wait_text("reason=slow_consumer", count=2 * number, name="err")
        close_all(stalled, trickling, speaker, *others)

    def member(self, server, **more):
        """Joins as a member that the room knows, and reads no more."""
        peer = Peer(server.address("broadcast"), **more)
        peer.send(message("here"))
        self.assertEqual(peer.line(), peer.name.encode() + ACK_ANSWER)
        return peer
