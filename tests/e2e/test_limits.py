# SPDX-License-Identifier: MIT
"""The limits of `coracle serve`: which hold when nothing is said, what a client over one of them sees, that it is
counted, and that there is room again at once when somebody leaves."""
import contextlib
import itertools
import os
import re
import signal

from harness import (ACK_ANSWER, FULL, Case, Peer, close_all, main, message, need_json, run_coracle, serve, wait_until)

POLLERS = ("epoll", "io_uring")
MORE = 500 if FULL else 60  # clients beyond the limit
MEMORY = 24 << 20  # bytes that a room may take beyond what the program has at its start
TEXT = b"x" * 60000
PIPE = 65536  # bytes that a pipe takes
PROCESSES = 100


def config(*options):
    done = run_coracle("serve", *options, "--dump-config")
    assert done.code == 0, done.describe()
    return dict(line.split("=", 1) for line in done.out.splitlines())


def resident(server):
    return server.smaps("Rss") * 1024


def children(server):
    found = []
    for thread in os.listdir("/proc/%d/task" % server.pid):  # which are not told of the others' children
        with open("/proc/%d/task/%s/children" % (server.pid, thread), encoding="ascii") as file:
            found += file.read().split()
    return found


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
    """--max-memory, for all together: the connection for which most is held is given up, whatever is held."""
    OPTIONS = ("--quiet", "--outbox", "1G", "--slow-policy", "block", "--write-timeout", "10m")

    def base(self, *services):
        with serve(*services) as server:
            if server.is_sanitized():
                self.skipTest("a sanitizer's memory is not the program's")
            return resident(server)

    def say(self, talker, text):
        talker.send(message(text))
        while ACK_ANSWER not in talker.line():  # what others say may come first
            pass

    def test_the_longest_queue_goes_first(self):
        """A room whose log may become larger than memory. Of its members that do not read, the one for which most waits
        is cut; the other one, which came later, hears all of it."""
        need_json()
        socket = "coracle-memory-%d" % os.getpid()
        base = self.base("broadcast=unix://@" + socket)
        for poller in POLLERS:
            with self.subTest(poller=poller), \
                    serve("broadcast=unix://@" + socket,
                          options=(*self.OPTIONS, "--poller", poller, "--max-memory", str(base + MEMORY))) as server:
                greedy, talker, modest, sent, heard = Peer("@" + socket), Peer("@" + socket), None, 0, 0
                for peer in (greedy, talker):
                    self.say(peer, "here")
                while "event=queue_cut" not in server.err and sent < 4 * MEMORY:
                    if modest is None and sent > MEMORY // 2:
                        modest = Peer("@" + socket)
                        self.say(modest, "here")
                    self.say(talker, TEXT.decode())
                    sent += len(TEXT)
                    heard += modest is not None
                self.assertGreater(sent, MEMORY // 2)  # and not before
                server.wait_text("reason=oom", name="err")
                server.wait_text("event=memory_enough", name="err")
                short, limit = map(int, re.search(r"event=memory_short used=(\d+) limit=(\d+)", server.err).groups())
                self.assertLess(short, limit)  # seen in time, however fast the room has grown
                cut = int(re.search(r"event=queue_cut conn=1 queued=(\d+)", server.err).group(1))
                self.assertLess(cut, MEMORY + MEMORY // 4)
                for _ in range(heard):
                    self.assertTrue(modest.line().endswith(TEXT + b"\n"))
                self.say(talker, "still here")
                self.say(modest, "still here")
                with Peer("@" + socket) as another:
                    self.say(another, "new")
                close_all(greedy, talker, modest)
                self.assertEqual(end(self, server)["oom"], 1)

    def test_half_a_message_is_held_too(self):
        """One client sends a message without an end. It is cut; another one, which has sent less of its own, is not."""
        self.hold_half("random", b"", b"\n", b"\n")
        need_json()
        self.hold_half("broadcast", b'{"message":"', b'"}', ACK_ANSWER)

    def hold_half(self, service, begin, rest, answer):
        base = self.base(service)
        for poller in POLLERS:
            with self.subTest(service=service, poller=poller), \
                    serve(service, options=(*self.OPTIONS, "--poller", poller, "--max-line", "1G",
                                            "--max-memory", str(base + MEMORY))) as server:
                modest, greedy = server.connect(), server.connect()
                modest.send(begin + TEXT)
                greedy.send(begin)
                greedy.sock.setblocking(False)
                left = [4 * MEMORY]

                def push(peer=greedy, left=left):
                    with contextlib.suppress(BlockingIOError, ConnectionError):
                        while left[0] > 0:
                            left[0] -= peer.sock.send(TEXT)
                wait_until(lambda server=server, push=push: push() or "event=queue_cut" in server.err, "a cut")
                self.assertIn("event=queue_cut conn=2 ", server.err)
                modest.send(rest)
                self.assertIn(answer, modest.line())
                close_all(modest, greedy)
                self.assertEqual(end(self, server)["oom"], 1)

    def stalled(self, server):
        """A client that says nothing, and others whose processes read nothing of what was sent to them: more than a
        pipe takes."""
        peers = [server.connect() for _ in range(1 + PROCESSES)]
        for peer in peers[1:]:
            peer.send(TEXT * 2)
        return peers

    def test_pipes_are_held_too(self):
        """There is room for all, but for what waits in the pipes of processes, which is the kernel's. Clients are cut
        because of that, and it counts as theirs: one that has sent nothing stays."""
        for poller in POLLERS:
            options = ("--quiet", "--exec-max", str(2 * PROCESSES), "--poller", poller)
            with self.subTest(poller=poller):
                with serve("exec", options=options, program=("sleep", "600")) as server:
                    if server.is_sanitized():
                        self.skipTest("a sanitizer's memory is not the program's")
                    peers = self.stalled(server)
                    looks = []
                    wait_until(lambda server=server, looks=looks: len(children(server)) == 1 + PROCESSES and (
                        looks.append(resident(server)) or looks[-1:] * 20 == looks[-20:]), "memory to settle")
                    close_all(*peers)
                limit = looks[-1] + PROCESSES * PIPE // 2
                options += ("--max-memory", str(limit))
                with serve("exec", options=options, program=("sleep", "600")) as server:
                    peers = self.stalled(server)
                    server.wait_text("event=queue_cut", name="err")
                    held = int(re.search(r"queue_cut conn=\d+ queued=(\d+)", server.err).group(1))
                    self.assertGreaterEqual(held, PIPE)
                    self.assertNotIn("queue_cut conn=1 ", server.err)
                    peers[0].sock.setblocking(False)
                    with self.assertRaises(BlockingIOError):
                        peers[0].read(1)
                    close_all(*peers)

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
