# SPDX-License-Identifier: MIT
# test: serial timeout=300
"""Ten thousand idle connections: what each costs, that each still answers, and that all of it is given back."""
import resource

from harness import Case, Peer, main, serve, settled_fds, wait_until

WANTED = 10000
KIB_EACH = 4.5
KIB_LEFT = 8192
SPARE = 500  # descriptors for everything else, in this process and in the server


def raise_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Idle(Case):
    def open(self, server, count):
        """Connects `count` clients from several addresses, so that ports do not run out."""
        peers = []
        for i in range(count):
            peers.append(Peer(server.address(), source="127.0.0.%d" % (2 + i % 8)))
        return peers

    def exchange(self, peers):
        """One byte there and back on every connection, checked."""
        for i, peer in enumerate(peers):
            peer.send(bytes([i % 251]))
        for i, peer in enumerate(peers):
            self.assertEqual(peer.read(1), bytes([i % 251]))

    def run_idle(self, workers):
        count = min(WANTED, raise_limit() - SPARE)
        if count < WANTED:
            print("limit of descriptors: only %d connections" % count)
        with serve("echo", workers=workers, options=("--quiet", "--log-level", "error")) as server:
            with server.connect() as peer:  # what the first connection sets up is not counted
                peer.send("w")
                self.assertEqual(peer.read(1), b"w")
            base_fds = settled_fds(server)
            base = server.private_kib()
            peers = self.open(server, count)
            try:
                wait_until(lambda: server.fds() >= base_fds + count, "all connections to be accepted")
                each = wait_until(lambda: self.settled_memory(server, base, count))
                print("workers %d: %d idle connections, %.2f KiB of private memory each" % (workers, count, each))
                self.exchange(peers)
                after = (server.private_kib() - base) / count
                print("workers %d: %.2f KiB each after one byte there and back" % (workers, after))
            finally:
                for peer in peers:
                    peer.close()
            server.wait_fds(base_fds, seconds=60)
            left = server.private_kib() - base
            print("workers %d: %d KiB more than before once all are closed" % (workers, left))
            if not server.is_sanitized():
                self.assertLessEqual(each, KIB_EACH)
                self.assertLessEqual(after, KIB_EACH)
                wait_until(lambda: server.private_kib() - base <= KIB_LEFT,
                           lambda: "memory to be given back, %d KiB kept" % (server.private_kib() - base))
            with server.connect() as peer:
                peer.send("still there")
                self.assertEqual(peer.read(11), b"still there")
            server.stop()
            self.assertEqual(server.process.returncode, 0, server.describe())

    @staticmethod
    def settled_memory(server, base, count, seen={}):
        now = server.private_kib()
        before, seen[server.pid] = seen.get(server.pid), now
        return (now - base) / count if now == before else 0

    def test_one_worker(self):
        self.run_idle(1)

    def test_two_workers(self):
        self.run_idle(2)


if __name__ == "__main__":
    main()
