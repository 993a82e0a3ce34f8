# SPDX-License-Identifier: MIT
"""Attacks A3 and A4: clients that vanish without a word, and clients that break off, thousands a second."""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from harness import BIN, PATIENCE, Peer, close_all, need_json, need_tool, wait_until

from ground import EACH, Ground

ADDRESS = "10.77.0.1"
GIVE_UP_S = 45
ALONE = ("unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
# In a network of its own: connects, says so, and cuts itself off when told to; what its kernel would answer goes
# nowhere.
CROWD = """
import socket, subprocess, sys
count, *ports = map(int, sys.argv[1:])
sys.stdin.readline()
run = lambda *words: subprocess.run(("ip", *words), check=True)
run("link", "set", "lo", "up")
run("addr", "add", "10.77.0.2/24", "dev", "v1")
run("link", "set", "v1", "up")
socks = [socket.create_connection(("10.77.0.1", port), 20) for port in ports for _ in range(count)]
for sock in socks:
    sock.sendall(b"x")
print("connected", flush=True)
sys.stdin.readline()
run("route", "add", "blackhole", "10.77.0.1/32")
print("cut", flush=True)
sys.stdin.readline()
"""


class Far(contextlib.ExitStack):
    """`count` clients of each of `services` on the other side of a cable from the server, both in networks of their
    own. They are members of a room, or in the middle of a line."""

    def __init__(self, server, services, count):
        super().__init__()
        self.inside = ("nsenter", "-t", str(server.pid), "-U", "-n", "--preserve-credentials")
        ports = [str(server.address(service)[1]) for service in services]
        self.crowd = self.enter_context(subprocess.Popen(
            (*self.inside, "unshare", "-n", sys.executable, "-c", CROWD, str(count), *ports),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        self.callback(self.crowd.kill)
        own = os.readlink("/proc/%d/ns/net" % server.pid)
        wait_until(lambda: self.network() not in (own, os.readlink("/proc/self/ns/net")), "the clients' own network")
        self.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", str(self.crowd.pid))
        self.run("ip", "addr", "add", ADDRESS + "/24", "dev", "v0")
        self.run("ip", "link", "set", "v0", "up")
        self.tell("connected")

    def network(self):
        with contextlib.suppress(OSError):
            return os.readlink("/proc/%d/ns/net" % self.crowd.pid)
        return os.readlink("/proc/self/ns/net")

    def run(self, *words, stdin=None):
        return subprocess.run((*self.inside, *words), check=True, capture_output=True, text=True, input=stdin,
                              timeout=PATIENCE).stdout

    def tell(self, answer):
        self.crowd.stdin.write("\n")
        self.crowd.stdin.flush()
        line = self.crowd.stdout.readline()
        if line != answer + "\n":
            raise AssertionError("%r from the clients, not %r" % (line, answer))


class A3(Ground):
    """Clients that vanish without FIN or RST, members of the room among them: idle ones, and then such as something is
    under way to. They are closed within 45 s. That time is nobody's option, so the quick suite does not wait for it: it
    looks whether the kernel will ask each of them whether it is still there, and give up in time."""

    def setUp(self):
        need_json()
        for tool in ("unshare", "nsenter", "ip", "ss"):
            need_tool(tool)
        if subprocess.run(("unshare", "-rn", "ip", "link", "set", "lo", "up"), capture_output=True,
                          check=False).returncode != 0:
            raise unittest.SkipTest("no network of its own allowed here")

    def test_half_open(self):
        each = self.size(EACH, EACH[::3])
        count = self.size(250, 10)
        with contextlib.ExitStack() as all_of_them:
            grounds = [all_of_them.enter_context(self.far(poller, workers, count)) for poller, workers in each]
            for server, far in grounds:
                self.asked_about(far, 2 * count)
            if self.full:
                begin = time.monotonic()
                for server, far in grounds:
                    far.tell("cut")
                    far.run(BIN, "dial", "--as", "broadcast", "127.0.0.1:%d" % server.address("broadcast")[1],
                            stdin="under way\n")
                for server, _ in grounds:
                    wait_until(lambda server=server: server.told("closed").get("reset") == 2 * count,
                               lambda server=server: "all %d to be given up, now %s" % (
                                   2 * count, server.told("closed")), seconds=GIVE_UP_S + 5)
                self.assertLess(time.monotonic() - begin, GIVE_UP_S)
        for server, _ in grounds:
            if self.full:
                self.assertEqual(server.counters["reset"], 2 * count)
                lasted = [int(ms) // 1000 for ms in re.findall(r"reason=reset .*ms=(\d+)", server.err)]
                print("closed after %d to %d s" % (min(lasted), max(lasted)))

    @contextlib.contextmanager
    def far(self, poller, workers, count):
        """A server with its clients far away. The healthy one is near: unix sockets lead into every network."""
        with tempfile.TemporaryDirectory(prefix="attack-") as folder, \
                self.attacked("echo=unix://" + folder + "/echo", "random=0.0.0.0:0", "broadcast=0.0.0.0:0",
                              poller=poller, workers=workers, before=ALONE, options=(
                                  "--admin", "unix://" + folder + "/admin", "--per-ip", "0", "--accept-rate", "0",
                                  "--first-byte-timeout", "10m")  # they may be here for a while before they vanish
                              ) as server, \
                contextlib.ExitStack() as stack:
            if self.full:  # as many have been there before
                close_all(*[server.connect("echo") for _ in range(2 * count)])
                self.rest(server)
                server.memory = self.memory(server)
            far = stack.enter_context(Far(server, ("random", "broadcast"), count))
            wait_until(lambda: server.fds() >= server.base + 2 * count, "all to be accepted")
            yield server, far

    def asked_about(self, far, count):
        """Each connection is to be asked within 15 s, once what is under way to it has arrived."""
        def asked():
            timers = re.findall(r"timer:\((\w+),(\d+)(\w+)", far.run(
                "ss", "-tnoH", "state", "established", "dst", "10.77.0.2"))
            return len([kind for kind, time_left, unit in timers
                        if kind == "keepalive" and (unit == "ms" or unit == "sec" and int(time_left) <= 15)])
        wait_until(lambda: asked() == count, lambda: "%d to be asked, now %d" % (count, asked()))


class A4(Ground):
    """Clients that break off by RST, thousands a second: at once, often before the server has accepted them; after a
    word; in the middle of an answer that they do not take. And connections that the kernel itself aborts."""
    RATE = 2000

    def test_resets(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked("random", poller=poller, workers=workers) as server:
                for _ in self.cycles(server):
                    self.storm(server, self.size(50000, 400))
                    self.abort(server, self.size(200, 20))
            self.assertLessEqual(set(server.counters), {"eof", "reset"})

    def storm(self, server, count):
        begin = time.monotonic()
        for number in range(count):
            source = "127.0.2.%d" % (1 + number % 8)
            if number % 10 == 0:  # takes nothing of much
                peer = Peer(server.address("echo"), source=source, small_buffer=4096)
                peer.send(b"x" * 50000)
            else:
                peer = Peer(server.address("random"), source=source)
                if number % 2:
                    peer.send(b"\nand")
            peer.reset()
            early = begin + number / self.RATE - time.monotonic()
            if self.full and early > 0:
                time.sleep(early)  # pacing: the catalogue's rate

    def abort(self, server, count):
        """`ss -K` ends both ends, where the kernel and the rights of this process allow it."""
        peers = [Peer(server.address("random"), source="127.0.3.1") for _ in range(count)]
        for peer in peers:
            peer.send("\nand")
            self.assertRegex(peer.line(), rb"\A\d+\n\Z")
        if shutil.which("ss"):
            subprocess.run(("ss", "-K", "src", "127.0.0.1", "dst", "127.0.3.1"), capture_output=True, check=False,
                           timeout=PATIENCE)
        close_all(*peers)
