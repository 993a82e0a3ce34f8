# SPDX-License-Identifier: MIT
# test: serial timeout=300
"""Ten thousand idle connections, on both pollers: what each costs, that each still answers, that all is given back."""
import os
import resource
import unittest

from harness import Case, Peer, close_all, main, serve, settled_fds, wait_until

WANTED = 10000
# 4.2 KiB: a page of stack, the handle, what the poller keeps for it. Without deadlines: each costs some 50 bytes more.
BYTES_EACH = 4300
KIB_LEFT = 8192
# What a worker has once it has received anything, however many connections there are.
KIB_PER_WORKER = {"epoll": 0, "io_uring": 1024}
AT_A_TIME = 500
FIRST = 16  # what the first on each worker set up is not counted
SPARE = 500  # descriptors for everything else, in this process and in the server


def raise_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Idle(Case):
    def open(self, server, count):
        """Connects `count` clients from several addresses, so that ports do not run out. Some wait to be accepted at a
        time: room for a crowd of them would be counted as theirs."""
        peers, before = [], server.fds()
        for i in range(count):
            peers.append(Peer(server.address(), source="127.0.0.%d" % (2 + i % 8)))
            if len(peers) % AT_A_TIME == 0 or len(peers) == count:
                wait_until(lambda: server.fds() >= before + len(peers), "all connections to be accepted")
        return peers

    def exchange(self, peers):
        """One byte there and back on every connection, checked."""
        for i, peer in enumerate(peers):
            peer.send(bytes([i % 251]))
        for i, peer in enumerate(peers):
            self.assertEqual(peer.read(1), bytes([i % 251]))

    def run_idle(self, poller, workers):
        count = min(WANTED, raise_limit() - SPARE)
        if count < WANTED:
            print("limit of descriptors: only %d connections" % count)
        options = ("--quiet", "--log-level", "error", "--no-limits", "--poller", poller)
        with serve("echo", workers=workers, options=options) as server:
            first = self.open(server, FIRST)
            self.exchange(first)
            base_fds = settled_fds(server)
            base = server.private_kib()
            peers = self.open(server, count)
            try:
                each = wait_until(lambda: self.settled_memory(server, base)) * 1024 / count
                self.exchange(peers)
                after = (server.private_kib() - base - KIB_PER_WORKER[poller] * workers) * 1024 / count
                print("%s, workers %d: %d idle connections, %.0f bytes of private memory each; %.0f after a byte there "
                      "and back" % (poller, workers, count, each, after))
            finally:
                close_all(*peers)
            server.wait_fds(base_fds, seconds=60)
            close_all(*first)
            print("%d KiB more than before once all are closed" % (server.private_kib() - base))
            if not server.is_sanitized():
                self.assertLessEqual(each, BYTES_EACH)
                self.assertLessEqual(after, BYTES_EACH)
                wait_until(lambda: server.private_kib() - base <= KIB_LEFT,
                           lambda: "memory to be given back, %d KiB kept" % (server.private_kib() - base))
            with server.connect() as peer:
                peer.send("still there")
                self.assertEqual(peer.read(11), b"still there")
            server.stop()
            self.assertEqual(server.process.returncode, 0, server.describe())

    @staticmethod
    def settled_memory(server, base, seen={}):
        now = server.private_kib()
        before, seen[server.pid] = seen.get(server.pid), now
        return now - base if now == before else 0

    def test_one_worker(self):
        self.run_idle("epoll", 1)

    def test_two_workers(self):
        self.run_idle("epoll", 2)

    def test_one_worker_uring(self):
        self.run_idle("io_uring", 1)

    def test_two_workers_uring(self):
        self.run_idle("io_uring", 2)


LITTLE = 160 << 20  # bytes of addresses: the program itself and some hundred connections


def little_memory():
    resource.setrlimit(resource.RLIMIT_AS, (LITTLE, LITTLE))


class OutOfMemory(Case):
    def test_lives_on(self):
        """Who has no memory for a connection refuses it and says so; the others are served, and new ones later."""
        if os.environ.get("COR_SANITIZE"):
            raise unittest.SkipTest("a sanitizer needs the addresses")
        for workers in (1, 2):
            with serve("echo", workers=workers, preexec=little_memory) as server:
                peers = []
                for _ in range(3000):
                    if "event=accept_paused" in server.err:
                        break
                    peers.append(server.connect())
                    peers[-1].send("x")
                server.wait_text("event=accept_paused service=echo error=\"cannot allocate memory\"", name="err")
                for peer in peers[:100]:
                    self.assertEqual(peer.read(1), b"x")
                    peer.send("y")
                    self.assertEqual(peer.read(1), b"y")
                for peer in peers:
                    peer.close()
                with server.connect() as peer:
                    peer.send("z")
                    self.assertEqual(peer.read(1), b"z")
                server.stop()
                self.assertEqual(server.process.returncode, 0, server.describe())


if __name__ == "__main__":
    main()
