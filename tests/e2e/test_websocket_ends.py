# SPDX-License-Identifier: MIT
# test: timeout=300
"""How WebSocket members and the server part: every order of what a client and an operator may do, whole and byte by
byte; with each limit and with the server's end at any point of it; over a restart; and in the sandbox."""
import contextlib
import itertools
import os
import re
import select
import signal
import socket
import struct
import threading
import unittest

from harness import (BIN, TOLD, WORKERS, Case, Peer, Server, gone, main, message, need_json, run_coracle, serve,
                     settled_fds, split_address, wait_until)
from test_status import Asked
from test_websocket import ACK, HELLO, INVALID, POLLERS, WS, address, counted
from websocket import CLOSE, CONT, PING, PONG, TEXT, WebPeer, answered, close, frame, need_websocket, request

EACH = tuple(itertools.product(POLLERS, WORKERS))
CUT = INVALID + "unexpected end of data"
# What a client sends. PART is half of a message, and REST its other half.
SENT = {
    "PING": frame(PING, b"p"),
    "PONG": frame(PONG, b"x"),
    "TEXT": frame(TEXT, HELLO),
    "PART": frame(TEXT, '{"message"', fin=False),
    "REST": frame(CONT, ':"hello"}'),
    "CLOSE": close(1000),
}
MORE = ("FIN", "RESET", "KICK")
TCP_CLOSE = 7  # of enum tcp_state


def setUpModule():
    need_json()
    need_websocket()
    if "admin: off" in run_coracle("--version").out:
        raise unittest.SkipTest("built without libmicrohttpd")


class Expected:
    """What an order of things leads to: what is heard of each step, and then the code of the close frame, its text and
    the reason. The code is None while the connection is there."""

    def __init__(self):
        self.part, self.code, self.text, self.reason, self.said = False, None, "", None, 0

    def end(self, code, reason, text=""):
        self.code, self.reason, self.text = code, reason, text or (reason if reason != "eof" else "")

    def step(self, what):
        """Gives what is heard of it before a close frame."""
        if what == "PING":
            return [(PONG, b"p")]
        if what == ("REST" if self.part else "TEXT"):
            self.part = False
            self.said += 1
            return [TEXT]
        if what == "PART" and not self.part:
            self.part = True
        elif what in ("TEXT", "PART", "REST"):
            self.end(1002, "protocol")
        elif what in ("CLOSE", "FIN"):
            self.end(1000, "eof")
            return [CUT] if self.part and what == "FIN" else []
        elif what == "KICK":
            self.end(1008, "kicked")
        elif what == "RESET":
            self.end(0, "reset")
        return []


def orders(most, words):
    """All orders of up to so many things, and none of one after the end but one that may still come on the way."""
    for count in range(1, most + 1):
        for order in itertools.permutations(words, count):
            expected, ends = Expected(), 0
            for what in order:
                ends += expected.code is not None
                if expected.code is not None and what == "KICK":
                    ends = 2
                expected.step(what)
            if ends <= 1 and "RESET" not in order[:-1]:
                yield order


class Orders(Case):
    def hear(self, peer, wanted):
        for one in wanted:
            opcode, payload = peer.frame()
            if one == TEXT:
                self.assertEqual((opcode, payload.decode()), (TEXT, peer.name + ACK))
            elif one == CUT:
                self.assertEqual((opcode, payload.decode()), (TEXT, CUT))
            else:
                self.assertEqual((opcode, payload), one)

    def kick(self, asked, peer):
        one, = (one for one in asked.status()["connections"] if one["peer"] == peer.name)
        self.assertEqual(asked.ask("/kick?id=%d" % one["id"], method="POST").status, 200)

    def go(self, asked, peer, order, dribble):
        """Does it all; gives what came of it."""
        expected = Expected()
        for what in order:
            over = expected.code is not None
            wanted = expected.step(what) if not over else []
            with contextlib.suppress(OSError) if over else contextlib.nullcontext():
                if what in SENT:
                    (peer.dribble if dribble else peer.send)(SENT[what])
                elif what == "FIN":
                    peer.half_close()
                elif what == "KICK":
                    self.kick(asked, peer)
                else:
                    peer.reset()
                    return expected, over
            self.hear(peer, wanted)
        return expected, False

    def test_every_order(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    Asked("broadcast", WS, poller=poller, workers=workers,
                          options=("--quiet", "--per-ip", "0", "--accept-rate", "0")) as asked:
                self.all_orders(asked)

    def all_orders(self, asked):
        server = asked.server
        said, unsure, reasons, either = 0, 0, {"eof": 2}, 0  # of the watcher and of settled_fds
        with server.connect("broadcast tcp") as watcher:
            watcher.send(message("in"))
            watcher.line()
            base = settled_fds(server)
            for most, dribble in ((3, False), (2, True)):
                for order in orders(most, (*SENT, *MORE)):
                    with self.subTest(order=order, dribble=dribble), WebPeer(address(server)) as peer:
                        expected, late_reset = self.go(asked, peer, order, dribble)
                        if expected.code is None:
                            peer.send(SENT["CLOSE"])
                            expected.step("CLOSE")
                        if "RESET" not in order:
                            self.assertEqual(peer.closed(), (expected.code, expected.text))
                        if late_reset:
                            either += 1
                        else:
                            reasons[expected.reason] = reasons.get(expected.reason, 0) + 1
                        said += expected.said if "RESET" not in order else 0
                        unsure += expected.said if "RESET" in order else 0
            server.wait_fds(base)
            watcher.send(message("over"))
            heard, line = 0, b""
            while not line.startswith(watcher.name.encode()):
                line = watcher.line()
                heard += TOLD + b"hello\n" in line
            self.assertTrue(said <= heard <= said + unsure, (said, heard, unsure))
            watcher.half_close()
            watcher.gone()
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.describe())
        found = counted(server)
        for reason, count in reasons.items():
            self.assertTrue(count <= found.get(reason, 0) <= count + either, (reason, reasons, found, either))
        self.assertEqual(sum(found.values()), sum(reasons.values()) + either, found)

    def test_the_servers_end_at_any_point(self):
        """Whatever a member has just done: 1001, also inside a message when the grace period is over."""
        self.at_any_point(1001, ("drain", "drain"), ("--grace", "500ms"), stop=True)

    def test_no_grace(self):
        self.at_any_point(1001, ("drain", "drain"), ("--grace", "0"), stop=True)

    def test_a_limit_at_any_point(self):
        self.at_any_point(1008, ("first_byte_timeout", "idle"), ("--idle-timeout", "2s"), stop=False)

    def at_any_point(self, code, words, options, stop):
        """`words`: the reason for one that has said nothing, and for others."""
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), contextlib.ExitStack() as stack:
                server = stack.enter_context(serve(WS, workers=workers, options=(
                    "--quiet", "--poller", poller, *options)))
                peers = []
                for order in orders(2, SENT):
                    peer = stack.enter_context(WebPeer(address(server)))
                    expected, _ = self.go(None, peer, order, False)
                    if expected.code is None:
                        peers.append((order, peer, words[expected.said]))
                    else:
                        self.assertEqual(peer.closed(), (expected.code, expected.text))
                if stop:
                    server.signal(signal.SIGTERM)
                for order, peer, reason in peers:
                    with self.subTest(order=order):
                        opcode = TEXT
                        while opcode == TEXT:  # the others have said something
                            opcode, payload = peer.frame()
                        self.assertEqual((opcode, payload), (CLOSE, struct.pack(">H", code) + reason.encode()))
                if not stop:
                    server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 0, server.describe())
                found = counted(server)
                self.assertEqual(sum(found.get(word, 0) for word in set(words)), len(peers), server.describe())


class Kicked(Case):
    PATIENT = ("--quiet", "--slow-after", "0", "--write-timeout", "0")  # nothing else ends one that does not read

    def kick(self, asked, number):
        self.assertEqual(asked.ask("/kick?id=%d" % number, method="POST").status, 200)

    def test_one_that_floods(self):
        """It is told, although it never stops to talk."""
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    Asked(WS, poller=poller, workers=workers, options=("--quiet",)) as asked, \
                    WebPeer(address(asked.server)) as peer:
                over = threading.Event()
                sender = threading.Thread(target=self.flood, args=(peer, over))
                sender.start()
                self.assertEqual(peer.hear(), peer.name + ACK)
                self.kick(asked, 1)
                opcode = TEXT
                with contextlib.suppress(ConnectionError):  # it may lose what is under way while it sends
                    while opcode in (TEXT, CLOSE):
                        opcode, payload = peer.frame()
                        if opcode == CLOSE:
                            self.assertEqual(payload, b"\x03\xf0kicked")
                over.set()
                sender.join(20)
                wait_until(lambda: asked.metrics()['coracle_connections_closed_total{reason="kicked"}'] == 1, "its end")

    @staticmethod
    def flood(peer, over):
        text = frame(TEXT, HELLO) * 100
        with contextlib.suppress(OSError):
            while not over.is_set():
                peer.send(text)

    def fill(self, asked, talker):
        """Until much of what is said waits for the first member."""
        def waiting():
            first, = (one for one in asked.status()["connections"] if one["id"] == 1)
            return first["pending_bytes"] - first["unsent_bytes"]
        count = 0
        while waiting() < 1 << 20:
            count += 1
            self.assertLess(count, 200)
            talker.send(message("x" * 60000))
            talker.line()

    def test_one_that_reads_nothing(self):
        """Its writing task is in the middle of a frame: there is no place for another, and it ends at once."""
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    Asked("broadcast", WS, poller=poller, workers=workers, options=self.PATIENT) as asked, \
                    WebPeer(address(asked.server), small_buffer=4096) as peer, \
                    asked.server.connect("broadcast tcp") as tcp:
                self.fill(asked, tcp)
                self.kick(asked, 1)
                wait_until(lambda: asked.metrics()['coracle_connections_closed_total{reason="kicked"}'] == 1, "its end")
                peer.close()

    def test_one_that_asks(self):
        """Before the upgrade there is no frame to send."""
        with Asked(WS, options=("--quiet",)) as asked, Peer(address(asked.server)) as peer:
            peer.send("GET / HT")
            wait_until(lambda: asked.status()["connections"], "the connection")
            self.kick(asked, 1)
            self.assertEqual(peer.gone(), b"")

    def test_one_that_has_left_and_does_not_read(self):
        """Its end waits for its reading; a kick ends that, whichever comes first."""
        with Asked("broadcast", WS, options=self.PATIENT) as asked, \
                WebPeer(address(asked.server), small_buffer=4096) as peer, \
                asked.server.connect("broadcast tcp") as tcp:
            self.fill(asked, tcp)
            peer.half_close()
            self.kick(asked, 1)
            wait_until(lambda: len(asked.status()["connections"]) == 1, "its end")


class LastWord(Case):
    """What a client does after the server's close frame: it is waited for, but not for long."""
    WRONG = frame(3)
    THEN = {"CLOSE": close(1008), "TEXT": SENT["TEXT"], "both": SENT["TEXT"] + close(1008), "FIN": None, "RESET": None,
            "nothing": b""}

    def told(self, peer, payload):
        self.assertEqual(peer.frame(), (CLOSE, payload))
        self.assertEqual(peer.read(1), b"")

    def then(self, peer, what):
        with contextlib.suppress(OSError):  # it may be gone
            if what == "FIN":
                peer.half_close()
            elif what == "RESET":
                peer.reset()
            else:
                peer.send(self.THEN[what])

    def ended(self, asked, how):
        """Gives a client that the server has ended."""
        peer = WebPeer(address(asked.server))
        if how == "kicked":
            one, = (one for one in asked.status()["connections"] if one["peer"] == peer.name)
            self.assertEqual(asked.kick(one["id"]).status, 200)
        else:
            peer.send(self.WRONG)
        self.told(peer, (b"\x03\xf0" if how == "kicked" else b"\x03\xea") + how.encode())
        return peer

    def test_whatever_follows(self):
        """The end comes, and its reason is the server's."""
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), contextlib.ExitStack() as stack, \
                    Asked(WS, poller=poller, workers=workers, options=("--quiet", "--per-ip", "0")) as asked:
                for how, what in itertools.product(("kicked", "protocol"), self.THEN):
                    peer = stack.enter_context(self.ended(asked, how))
                    self.then(peer, what)
                status = asked.wait_closed(2 * len(self.THEN))
                self.assertEqual({how: status["counters"]["closed_by_reason"][how] for how in ("kicked", "protocol")},
                                 {"kicked": len(self.THEN), "protocol": len(self.THEN)})

    def test_after_the_servers_end(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), contextlib.ExitStack() as stack:
                server = stack.enter_context(serve(WS, workers=workers, options=(
                    "--quiet", "--poller", poller, "--grace", "1s")))
                peers = {what: stack.enter_context(WebPeer(address(server))) for what in self.THEN}
                server.signal(signal.SIGTERM)
                for what, peer in peers.items():
                    self.told(peer, b"\x03\xe9drain")
                    self.then(peer, what)
                self.assertEqual(server.wait(), 0, server.describe())
                self.assertEqual(counted(server)["drain"], len(peers), server.describe())

    def test_what_follows_resets_nothing(self):
        """A reset would destroy the close frame where that is still on its way. In one of many tries, because the wait
        may be over before a slow machine has let the client send."""
        for (poller, workers), how in itertools.product(EACH, ("kicked", "protocol")):
            with self.subTest(poller=poller, workers=workers, how=how), \
                    Asked(WS, poller=poller, workers=workers, options=("--quiet", "--per-ip", "0")) as asked:
                self.assertTrue(any(self.sends_on(asked, how) for _ in range(20)))

    @staticmethod
    def is_over(peer):
        return peer.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE

    def sends_on(self, asked, how):
        """Whether a client that was told sends on and is not reset."""
        with self.ended(asked, how) as peer:
            self.then(peer, "both")
            self.then(peer, "FIN")
            wait_until(lambda: self.is_over(peer), "both ends")
            return peer.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


class Memory(Case):
    @staticmethod
    def send_until_told(peer, most):
        """Sends on a message as long as it is taken and nothing comes back, as programs do that listen as well."""
        piece, left = frame(CONT, "x" * 60000, fin=False), b""
        peer.sock.setblocking(False)
        with contextlib.suppress(ConnectionError):  # its end, seen by the send; what has come before is still there
            while most > 0 and not select.select([peer.sock], [], [], 0)[0]:
                left = left or piece
                if select.select([peer.sock], [peer.sock], [], 20)[1]:
                    sent = peer.sock.send(left)
                    left = left[sent:]
                    most -= sent
        peer.sock.settimeout(20)

    def test_half_a_message_that_is_too_much(self):
        """Who holds most is told to try again later."""
        room = 24 << 20
        with serve(WS) as server:
            if server.is_sanitized():
                self.skipTest("a sanitizer's memory is not the program's")
            most = (server.smaps("Rss") << 10) + room
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    serve(WS, workers=workers, options=("--quiet", "--poller", poller, "--max-line", "1G",
                                                        "--max-memory", str(most))) as server, \
                    WebPeer(address(server)) as modest, WebPeer(address(server)) as greedy:
                greedy.send(frame(TEXT, '{"message":"', fin=False))
                self.send_until_told(greedy, 4 * room)
                server.wait_text("event=queue_cut", name="err")
                self.assertEqual(greedy.closed(), (1013, "oom"))
                modest.say(HELLO)
                self.assertEqual(modest.hear(), modest.name + ACK)
                modest.close()
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 0, server.describe())
                self.assertEqual(counted(server)["oom"], 1)


class Restart(Case):
    def test_members_over_a_restart(self):
        """They stay with the old process, finish what they say, and are told 1001 in the end; new ones are the new
        one's."""
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), contextlib.ExitStack() as stack:
                server = stack.enter_context(Server([BIN, "serve", "--quiet", "--poller", poller, "--workers",
                                                     str(workers), "--grace", "4s", WS]))
                server.wait_text(re.compile(r"^listening broadcast ws \S+$", re.M))
                at = split_address(re.search(r"^listening broadcast ws (\S+)$", server.out, re.M).group(1))
                idle, talks, stuck = (stack.enter_context(WebPeer(at)) for _ in range(3))
                for peer in (talks, stuck):
                    peer.send(SENT["PART"] + SENT["PING"])
                    self.assertEqual(peer.frame(), (PONG, b"p"))
                os.kill(server.pid, signal.SIGUSR2)
                server.wait_text("event=taken_over ", name="err", seconds=60)
                successor = int(re.search(r"event=taken_over pid=(\d+)", server.err).group(1))
                talks.send(SENT["REST"])  # first of all: the grace is running
                self.assertEqual(talks.hear(), talks.name + ACK)
                for peer in (idle, stuck):
                    self.assertEqual(peer.hear(), talks.name + TOLD.decode() + "hello")
                wait_until(lambda s=server: not s.listening_ports(), "the old one to accept nobody any more")
                new = stack.enter_context(WebPeer(at))
                new.say(HELLO)
                self.assertEqual(new.hear(), new.name + ACK)
                for peer in (idle, talks, stuck):
                    self.assertEqual(peer.closed(), (1001, "drain"))
                self.assertEqual(server.process.wait(20), 0)
                new.say(HELLO)
                self.assertEqual(new.hear(), new.name + ACK)
                os.kill(successor, signal.SIGTERM)
                self.assertEqual(new.closed(), (1001, "drain"))
                wait_until(lambda pid=successor: gone(pid), "the end of the successor")
                self.assertEqual(sorted(re.findall(r"event=stopped (.*)", server.err)),
                                 ["accepted=1 closed=1 open=0", "accepted=3 closed=3 open=0"])


class Sandboxed(Case):
    def test_a_whole_life(self):
        """Page, refusals, messages, pings, a limit, the end: nothing of it needs what has been given up."""
        if "sandbox: on" not in run_coracle("--version").out:
            self.skipTest("built without libseccomp")
        env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}  # that traces its own process
        for (poller, workers), mode in itertools.product(EACH, ("on", "strict")):
            with self.subTest(poller=poller, workers=workers, mode=mode), \
                    serve("broadcast", WS, workers=workers, env=env, options=(
                        "--quiet", "--poller", poller, "--sandbox", mode, "--ping", "1s")) as server:
                server.wait_text("event=sandbox", name="err")
                at = address(server)
                for fields, status in (({"Upgrade": None, "Sec_WebSocket_Key": None}, 200), ({"path": "/x"}, 404),
                                       ({"Origin": "http://evil.example"}, 403)):
                    with Peer(at) as peer:
                        peer.send(request(at, **fields))
                        self.assertEqual(answered(peer)[0], status)
                with WebPeer(at) as member, WebPeer(at) as wrong, server.connect("broadcast tcp") as tcp:
                    wrong.send(frame(3))
                    self.assertEqual(wrong.closed(), (1002, "protocol"))
                    self.assertEqual(member.frame(), (PING, b""))
                    member.send(frame(PONG) + SENT["TEXT"])
                    self.assertEqual(tcp.line(), member.name.encode() + TOLD + b"hello\n")
                    opcode = PING
                    while opcode == PING:
                        opcode, payload = member.frame()
                    self.assertEqual(payload.decode(), member.name + ACK)
                    server.signal(signal.SIGTERM)
                    while opcode != CLOSE:
                        opcode, payload = member.frame()
                    self.assertEqual(payload, b"\x03\xe9drain")
                self.assertEqual(server.wait(), 0, server.describe())
                self.assertNotIn("sandbox_denied", server.err)
                counted(server)


if __name__ == "__main__":
    main()
