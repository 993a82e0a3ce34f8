# SPDX-License-Identifier: MIT
"""The limits of `coracle serve`: which hold when nothing is said, what a client over one of them sees, that it is
counted, and that there is room again at once when somebody leaves."""
import itertools
import os
import re
import signal

from harness import (ACK_ANSWER, FULL, Case, Peer, close_all, main, message, need_json, run_coracle, serve, wait_until)

POLLERS = ("epoll", "io_uring")
MORE = 500 if FULL else 60  # clients beyond the limit
MEMORY = 24 << 20  # bytes that a room may take beyond what the program has at its start
TEXT = b"x" * 60000
SOME = 20  # texts; more than a unix socket takes


def config(*options):
    done = run_coracle("serve", *options, "--dump-config")
    assert done.code == 0, done.describe()
    return dict(line.split("=", 1) for line in done.out.splitlines())


def resident(server):
    return server.smaps("Rss") * 1024


def end(case, server):
    """Ends the server; gives its counters by reason, which with those open add up to those accepted."""
    server.signal(signal.SIGTERM)
    case.assertEqual(server.wait(), 0, server.describe())
    counters = re.search(r"event=reasons(.*)", server.err).group(1)
    counters = {word: int(count) for word, count in re.findall(r" (\w+)=(\d+)", counters)}
    accepted, closed, still = map(int, re.search(r"event=stopped accepted=(\d+) closed=(\d+) open=(\d+)",
                                                 server.err).groups())
    case.assertEqual((accepted, still), (closed, 0))
    case.assertEqual(sum(counters.values()), closed)
    return counters


def speaks(peer):
    """Whether the service random serves this client; False if it is refused with words, which are kept in it."""
    try:
        peer.send("\n")
        peer.said = peer.line()
    except ConnectionError:
        peer.said = b""
    return re.fullmatch(rb"\d+\n", peer.said) is not None


class Defaults(Case):
    def test_they_are_those_of_a_public_port(self):
        values = config()
        self.assertEqual((values["first-byte-timeout"], values["idle-timeout"], values["write-timeout"]),
                         ("1m", "5m", "30s"))
        self.assertEqual((values["per-ip"], values["accept-rate"], values["max-line"], values["outbox"]),
                         ("256", "256", "64k", "16M"))
        self.assertGreater(int(values["max-conns"]), 64)
        self.assertNotIn(values["max-memory"], ("0", ""))

    def test_without_limits_those_that_can_be_off_are_off(self):
        values = config("--no-limits", "--idle-timeout", "7s")
        for name in ("first-byte-timeout", "write-timeout", "slow-after", "per-ip", "accept-rate", "max-memory"):
            self.assertEqual(values[name], "0", name)
        self.assertEqual(values["idle-timeout"], "7s")

    def test_what_is_given_holds(self):
        values = config("--idle-timeout", "1500ms", "--per-ip", "0", "--max-memory", "96M", "--max-conns", "77")
        self.assertEqual((values["idle-timeout"], values["per-ip"], values["max-memory"], values["max-conns"]),
                         ("1500ms", "0", "96M", "77"))
        self.assertEqual(values["first-byte-timeout"], "1500ms")  # not longer than the idle limit


class Beyond(Case):
    def test_too_many(self):
        """A7: all but the first are told why, and counted; when one leaves there is room for one, at once."""
        for poller, workers in itertools.product(POLLERS, (1, 2)):
            with self.subTest(poller=poller, workers=workers), \
                    serve("random", workers=workers,
                          options=("--quiet", "--poller", poller, "--max-conns", "20")) as server:
                inside = [server.connect() for _ in range(20)]
                self.assertTrue(all(speaks(peer) for peer in inside))
                outside = [server.connect() for _ in range(MORE)]
                for peer in outside:
                    self.assertFalse(speaks(peer))
                told = sum(peer.said == b"refused: too many connections\n" for peer in outside)
                self.assertGreaterEqual(told, 1)  # the text of those beyond 32 at a time may be lost with a reset
                for leaving in inside[:3]:
                    leaving.half_close()
                    self.assertEqual(leaving.gone(), b"")
                    inside.append(server.connect())
                    self.assertTrue(speaks(inside[-1]), inside[-1].said)
                close_all(*inside, *outside)
                wait_until(lambda: sum(server.told("closed").values()) == 23 + MORE, "all to be closed")
                self.assertEqual(end(self, server).get("max_conns"), MORE)

    def test_one_address(self):
        for poller in POLLERS:
            with self.subTest(poller=poller), \
                    serve("random", options=("--quiet", "--poller", poller, "--per-ip", "3")) as server:
                inside = [Peer(server.address(), source="127.0.0.2") for _ in range(3)]
                self.assertTrue(all(speaks(peer) for peer in inside))
                other = Peer(server.address(), source="127.0.0.3")
                self.assertTrue(speaks(other))
                for _ in range(5):
                    with Peer(server.address(), source="127.0.0.2") as peer:
                        self.assertFalse(speaks(peer))
                        self.assertEqual(peer.said, b"refused: too many connections from your address\n")
                inside.pop().half_close()
                server.wait_text("reason=eof", name="err")
                with Peer(server.address(), source="127.0.0.2") as peer:
                    self.assertTrue(wait_until(lambda: speaks(peer), "room"))
                    close_all(other, *inside)
                self.assertEqual(end(self, server)["per_ip"], 5)

    def test_too_fast(self):
        """Only one a second of each address, and the other address is another matter."""
        with serve("random", options=("--quiet", "--accept-rate", "1")) as server:
            refused = 0
            for _ in range(20):
                with server.connect() as peer:
                    if not speaks(peer):
                        self.assertIn(b"too many new connections from your address", peer.said)
                        refused += 1
            self.assertGreater(refused, 0)
            with Peer(server.address(), source="127.0.0.9") as peer:
                self.assertTrue(speaks(peer))
            self.assertEqual(end(self, server)["rate"], refused)

    def test_this_host_is_not_held_to_the_defaults(self):
        with serve("random", options=("--quiet",)) as server:
            peers = [server.connect() for _ in range(300)]
            self.assertTrue(all(speaks(peer) for peer in peers))
            close_all(*peers)

    def test_in_the_room_only_a_message_that_has_begun_has_to_end(self):
        need_json()
        for poller in POLLERS:
            with self.subTest(poller=poller), \
                    serve("broadcast", options=("--quiet", "--poller", poller)) as silent, \
                    silent.connect() as listener, \
                    serve("broadcast",
                          options=("--quiet", "--poller", poller, "--first-byte-timeout", "300ms")) as server:
                peer, drop = server.connect(), server.connect()
                for one in (peer, drop):
                    one.send(message("whole"))
                    while ACK_ANSWER not in one.line():
                        pass
                drop.send(b'{"message":"hal')
                drop.gone()
                peer.send(message("still here"))  # it has been silent for as long
                while ACK_ANSWER not in peer.line():
                    pass
                with silent.connect() as talker:  # nobody has to say anything at first
                    talker.send(message("hello"))
                    self.assertIn(b"hello", listener.line())
                peer.half_close()
                peer.gone()
                self.assertEqual(end(self, server), {"idle": 1, "eof": 1})


class Memory(Case):
    """--max-memory, for all rooms and connections together: the longest queue is given up, whosever it is."""
    OPTIONS = ("--quiet", "--outbox", "1G", "--slow-policy", "block", "--write-timeout", "10m")

    def base(self, *services):
        with serve(*services) as server:
            if server.is_sanitized():
                self.skipTest("a sanitizer's memory is not the program's")
            return resident(server)

    def say(self, talker, text):
        talker.send(message(text))
        self.assertIn(ACK_ANSWER, talker.line())

    def test_the_longest_queue_goes_first(self):
        """Two rooms whose logs may become larger than memory. Of their members that do not read, the one for which most
        waits is cut; the other one, for which little waits in the other room, hears all of it later."""
        need_json()
        sockets = ["broadcast=unix://@coracle-memory-%d-%d" % (os.getpid(), number) for number in range(2)]
        base = self.base(*sockets)
        for poller in POLLERS:
            with self.subTest(poller=poller), \
                    serve(*sockets, options=(*self.OPTIONS, "--poller", poller,
                                             "--max-memory", str(base + MEMORY))) as server:
                members = []
                for room in (*sockets[:1] * 2, *sockets[1:] * 2):
                    members.append(Peer(room.partition("unix://")[2]))
                    self.say(members[-1], "here")
                greedy, talker, modest, other = members
                for _ in range(SOME):
                    self.say(other, TEXT.decode())
                sent = 0
                while "event=queue_cut" not in server.err and sent < 4 * MEMORY:
                    self.say(talker, TEXT.decode())
                    sent += len(TEXT)
                self.assertGreater(sent, MEMORY // 2)  # and not before
                server.wait_text("reason=oom", name="err")
                self.assertLess(sent, 4 * MEMORY)
                server.wait_text("event=memory_short", name="err")
                server.wait_text("event=memory_enough", name="err")
                self.assertIn("event=queue_cut conn=1 ", server.err)
                self.assertTrue(modest.line().endswith(b"here\n"))
                for _ in range(SOME):
                    self.assertTrue(modest.line().endswith(TEXT + b"\n"))
                self.say(talker, "still here")
                self.say(other, "still here")
                with Peer(sockets[0].partition("unix://")[2]) as another:
                    self.say(another, "new")
                close_all(*members)
                self.assertEqual(end(self, server)["oom"], 1)

    def test_nobody_is_let_in_while_it_is_short(self):
        """Those who are in stay in; the others are told why, and counted."""
        for poller in POLLERS:
            with self.subTest(poller=poller), \
                    serve("random", options=("--quiet", "--poller", poller, "--max-memory", "1M")) as server:
                server.wait_text("event=memory_short", name="err")  # the program alone takes more
                for _ in range(3):
                    with server.connect() as peer:
                        self.assertFalse(speaks(peer))
                        self.assertEqual(peer.said, b"refused: out of memory, try again later\n")
                self.assertEqual(end(self, server), {"oom": 3})


if __name__ == "__main__":
    main()
