# SPDX-License-Identifier: MIT
# test: serial
"""A thousand connections over two workers: the task dump shows that each worker has its half, within 5 %."""
import collections
import re
import signal

from harness import Case, close_all, main, serve, wait_until

COUNT = 1000
BATCH = 20
ATTEMPTS = 3  # a worker whose thread the machine does not let run is relieved of new clients, rightly


class Balance(Case):
    def test_shares(self):
        seen = []
        for _ in range(ATTEMPTS):
            seen.append(self.measure())
            print("tasks per worker: %s" % seen[-1])
            if max(seen[-1].values()) <= COUNT / 2 * 1.05:
                return
        self.fail("never even within 5 %%: %s" % seen)

    def measure(self):
        with serve("echo", workers=2, options=("--quiet", "--log-level", "error")) as server:
            peers = []
            for _ in range(COUNT // BATCH):
                batch = [server.connect() for _ in range(BATCH)]
                for peer in batch:
                    peer.send("x")
                for peer in batch:
                    self.assertEqual(peer.read(1), b"x")
                peers += batch
            server.signal(signal.SIGQUIT)
            shares = wait_until(lambda: self.shares(server.err), lambda: "a dump of all tasks: " + server.err[-2000:])
            self.assertEqual(len(shares), 2, shares)
            close_all(*peers)
            server.stop()
            self.assertEqual(server.process.returncode, 0, server.describe())
            return shares

    @staticmethod
    def shares(dump):
        """Counts the tasks per worker once all are there: sessions, main, two acceptors, the watch over memory."""
        counts = collections.Counter(re.findall(r"(?m)^task \d+ \[.*worker (\d+)\]", dump))
        return counts if sum(counts.values()) == COUNT + 4 else None


if __name__ == "__main__":
    main()
