# SPDX-License-Identifier: MIT
"""Attack D7: programs that `coracle serve exec` runs, and that do not want to go.

What a client says first decides what the program does. After each part nothing of it is left: no process that was
started for a connection, and no child of the server, running or dead.
"""
import os
import signal
import time

from harness import Peer, close_all, serve, wait_until

from ground import EACH, Ground

PROGRAM = ("sh", "-c", r"""
read what
case $what in
ignore) trap '' TERM HUP INT; echo $$; while :; do sleep 1000; done;;
daemon) echo $$
        setsid sh -c 'trap "" TERM HUP; echo daemon; exec sleep 1001 >/dev/null 2>&1' &
        setsid sh -c 'setsid sh -c "echo daemon; exec sleep 1002 >/dev/null 2>&1" & exec sleep 1003 >/dev/null 2>&1' &
        read go;;
flood) echo $$; exec yes 'a line for the log' >&2;;
much) echo $$; exec head -c 1G /dev/zero;;
cat) echo $$; exec cat;;
esac
exit 7""")


def processes(server):
    """What there is of processes that belong to connections of the server: text for each."""
    mark = b"CORACLE_CONN=%d." % server.pid
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid, encoding="utf-8", errors="replace") as stat:
                state, parent = stat.read().rpartition(")")[2].split()[:2]
            with open("/proc/%s/environ" % pid, "rb") as environ:
                marked = any(line.startswith(mark) for line in environ.read().split(b"\0"))
        except (OSError, ValueError):
            continue
        if marked or int(parent) == server.pid:
            found.append("%s (%s)" % (pid, state))
    return found


class D7(Ground):
    """Programs that ignore SIGTERM, leave daemons, flood their standard error, write 1 GB to nobody, end at once; more
    connections than there may be processes; the end of the server among all of these."""

    OPTIONS = ("--exec-grace", "100ms", "--write-timeout", "200ms")

    def test_programs(self):
        for poller, workers in self.size(EACH, EACH[::3]):
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("exec", poller=poller, workers=workers, program=PROGRAM,
                                  options=(*self.OPTIONS, "--exec-max", str(self.size(64, 8)))) as server:
                self.check_only_three_descriptors(server)
                for part in (self.ignores, self.leaves_daemons, self.floods, self.writes_to_nobody, self.ends_at_once,
                             self.too_many):
                    part(server)
                    wait_until(lambda: not processes(server), lambda: "the end of %s after %s: %s" % (
                        processes(server), part.__name__, server.describe()))
            self.assertEqual(server.counters, {**self.expected, "eof": server.counters["eof"]})

    def begin(self, server, what, **more):
        peer = Peer(server.address("exec"), **more)
        peer.send(what + "\n")
        return peer

    def begun(self, server, what, **more):
        peer = self.begin(server, what, **more)
        peer.pid = int(peer.line())
        return peer

    def check_only_three_descriptors(self, server):
        # A first client of each service has come and gone before; that of exec said nothing.
        self.expected = {"reset": 0, "write_timeout": 0, "exec_exit": 1, "max_conns": 0}
        with self.begun(server, "cat") as one, self.begun(server, "cat") as other:
            for peer in (one, other):
                peer.send("begun")
                self.assertEqual(peer.read(5), b"begun")
                self.assertEqual(sorted(os.listdir("/proc/%d/fd" % peer.pid)), ["0", "1", "2"])
                self.assertEqual((os.getpgid(peer.pid), os.getsid(peer.pid)), (peer.pid, peer.pid))
            one.half_close()
            self.assertEqual(one.read_all(), b"")
            other.send("to the end")
            self.assertEqual(other.read(10), b"to the end")

    def ignores(self, server):
        peers = [self.begun(server, "ignore") for _ in range(self.size(20, 3))]
        for peer in peers:
            peer.reset()
        self.expected["reset"] += len(peers)

    def leaves_daemons(self, server):
        for _ in range(self.size(20, 2)):
            with self.begun(server, "daemon") as peer:
                self.assertEqual([peer.line(), peer.line()], [b"daemon\n"] * 2)
                peer.send("go\n")
                self.assertEqual(peer.read_all(), b"")
            self.expected["exec_exit"] += 1

    def floods(self, server):
        begin = time.monotonic()
        peers = [self.begun(server, "flood") for _ in range(2)]
        server.wait_text('line="a line for the log"', count=self.size(2 * 20 * 3, 2 * 20), name="err")
        for peer in peers:
            peer.reset()
        server.wait_text("event=stderr_suppressed", count=2, name="err")
        seconds = time.monotonic() - begin
        self.assertLessEqual(server.err.count("event=stderr "), 2 * 20 * (seconds + 1))
        self.expected["reset"] += len(peers)

    def writes_to_nobody(self, server):
        with self.begun(server, "much") as peer:
            server.wait_text("reason=write_timeout", name="err")
            self.assertLess(len(peer.gone()), 1 << 26)
        self.expected["write_timeout"] += 1

    def ends_at_once(self, server):
        count = self.size(200, 10)
        for _ in range(count):
            with self.begin(server, "nothing known") as peer:
                self.assertEqual(peer.read_all(), b"")
        self.expected["exec_exit"] += count
        wait_until(lambda: server.told("closed").get("exec_exit") == self.expected["exec_exit"], "all to be closed")

    def too_many(self, server):
        most, count = self.size(64, 8), self.size(300, 24)
        wait_until(lambda: not processes(server), "room for all")
        peers = [self.begun(server, "cat") for _ in range(most)]
        for _ in range(count - most):
            with Peer(server.address("exec")) as refused:
                self.assertEqual(refused.read_all(), b"refused: too many connections\n")
        for peer in peers:
            peer.half_close()
            self.assertEqual(peer.read_all(), b"")
        self.expected["max_conns"] += count - most
        wait_until(lambda: not processes(server), "room again")
        with self.begun(server, "cat") as again:
            again.half_close()
            self.assertEqual(again.read_all(), b"")
        close_all(*peers)

    def test_the_end_of_the_server(self):
        """SIGTERM is passed on; what ignores it is killed when the grace is over, at once by a second signal."""
        for poller, workers, twice in ((*EACH[0], False), (*EACH[3], False), (*EACH[2], True)):
            with self.subTest(poller=poller, workers=workers, twice=twice), \
                    serve("exec", workers=workers, program=PROGRAM,
                          options=("--poller", poller, "--exec-grace", "10m",
                                   "--grace", "10m" if twice else "300ms")) as server, \
                    self.begun(server, "cat") as polite, self.begun(server, "ignore") as stubborn:
                server.signal(signal.SIGTERM)
                polite.gone()
                if twice:
                    self.assertTrue(os.path.exists("/proc/%d" % stubborn.pid))
                    server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 128 + signal.SIGTERM if twice else 0, server.describe())
                wait_until(lambda: not processes(server), lambda: "the end of %s" % processes(server))
                if not twice:
                    self.assertEqual(self.check_sums(server), {"drain": 2})
