# SPDX-License-Identifier: MIT
"""How the session of one client ends: what it is still told, what the log says, what that means for the others."""
import os
import time

from harness import ACK_ANSWER, PATIENCE, Case, main, message, need_json, serve

HELD_S = 2  # longer than the room goes on believing that a member is moving
FLOOD = b"".join(message("%08d" % number + "x" * 8000) for number in range(300))  # 2 MB; a unix socket takes 0.2


class Told(Case):
    @classmethod
    def setUpClass(cls):
        need_json()

    def test_half_a_message(self):
        """What was wrong with its last words reaches a client that has closed its sending side."""
        for first in (b"", message("whole")):
            with self.subTest(first=first), serve("broadcast") as server, server.connect() as peer:
                if first:
                    peer.send(first)
                    self.assertIn(ACK_ANSWER, peer.line())
                peer.send(b'{"message":"hal')
                peer.half_close()
                self.assertIn(b"unexpected end of data", peer.read_all())


class Reasons(Case):
    def test_silent_and_idle(self):
        with serve("echo", options=("--first-byte-timeout", "100ms")) as server, server.connect() as peer:
            self.assertEqual(peer.read_all(), b"")
            server.wait_text("reason=first_byte_timeout", name="err")
        with serve("echo", options=("--idle-timeout", "100ms")) as server, server.connect() as peer:
            peer.send(b"x")
            self.assertEqual(peer.read_all(), b"x")
            server.wait_text("reason=idle ", name="err")


class Held(Case):
    @classmethod
    def setUpClass(cls):
        need_json()

    def send_on(self, peer, rest, seconds):
        """Sends, and reads what comes, until all is sent or nothing was taken for so long: what is left."""
        peer.sock.setblocking(False)
        since = time.monotonic()
        while rest and time.monotonic() - since < seconds:
            try:
                rest = rest[peer.sock.send(rest):]
                since = time.monotonic()
            except BlockingIOError:
                pass
            try:
                peer.sock.recv(1 << 16)
            except BlockingIOError:
                pass
        return rest

    def test_who_leaves_holds_nobody(self):
        """With the policy block senders wait for a member that does not read. When it leaves, they go on."""
        options = ("--quiet", "--outbox", "64k", "--slow-policy", "block", "--write-timeout", "10m")
        with serve("broadcast=unix://@coracle-endings-%d" % os.getpid(), options=options) as server:
            stalled = server.connect()
            stalled.send(message("here"))
            self.assertIn(ACK_ANSWER, stalled.line())
            talker = server.connect()
            rest = self.send_on(talker, FLOOD, HELD_S)
            self.assertTrue(rest, "all was taken although a member does not read")
            stalled.half_close()
            self.assertEqual(len(self.send_on(talker, rest, PATIENCE)), 0)
            stalled.close()
            talker.close()


if __name__ == "__main__":
    main()
