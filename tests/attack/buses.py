# SPDX-License-Identifier: MIT
"""Attack E4 on the bus between the nodes of rooms: three nodes and a server of NATS, each in a network of its own.

The members are here, in one room or three: unix sockets lead into every network. What must hold whatever is done to the
server of NATS: local members hear all that is said in their room on their node and nothing of other rooms, nobody is
cut, nobody hears anything twice or out of order, and each node has heard or counted as missed what the two others have
said.
"""
import contextlib
import os
import signal
import subprocess
import tempfile
import time
import unittest

from harness import PATIENCE, Peer, close_all, need_tool, wait_until
from nats import Listener, Nats, all_connected, ask, bus_of, make_certificates, message, need_nats, node

from ground import Ground

NODES = 3
ROOMS = ("", "kitchen", "attic")
BACK_S = 5.0  # a pause between two attempts to connect, at most
GIVE_UP_S = 8.0  # after this long without an answer a server is given up, on a busy machine
ALONE = ("unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


def hub(number):
    return "10.78.%d.1" % number


class Networks(contextlib.ExitStack):
    """A network for the server of NATS with a cable to one for each node. A process that sleeps holds each of them."""

    def __init__(self):
        super().__init__()
        self.hub = self.hold(ALONE)
        self.nodes = []
        for number in range(NODES):
            holder = self.hold((*self.enter(self.hub), "unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"',
                                "sh"))
            self.nodes.append(holder)
            self.run(self.hub, "ip", "link", "add", "v%d" % number, "type", "veth", "peer", "name", "w%d" % number,
                     "netns", str(holder.pid))
            self.run(self.hub, "ip", "addr", "add", hub(number) + "/24", "dev", "v%d" % number)
            self.run(self.hub, "ip", "link", "set", "v%d" % number, "up")
            self.run(holder, "ip", "addr", "add", "10.78.%d.2/24" % number, "dev", "w%d" % number)
            self.run(holder, "ip", "link", "set", "w%d" % number, "up")

    def hold(self, before):
        holder = self.enter_context(subprocess.Popen((*before, "sleep", "infinity"), stdin=subprocess.DEVNULL))
        self.callback(holder.kill)

        def sleeps():
            with contextlib.suppress(OSError), open("/proc/%d/comm" % holder.pid, encoding="ascii") as comm:
                return comm.read() == "sleep\n"
        wait_until(sleeps, "a network of its own")
        return holder

    @staticmethod
    def enter(holder):
        return ("nsenter", "-t", str(holder.pid), "-U", "-n", "--preserve-credentials")

    def run(self, holder, *words):
        subprocess.run((*self.enter(holder), *words), check=True, capture_output=True, timeout=PATIENCE)


class House(contextlib.ExitStack):
    """The nodes with their members. `said`: how many messages on each node, in each room."""

    def __init__(self, case, members, senders, poller="epoll", workers=2, secure=False, rooms=ROOMS):
        super().__init__()
        self.rooms = rooms
        self.case, self.members = case, members
        self.folder = self.enter_context(tempfile.TemporaryDirectory(prefix="buses-"))
        self.networks = self.enter_context(Networks())
        self.secure = secure
        options = ()
        if secure:
            make_certificates(self.folder, *map(hub, range(NODES)))
            self.write_creds("secret")
            options = ("--bus-ca", self.folder + "/ca.pem", "--bus-creds", self.folder + "/creds")
        self.nats = Nats(host="0.0.0.0", before=self.networks.enter(self.networks.hub))
        self.configure()
        self.enter_context(self.nats)
        scheme = "tls" if secure else "nats"
        self.servers = [self.enter_context(node(
            "%s://%s:%d" % (scheme, hub(number), self.nats.port), *options, poller=poller, workers=workers,
            address="unix://%s/room%d" % (self.folder, number), admin="unix://%s/admin%d" % (self.folder, number),
            rooms=["%s=unix://%s/%s%d" % (room, self.folder, room, number) for room in self.rooms[1:]],
            before=self.networks.enter(self.networks.nodes[number]))) for number in range(NODES)]
        all_connected(self.servers)
        self.base = [server.fds() for server in self.servers]
        self.peers = [Peer(self.servers[at // members].address("/".join(filter(None, ("broadcast", self.room(at))))))
                      for at in range(NODES * members)]
        self.listener = Listener(self.peers)
        wait_until(lambda: all(bus_of(server)["members"] == NODES * members for server in self.servers), "all members")
        self.senders = [at * members * NODES // senders + at % len(rooms) for at in range(senders)]  # spread over all
        self.numbers = [0] * senders
        self.said = [dict.fromkeys(self.rooms, 0) for _ in range(NODES)]

    def room(self, at):
        return self.rooms[at % self.members % len(self.rooms)]

    def total(self, number):
        """What was said on a node."""
        return sum(self.said[number].values())

    def sent(self, at):
        """What a member has said."""
        return sum(self.numbers[sender] for sender, where in enumerate(self.senders) if where == at)

    def write_creds(self, password):
        with open(self.folder + "/creds.new", "w", encoding="ascii") as file:
            file.write("coracle:%s\n" % password)
        os.rename(self.folder + "/creds.new", self.folder + "/creds")

    def configure(self, password="secret", certificate="server"):
        self.nats.write('authorization { user: coracle, password: %s }\ntls { cert_file: "%s/%s.pem", key_file: '
                        '"%s/%s.key" }' % (password, self.folder, certificate, self.folder, certificate)
                        if self.secure else "")

    def say(self, each):
        """Each sender says so many; then all local members have heard them."""
        for _ in range(each):
            for sender, at in enumerate(self.senders):
                self.peers[at].send(message(sender, self.numbers[sender]))
                self.numbers[sender] += 1
                self.said[at // self.members][self.room(at)] += 1
        self.local()

    def local(self):
        """Local members hear everything at all times."""
        own = [{sender for sender, at in enumerate(self.senders) if at // self.members == number}
               for number in range(NODES)]

        def missing(at):
            number = at // self.members
            return self.said[number][self.room(at)] - self.sent(at) - self.listener.count(at, own[number])
        wait_until(lambda: not any(missing(at) for at in range(len(self.peers))),
                   lambda: "local members, %d still miss something; %s" % (
                       sum(missing(at) > 0 for at in range(len(self.peers))), self.listener.wrong[:3]), seconds=90)

    def connected(self, seconds=PATIENCE):
        for server in self.servers:
            wait_until(lambda server=server: (bus_of(server)["state"], bus_of(server)["nodes"]) == ("connected", NODES),
                       lambda server=server: "the nodes to be one room again: %s" % bus_of(server), seconds=seconds)

    def degraded(self, which=range(NODES), seconds=GIVE_UP_S):
        for number in which:
            wait_until(lambda number=number: bus_of(self.servers[number])["state"] == "degraded",
                       lambda number=number: "node %d to be degraded" % number, seconds=seconds)
            status, text = ask(self.servers[number], "/readyz")
            self.case.assertEqual((status, text[:12]), (200, "ok\ndegraded:"))

    def settle(self, what):
        """Whatever was said has been heard or is counted as missed, and nothing is wrong. Gives what was missed."""
        def left(number):
            bus = bus_of(self.servers[number])
            return sum(map(self.total, range(NODES))) - self.total(number) - bus["received"] - bus["lost"]["missed"]
        wait_until(lambda: not any(map(left, range(NODES))),
                   lambda: "all to be heard or counted after %s: %s" % (what, list(map(left, range(NODES)))),
                   seconds=60)
        buses = [bus_of(server) for server in self.servers]

        def of_others(number, room):
            """What members of a room there have heard from other nodes; more than one figure: not all the same."""
            return {self.listener.count(at) + self.sent(at) - self.said[number][room]
                    for at in range(number * self.members, (number + 1) * self.members) if self.room(at) == room}

        def have_all(number):
            heard = [of_others(number, room) for room in self.rooms]
            return all(len(one) == 1 for one in heard) and sum(map(sum, heard)) == buses[number]["received"]
        wait_until(lambda: all(map(have_all, range(NODES))), lambda: "members to hear what their node has", seconds=90)
        self.case.assertEqual(self.listener.wrong, [])
        missed = [bus["lost"]["missed"] for bus in buses]
        self.case.note("%s: said %s, heard from others %s, missed %s, repeated %s, backlog given up %s, connects %s" % (
            what, list(map(self.total, range(NODES))), [bus["received"] for bus in buses], missed,
            [bus["repeated"] for bus in buses], [bus["lost"]["backlog"] for bus in buses],
            [bus["connects"] for bus in buses]))
        return sum(missed)

    def finish(self):
        self.listener.stop()
        close_all(*self.peers)
        for server, base in zip(self.servers, self.base):
            server.wait_fds(base + 1)


class E4(Ground):
    """A server of NATS that is killed, stopped, restarted, slow, with a wrong certificate and other passwords, and a
    network in two parts."""

    def setUp(self):
        need_nats()
        for tool in ("unshare", "nsenter", "ip", "tc", "openssl"):
            need_tool(tool)
        if subprocess.run(("unshare", "-rn", "ip", "link", "set", "lo", "up"), capture_output=True,
                          check=False).returncode != 0:
            raise unittest.SkipTest("no network of its own allowed here")

    def note(self, text):
        if self.full:
            print(text, flush=True)

    def test_all_hear_all_once(self):
        """Nothing is done to it: every member hears every message once, each sender's in order."""
        members, senders, each = self.size((200, 20, 250), (10, 6, 25))
        for poller, workers in self.size((("epoll", 1), ("epoll", 2), ("io_uring", 1), ("io_uring", 2)),
                                         (("epoll", 2), ("io_uring", 1))):
            with self.subTest(poller=poller, workers=workers), \
                    House(self, members, senders, poller, workers, rooms=ROOMS[:1]) as house:
                begin = time.monotonic()
                house.say(each)
                missed = house.settle("%s, workers %d" % (poller, workers))
                self.assertEqual(missed, 0)
                self.assertEqual(house.listener.total(), senders * each * (NODES * members - 1))
                self.note("%d heard in %.1f s" % (house.listener.total(), time.monotonic() - begin))
                house.finish()

    def test_what_is_done_to_it(self):
        members, senders = self.size((200, 20), (8, 6))
        long = self.size(60, 6)
        few, many = self.size((20, 100), (3, 10))
        with House(self, members, senders, secure=True) as house:
            house.say(few)
            self.assertEqual(house.settle("at first"), 0)
            house.nats.kill()
            house.degraded()
            house.say(many)
            house.nats.start()
            self.healed(house, "kill -9", few)
            house.nats.program.signal(signal.SIGSTOP)
            house.say(few)
            house.degraded()
            begin = time.monotonic()
            while time.monotonic() - begin < long:
                house.say(1)
            house.nats.program.signal(signal.SIGCONT)
            self.healed(house, "SIGSTOP for %d s" % long, few)
            house.nats.kill(signal.SIGTERM)
            house.nats.start()
            self.healed(house, "restart", few)
            self.slow(house, many)
            self.wrong_certificate(house, few)
            self.other_password(house, few)
            self.parts(house, long, few)
            house.finish()

    def healed(self, house, what, few):
        """All are one room again within the longest pause, and then nothing is missed."""
        begin = time.monotonic()
        house.connected(BACK_S + GIVE_UP_S)
        took = time.monotonic() - begin
        missed = house.settle(what)
        house.say(few)
        self.assertEqual(house.settle("after it (one room again in %.1f s)" % took), missed)

    def slow(self, house, many):
        house.networks.run(house.networks.hub, "tc", "qdisc", "add", "dev", "v2", "root", "tbf", "rate", "256kbit",
                           "burst", "4kb", "latency", "200ms")
        house.say(many)
        house.settle("256 kbit/s to one node")
        house.networks.run(house.networks.hub, "tc", "qdisc", "del", "dev", "v2", "root")
        self.healed(house, "fast again", many // 3)

    def no_friend(self, house, few, **other):
        """The server of NATS comes back as one with which no node can talk."""
        house.nats.kill()
        house.configure(**other)
        house.nats.start()
        house.degraded()
        house.say(few)

    def wrong_certificate(self, house, few):
        self.no_friend(house, few, certificate="other")
        house.nats.kill()
        house.configure()
        house.nats.start()
        self.healed(house, "a stranger's certificate", few)

    def other_password(self, house, few):
        self.no_friend(house, few, password="other")
        house.write_creds("other")
        self.healed(house, "another password", few)

    def parts(self, house, long, few):
        """One node is cut off; the two others are a room meanwhile."""
        house.networks.run(house.networks.hub, "ip", "link", "set", "v0", "down")
        house.degraded([0])
        begin = time.monotonic()
        while time.monotonic() - begin < long:
            house.say(1)
        for server in house.servers[1:]:
            wait_until(lambda server=server: (bus_of(server)["state"], bus_of(server)["nodes"]) == (
                "connected", NODES - 1), lambda server=server: "two nodes: %s" % bus_of(server))
        house.servers[0].wait_text("event=bus_lost", name="err")
        house.networks.run(house.networks.hub, "ip", "link", "set", "v0", "up")
        self.healed(house, "cut off for %d s" % long, few)
