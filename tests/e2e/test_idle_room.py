# SPDX-License-Identifier: MIT
# test: serial timeout=300
"""Ten thousand idle members of a room by WebSocket: each costs at most half as much again as one by TCP, still answers,
and is told when the server goes."""
import os
import unittest

from harness import ACK_ANSWER, Case, Peer, main, message, need_json, serve, wait_until
from test_idle import SPARE, WANTED, raise_limit
from websocket import PING, PONG, TEXT, WebPeer, frame, need_websocket

MOST = 1.5
SOME = 100  # members whose answers are looked at
WAYS = (("epoll", 1), ("epoll", 2), ("io_uring", 1), ("io_uring", 2))
OPTIONS = ("--quiet", "--log-level", "error", "--no-limits", "--ping", "10m")


class Idle(Case):
    def members(self, server, count, entry):
        peers = []
        for i in range(count):
            source = "127.0.0.%d" % (2 + i % 8)
            peers.append(WebPeer(server.address(entry), source=source) if entry.endswith("ws") else
                         Peer(server.address(entry), source=source))
        return peers

    def each(self, poller, workers, entry, count, most):
        """Bytes of private memory for each of so many idle members; waits until they are at most so many."""
        with serve("broadcast", "broadcast=ws://127.0.0.1:0", workers=workers,
                   options=(*OPTIONS, "--poller", poller)) as server:
            with server.connect("broadcast tcp") as tcp, WebPeer(server.address("broadcast ws")) as web:
                web.send(frame(PING))  # what the first ones set up is not counted
                self.assertEqual(web.frame(), (PONG, b""))
                tcp.send(message("first"))
                self.assertEqual(tcp.line(), tcp.name.encode() + ACK_ANSWER)
            fds, base, looks = server.fds(), server.private_kib(), []
            peers = self.members(server, count, entry)
            wait_until(lambda: server.fds() >= fds + count - 2, "all to be accepted")

            def settled():
                looks.append(server.private_kib())
                return len(looks) > 1 and looks[-1] == looks[-2] and looks[-1]
            # What the handshake touched of a stack goes back when the member has been silent for 5 s.
            wait_until(lambda: (server.private_kib() - base) * 1024 / count <= most,
                       lambda: "%d bytes each, %d KiB now" % (most, server.private_kib() - base), seconds=60)
            each = (wait_until(settled, "memory to settle", seconds=60) - base) * 1024 / count
            if entry.endswith("ws"):
                for peer in peers[:SOME]:
                    peer.send(frame(PING, b"x"))
                    self.assertEqual(peer.frame(), (PONG, b"x"))
                peers[0].say('{"message":"to all"}')
                for peer in peers[1:]:
                    opcode, line = peer.frame()
                    self.assertTrue(opcode == TEXT and line.endswith(b"to all"), line)
            for peer in peers:
                peer.close()
            server.stop()
            self.assertEqual(server.process.returncode, 0, server.describe())
        return each

    def test_members(self):
        need_json()
        need_websocket()
        if os.environ.get("COR_SANITIZE"):
            raise unittest.SkipTest("a sanitizer's memory tells nothing")
        count = min(WANTED, raise_limit() - SPARE)
        for poller, workers in WAYS:
            with self.subTest(poller=poller, workers=workers):
                plain = self.each(poller, workers, "broadcast tcp", count, 1 << 20)
                web = self.each(poller, workers, "broadcast ws", count, MOST * plain)
                print("%s, workers %d: %d idle members, %.0f bytes each by TCP, %.0f by WebSocket"
                      % (poller, workers, count, plain, web))
                self.assertLessEqual(web, MOST * plain)


if __name__ == "__main__":
    main()
