# SPDX-License-Identifier: MIT
# test: timeout=300
"""Rooms by name: who gets into which, that none hears another, how many there may be and when they go; the history that
a new member hears first, without a gap or a repetition at its seam; and what is told of who comes and goes."""
import contextlib
import json
import os
import re
import signal
import subprocess
import threading

from harness import (ACK_ANSWER, PATIENCE, SOURCE, TOLD, Case, Peer, Program, close_all, free_port, main, message,
                     need_json, need_tool, run_coracle, serve, split_address, wait_until)
from nats import Halting, Nats, all_connected, ask, bus_of, need_nats, node, subscriptions
from slowness import held_up
from test_websocket import ACK, DEBIAN_PYTHON, SAYS, every_way
from websocket import WebPeer, answered, need_websocket, request

WS = "broadcast=ws://127.0.0.1:0"
ADMIN = ("--admin", "127.0.0.1:0")
ASK = '{"presence":true}'


def setUpModule():
    need_json()
    need_websocket()


def enter(server, room="", at="broadcast ws"):
    """A member of a room by its path."""
    return WebPeer(server.address(at), fields={"path": "/room/" + room if room else "/"})


def say(peer, text):
    """Says something and waits for the acknowledgement, over frames or lines."""
    if isinstance(peer, WebPeer):
        peer.say(json.dumps({"message": text}))
        assert peer.hear() == peer.name + ACK
    else:
        peer.send(message(text))
        assert peer.line() == peer.name.encode() + ACK_ANSWER


def told(peer, by, text):
    """Waits for what somebody has said."""
    got = peer.hear() if isinstance(peer, WebPeer) else peer.line().decode().rstrip("\n")
    assert got == by + SAYS + text, got


def status(server):
    if "admin" not in server.addresses:
        server.wait_text("listening admin")
        place = re.search(r"^listening admin \S+ (\S+)$", server.out, re.M).group(1)
        server.addresses["admin"] = split_address(place)
    return json.loads(ask(server, "/status?limit=1000")[1])


def rooms_of(server):
    """Members by room."""
    return {one["room"]: one["members"] for one in status(server)["rooms"]["list"]}


def inside(server, name, count):
    """Waits until so many are in a room: whoever is accepted or upgraded comes in a moment later."""
    wait_until(lambda: rooms_of(server).get(name) == count, "%d in %r" % (count, name))


def asked(server, path, upgrade=True, at="broadcast ws"):
    """The status of an answer that is no upgrade."""
    fields = {} if upgrade else {"Upgrade": None, "Connection": None, "Sec_WebSocket_Key": None}
    with Peer(server.address(at)) as peer:
        peer.send(request(server.address(at), path=path, **fields))
        return answered(peer)[0]


class Ends(Case):
    def test_a_room_is_freed_when_another_may_be_made(self):
        """With a bus that takes a while."""
        need_nats()
        with Nats() as nats, node(nats.url(), "--rooms", "1", "--log-level", "debug", address="ws://127.0.0.1:0",
                                  before=held_up("sendto", 100)) as server:
            all_connected((server,))
            for name in ("one", "two", "three"):
                with enter(server, name):
                    pass
                server.wait_text("event=room_freed room=" + name, name="err")


class Names(Case):
    @every_way("broadcast", "broadcast/kitchen", WS, options=ADMIN)
    def test_none_hears_another(self, server):
        """Rooms of the command line, by their addresses and by path, and rooms that clients make."""
        hall = [server.connect("broadcast tcp"), enter(server)]
        kitchen = [server.connect("broadcast/kitchen tcp"), enter(server, "kitchen"), enter(server, "kitchen?x=%2f")]
        attic = [enter(server, "Attic.2"), enter(server, "%41ttic%2E2")]
        other = [enter(server, "attic.2")]
        cafe = [enter(server, "caf%C3%A9"), enter(server, "caf%c3%a9")]
        rooms = [hall, kitchen, attic, other, cafe]
        names = ["", "kitchen", "Attic.2", "attic.2", "caf\u00e9"]
        wait_until(lambda: rooms_of(server) == {name: len(room) for name, room in zip(names, rooms)}, "all members")
        for turn in range(3):
            for name, room in zip(names, rooms):
                for peer in room:
                    say(peer, "%s %d" % (name, turn))
                    for listener in room:
                        if listener is not peer:
                            told(listener, peer.name, "%s %d" % (name, turn))
        found = status(server)["rooms"]
        self.assertEqual([found[key] for key in ("count", "made", "limit", "members")], [5, 3, 64, 10])
        self.assertEqual([one["made"] for one in found["list"] if one["room"] in names[:2]], [False] * 2)
        self.assertEqual({one.get("room") for one in status(server)["services"]}, {None, "kitchen"})
        self.assertRegex(ask(server, "/status?format=text")[1],
                         r"\nrooms 5, made by clients 3 of 64, 10 members: kitchen 3, \(no name\) 2, ")
        close_all(*attic, *other, *cafe)
        wait_until(lambda: rooms_of(server) == {"": 2, "kitchen": 3}, "rooms that nobody is in to go")
        close_all(*hall, *kitchen)
        wait_until(lambda: rooms_of(server) == {"": 0, "kitchen": 0}, "the others to stay")

    @every_way(WS, "broadcast/only=ws://127.0.0.1:0", options=ADMIN)
    def test_what_is_no_name(self, server):
        for path in ("/room", "/room/", "/room/.", "/room/..", "/room/.x", "/room/a%20b", "/room/a%2Fb", "/room/a/b",
                     "/room/a%", "/room/a%4", "/room/a%zz", "/room/a*", "/room/a%3Eb", "/room/%ff", "/room/%c3",
                     "/room/a%00", "/room/a%0a", "/room/%e2%80%ae", "/room/" + "x" * 65, "/rooms/x", "//", "/Room/x"):
            for upgrade in (True, False):
                self.assertEqual(asked(server, path, upgrade), 404, path)
        self.assertEqual(asked(server, "/room/" + "x" * 64 + "?" + "y" * 1000, upgrade=False), 200)
        at = "broadcast/only ws"
        self.assertEqual([asked(server, path, False, at) for path in ("/", "/room/only", "/room/x")], [200, 200, 404])
        self.assertEqual(asked(server, "/room/x", True, at), 404)
        with enter(server, at=at) as one, enter(server, "only", at=at) as other, enter(server, "only") as third:
            inside(server, "only", 3)
            say(one, "here")
            for peer in (other, third):
                told(peer, one.name, "here")

    @every_way("broadcast/a", WS, options=(*ADMIN, "--rooms", "2"))
    def test_how_many_there_may_be(self, server):
        with enter(server, "x"), enter(server, "a"), enter(server, "x"):
            with enter(server, "y"):
                for upgrade in (True, False):
                    self.assertEqual(asked(server, "/room/z", upgrade), 503)
                self.assertEqual(asked(server, "/room/y", upgrade=False), 200)
                self.assertRegex(ask_metrics(server), r'\ncoracle_connections_closed_total\{reason="max_rooms"\} 2\n')
            wait_until(lambda: "y" not in rooms_of(server), "the room to go")
            with enter(server, "z") as peer:
                say(peer, "in")
                self.assertEqual(rooms_of(server), {"": 0, "a": 1, "x": 2, "z": 1})
        text = ask_metrics(server)
        for line in ("coracle_rooms_limit 2", "coracle_rooms_opened_total 3"):
            self.assertIn("\n" + line + "\n", text)
        self.assertNotIn("room=", text)

    @every_way("broadcast/a", WS, options=("--rooms", "0", *ADMIN), pollers=("epoll",))
    def test_only_those_of_the_command_line(self, server):
        for upgrade in (True, False):
            self.assertEqual(asked(server, "/room/x", upgrade), 404)
        with enter(server, "a") as peer, server.connect("broadcast/a") as other:
            inside(server, "a", 2)
            say(peer, "hello")
            told(other, peer.name, "hello")

    def test_bad_command_lines(self):
        for words, text in ((("echo/x",), "echo has no rooms: only broadcast does"),
                            (("broadcast/",), "'' is not a name for a room"),
                            (("broadcast/.x=:0",), "'.x' is not a name for a room"),
                            (("broadcast/a b",), "'a b' is not a name for a room"),
                            (("broadcast/a/b=127.0.0.1:0",), "'a/b' is not a name for a room"),
                            (("broadcast/" + "x" * 65,), "is not a name for a room")):
            program = run_coracle("serve", *words)
            self.assertEqual(program.code, 78, program.describe())
            self.assertIn(text, program.err)
            self.assertEqual(program.err.count("\n"), 1)

    @every_way(WS, options=("--presence",))
    def test_python3_websockets(self, server):
        """Another's client takes a named room for a room."""
        if subprocess.run([DEBIAN_PYTHON, "-c", "import websockets"], capture_output=True, check=False).returncode != 0:
            self.skipTest("Debian's python3-websockets is not installed")
        script = os.path.join(SOURCE, "tests", "e2e", "websockets_peer.py")
        done = subprocess.run([DEBIAN_PYTHON, script, "ws://%s:%d/room/x" % server.address("broadcast ws")],
                              capture_output=True, text=True, timeout=120, check=False,
                              env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
        self.assertEqual((done.returncode, done.stdout), (0, "ok\n"), done.stderr)


def ask_metrics(server):
    status(server)
    return ask(server, "/metrics")[1]


class Flood(threading.Thread):
    """Says numbers as fast as they are acknowledged, until it is over."""

    def __init__(self, peer):
        super().__init__(daemon=True)
        self.peer, self.said, self.over = peer, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set():
            self.peer.send(b"".join(message("%d" % (self.said + i)) for i in range(20)))
            for _ in range(20):
                assert self.peer.line().endswith(ACK_ANSWER)
            self.said += 20

    def end(self):
        self.over.set()
        self.join(PATIENCE)
        return self.said


class History(Case):
    @every_way("broadcast", "broadcast/kitchen", WS, options=("--history", "5", *ADMIN))
    def test_the_last_ones(self, server):
        """Those of the own room, in order, as others have said them; what was for one only is no history."""
        with enter(server, "kitchen") as cook, server.connect("broadcast/kitchen") as guest:
            inside(server, "kitchen", 2)
            for number in range(4):
                for peer, other in ((cook, guest), (guest, cook)):
                    say(peer, "%d" % number)
                    told(other, peer.name, "%d" % number)
            guest.send("{}")
            self.assertEqual(guest.line(), b'invalid message: no "message" text in it\n')
            for by_path in (True, False):
                late = enter(server, "kitchen") if by_path else server.connect("broadcast/kitchen")
                told(late, guest.name, "1")
                for number in range(2, 4):
                    for peer in (cook, guest):
                        told(late, peer.name, "%d" % number)
                say(late, "thanks")
                for peer in (cook, guest):
                    told(peer, late.name, "thanks")
                say(cook, "welcome")
                told(late, cook.name, "welcome")
                told(guest, cook.name, "welcome")
                late.close()
                for number in range(4):  # as before for the next one
                    for peer, other in ((cook, guest), (guest, cook)):
                        say(peer, "%d" % number)
                        told(other, peer.name, "%d" % number)
        with server.connect("broadcast tcp") as stranger:
            say(stranger, "nothing before")
            name = stranger.name
        with server.connect("broadcast tcp") as again:  # the room of the command line stays, and what was said in it
            told(again, name, "nothing before")
        with enter(server, "x") as one:
            say(one, "to nobody")
        wait_until(lambda: server.told("closed").get("eof", 0) >= 7, "the last one to leave")
        with enter(server, "x") as one:  # a client's room goes with its last member
            say(one, "again")

    @every_way("broadcast", WS, options=("--history", "200", "--outbox", "1M"))
    def test_the_seam_in_a_flood(self, server):
        """Whoever comes in the middle of it hears numbers without a gap, none twice, from within the history on."""
        talker = server.connect("broadcast tcp")
        flood = Flood(talker)
        wait_until(lambda: flood.said > 400, "a history")
        for turn in range(30):
            said = flood.said
            with (enter(server) if turn % 2 else server.connect("broadcast tcp")) as peer:
                heard = []
                for _ in range(400):
                    line = peer.hear() if turn % 2 else peer.line().decode().rstrip("\n")
                    heard.append(int(line.split(SAYS)[1]))
                self.assertEqual(heard, list(range(heard[0], heard[0] + 400)))
                self.assertGreaterEqual(heard[0], said - 200)
        said = flood.end()
        with server.connect("broadcast tcp") as peer:
            self.assertEqual([int(peer.line().decode().split(SAYS)[1]) for _ in range(200)],
                             list(range(said - 200, said)))
        talker.close()

    @every_way("broadcast", options=("--history", "1000000", "--outbox", "256k"), pollers=("epoll",))
    def test_as_much_as_the_log_keeps(self, server):
        """An eighth of the outbox, however long the history may be; and the server does not grow with what was said."""
        with server.connect("broadcast") as talker:
            for number in range(2000):
                say(talker, "%d %s" % (number, "x" * 1000))
        with server.connect("broadcast") as late:
            heard = [late.line()]
            first = int(heard[0].split(TOLD)[1].split()[0])
            self.assertGreater(first, 2000 - (256 << 10) / 8 / 1000)
            self.assertLess(first, 1990)
            for number in range(first + 1, 2000):
                self.assertEqual(int(late.line().split(TOLD)[1].split()[0]), number)

    def test_nc(self):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(serve("broadcast/den", options=("--quiet", "--history", "3")))
            with server.connect("broadcast/den") as talker:
                for number in range(5):
                    say(talker, "%d" % number)
            nc = stack.enter_context(Program([need_tool("nc"), *map(str, server.address("broadcast/den"))]))
            nc.wait_text("4\n")
            self.assertEqual([line.split(SAYS)[1] for line in nc.out.splitlines()], ["2", "3", "4"])


    @every_way(WS, options=("--history", "1000000", "--outbox", "64M", "--max-memory", "40M", "--rooms", "8"),
               pollers=("epoll",))
    def test_when_memory_is_short(self, server):
        """The history of all rooms goes first, and no member for it."""
        if server.is_sanitized():
            self.skipTest("memory cannot be judged under a sanitizer")
        talkers = [enter(server, "room-%d" % number) for number in range(6)]
        for turn in range(200):
            for number, talker in enumerate(talkers):
                say(talker, "%d of %d %s" % (turn, number, "x" * 50000))
        server.wait_text("event=history_cut", name="err")
        for talker in talkers:
            say(talker, "still here")
        close_all(*talkers)
        wait_until(lambda: sum(server.told("closed").values()) == len(talkers), "all to leave")
        self.assertNotIn("oom", server.told("closed"))


class Presence(Case):
    def hear(self, peer):
        line = peer.hear() if isinstance(peer, WebPeer) else peer.line().decode()
        return json.loads(line)["presence"]

    def ask(self, peer):
        (peer.say if isinstance(peer, WebPeer) else peer.send)(ASK)
        return self.hear(peer)

    @every_way("broadcast", WS, options=("--presence", *ADMIN))
    def test_who_comes_and_goes(self, server):
        old, page = server.connect("broadcast tcp"), enter(server)
        inside(server, "", 2)
        self.assertEqual(self.ask(page), {"members": 2, "you": page.name})
        with server.connect("broadcast tcp") as guest:
            names, name = [], guest.name
            while name not in names:
                news = self.hear(page)
                self.assertEqual((news["left"], news["more"]), ([], 0))
                names += news["joined"]
            self.assertEqual(news["members"], 3)
            self.assertEqual(self.ask(guest), {"members": 3, "you": guest.name})
        self.assertEqual(self.hear(page), {"members": 2, "joined": [], "left": [name], "more": 0})
        # Whoever does not ask is told nothing; and whoever asks not to be is told no more.
        say(page, "to all")
        told(old, page.name, "to all")
        page.say('{"presence":false}')
        self.assertEqual(self.hear(page)["members"], 2)
        with enter(server, "other"), server.connect("broadcast tcp") as third:
            say(third, "and I")
            told(page, third.name, "and I")
            told(old, third.name, "and I")
        self.assertIn('coracle_hub_acks_total{result="presence"} 3\n', ask_metrics(server))
        close_all(old, page)

    @every_way("broadcast", options=("--presence", *ADMIN))
    def test_a_crowd_is_one_line_a_second(self, server):
        """Of many that come and go a few are named, the others counted: nobody is left out of the sum."""
        with server.connect("broadcast") as listener:
            self.ask(listener)
            rounds, each = 4, 50
            for _ in range(rounds):
                crowd = [server.connect("broadcast") for _ in range(each)]
                wait_until(lambda: rooms_of(server)[""] == each + 1, "the crowd")
                close_all(*crowd)
                wait_until(lambda: rooms_of(server)[""] == 1, "the crowd to go")
            moved, lines, longest, came = 0, 0, 0, 0
            while moved < 2 * rounds * each:
                line = listener.line()
                news = json.loads(line)["presence"]
                self.assertLessEqual(max(len(news["joined"]), len(news["left"])), 8)
                moved += len(news["joined"]) + len(news["left"]) + news["more"] - (listener.name in news["joined"])
                came += len(news["joined"])
                lines, longest = lines + 1, max(longest, len(line))
            self.assertEqual(moved, 2 * rounds * each)
            self.assertLessEqual(longest, 1024)
            self.assertLess(lines, rounds * each / 4)

    @every_way("broadcast", WS, options=("--history", "3"), pollers=("epoll",))
    def test_without_it(self, server):
        with server.connect("broadcast tcp") as plain, enter(server) as peer:
            for one in (plain, peer):
                self.assertIsNone(self.ask(one))
            plain.send('{"presence":1}')
            self.assertEqual(plain.line(), b'invalid message: no "message" text in it\n')
            with server.connect("broadcast tcp"):
                say(plain, "x")
                told(peer, plain.name, "x")


class Bus(Case):
    @classmethod
    def setUpClass(cls):
        need_nats()

    def test_rooms_of_a_name_are_one_room(self):
        for poller, workers in (("epoll", 1), ("epoll", 2), ("io_uring", 1), ("io_uring", 2)):
            with self.subTest(poller=poller, workers=workers), contextlib.ExitStack() as stack:
                port = free_port()
                nats = stack.enter_context(Nats('http: "127.0.0.1:%d"' % port))
                servers = [stack.enter_context(node(nats.url(), "--history", "2", workers=workers, poller=poller,
                                                    address="ws://127.0.0.1:0")) for _ in range(2)]
                all_connected(servers)
                rooms = {name: [enter(server, name) for server in servers] for name in ("", "a.b", "a", "caf%C3%A9")}
                wait_until(lambda: [bus_of(server)["members"] for server in servers] == [8, 8], "all members")
                self.assertEqual(subscriptions(port), [4, 4])
                for name, (one, other) in rooms.items():
                    say(one, "first in " + name)
                    told(other, one.name, "first in " + name)
                    say(other, "second in " + name)
                    told(one, other.name, "second in " + name)
                for name, (one, other) in rooms.items():
                    with enter(servers[0], name) as late:  # each node has its own log, with what came from the other
                        told(late, one.name, "first in " + name)
                        told(late, other.name, "second in " + name)
                sent = bus_of(servers[0])["sent"]
                self.assertEqual(sent, 4)
                close_all(*(peer for both in rooms.values() for peer in both))
                wait_until(lambda: rooms_of(servers[0]) == {"": 0} == rooms_of(servers[1]), "rooms to go")
                self.assertEqual(bus_of(servers[0])["sent"], sent)
                wait_until(lambda: subscriptions(port) == [1, 1], "subscriptions to be given back")
                for server in servers:
                    server.stop()
                    self.assertEqual(server.process.returncode, 0, server.describe())

    def test_a_handshake_without_an_end(self):
        """Connecting to NATS does not come to an end: rooms come and go all the same, and so does the node."""
        for poller, workers in (("epoll", 1), ("io_uring", 2)):
            with self.subTest(poller=poller, workers=workers), Halting() as nats, node(
                    nats.url, "--rooms", "1", workers=workers, poller=poller, address="ws://127.0.0.1:0") as server:
                self.assertTrue(nats.halted.wait(PATIENCE))
                for name in ("a", "b", "c"):
                    wait_until(lambda name=name: asked(server, "/room/" + name, upgrade=False) == 200, "a free room")
                    with enter(server, name) as one, enter(server, name) as other:
                        inside(server, name, 2)
                        say(one, "hello")
                        told(other, one.name, "hello")
                self.assertEqual(bus_of(server)["state"], "degraded")
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 0, server.describe())


if __name__ == "__main__":
    main()
