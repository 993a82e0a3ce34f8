#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Loops over n-th failures: the n-th allocation of the process, or the n-th system call of a kind, fails in the middle
of a dialogue, for n = 1, 2, 3 ... until a dialogue ends without a failure.

    tests/faults/nth.py               all services, all calls, all their errors, both pollers, 1 and 2 workers
    tests/faults/nth.py --quick echo  one service as in the fast suite: some failures of each kind

At the end a table says how many failures each dialogue has seen, each another call or error, and what became of it;
docs/faults.md has the last one. After each failure the next client must be served in full; at the end of a loop the
server must be as it was: its descriptors back, every connection that was accepted closed for one reason, exit code 0.
Run with the build of the sanitizers it also finds what is leaked.
COR_BIN is the program with faults, build/release/tests/coracle_faults if it is not set.
"""
import collections
import contextlib
import errno
import itertools
import json
import mmap
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
os.environ.setdefault("COR_BIN", os.path.join(SOURCE, "build", "release", "tests", "coracle_faults"))
sys.path[:0] = [os.path.join(SOURCE, "tests", "e2e"), os.path.join(SOURCE, "tests", "attack")]

from harness import (  # noqa: E402
    ACK_ANSWER, BIN, GREETING, PATIENCE, REPLY, TOLD, Peer, Program, message, run_coracle, serve, settled_fds,
    split_address, text_address)
from test_resolve import Server as NameServer  # noqa: E402
from websocket import CLOSE, CONT, PING, PONG, TEXT, WebPeer, answered, close, frame, request  # noqa: E402

MOST = 3000  # no dialogue has that many calls
QUICK_STEP = 11


class Page:
    """The rules and counts of a process, shared with it. The program tells which calls there are, what errors suit them
    and where the words of a rule are."""

    def __init__(self):
        listed = subprocess.run([BIN], env={"COR_FAULT": "help"}, capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in listed.splitlines() if not line.startswith("#")]
        self.size, self.words = int(rows[0][1]), {name: int(at) for name, at in zip(rows[0][2::2], rows[0][3::2])}
        self.index = {name: int(number) for number, name, *_ in rows[1:]}
        self.errors = {name: [getattr(errno, word, 0) for word in words] for _, name, *words in rows[1:]}
        self.file = tempfile.NamedTemporaryFile(prefix="coracle-faults-")
        self.file.truncate(self.size * len(self.index))
        self.map = mmap.mmap(self.file.fileno(), self.size * len(self.index))
        self.env = {"COR_FAULT_PAGE": self.file.name}

    def close(self):
        self.map.close()
        self.file.close()

    def place(self, call, word):
        return self.size * self.index[call] + self.words[word]

    def arm(self, call, first, code=0):
        """The `first` of the calls from now on fails; nothing counts until `first` is written, last."""
        for word, value in (("seen", 0), ("hits", 0), ("step", 0), ("code", code), ("limit", 0), ("first", first)):
            struct.pack_into("I", self.map, self.place(call, word), value)

    def disarm(self, call):
        """Ends the rule; gives how many calls failed since it was set. Its count of calls goes on."""
        hits, = struct.unpack_from("I", self.map, self.place(call, "hits"))
        struct.pack_into("I", self.map, self.place(call, "first"), 0)
        return hits


class Lost(Exception):
    """The client was not served in full: allowed in the dialogue with the failure, and in no other."""


def expect(got, wanted):
    if got != wanted:
        raise Lost("%.80r instead of %.80r" % (got, wanted))


def talk_ack(server):
    with server.connect("ack") as peer:
        peer.send("one")
        expect(peer.read_all(), REPLY)


def talk_print(server):
    with server.connect("print") as peer:
        peer.send("one\ntwo\n" + "x" * 5000)
        peer.half_close()
        expect(peer.read_all(), b"")


def talk_greet(server):
    with server.connect("greet") as peer:
        expect(peer.line(), GREETING)
        peer.send("one\ntwo")
        peer.half_close()
        expect(peer.read_all(), b"")


def talk_echo(server):
    text = b"0123456789" * 3000
    with server.connect("echo") as peer:
        peer.send("first")
        expect(peer.read(5), b"first")
        peer.send(text)
        peer.half_close()
        expect(peer.read_all(), text)


def talk_random(server):
    with server.connect("random") as peer:
        for line in (b"\n", b"x" * 5000 + b"\n"):
            peer.send(line)
            if not peer.line().strip().isdigit():
                raise Lost("no number")
        peer.send("STOP\n")
        expect(peer.read_all(), b"")


def talk_broadcast(server):
    """Two members: plain texts, what needs the parser, what is no message, and one that is large."""
    with contextlib.ExitStack() as both:
        other = both.enter_context(server.connect("broadcast"))
        other.send(message("here"))
        expect(other.line(), other.name.encode() + ACK_ANSWER)
        sender = both.enter_context(server.connect("broadcast"))
        texts = ["plain", "esc\"aped \u00e9\U0001f600", "x" * 20000]
        for text in texts:
            object = {"list": [1, {"deep": [2.5, None, True]}], "other": "v" * 100, "message": text}
            object.update(("key%d" % i, {"same": "a", "s\u0061me": i}) for i in range(20))
            sender.send(message(text) + json.dumps(object).encode())
            told = sender.name.encode() + TOLD + text.encode() + b"\n"
            for _ in range(2):
                expect(read_told(sender), sender.name.encode() + ACK_ANSWER)
            for _ in range(2):
                expect(read_told(other), told)
        sender.send(b'{"message":[1,2}\n' + b'{"message":5}')
        expect(sender.line()[:16], b"invalid message:")
        expect(sender.line()[:16], b"invalid message:")
        sender.half_close()
        expect(sender.read_all()[-1:], b"")


def read_told(peer):
    line = peer.line()
    if line.startswith(b"room notice:"):
        raise Lost(line)
    return line


def talk_ws(server):
    """The page, a refusal, and two members, of whom one leaves by a close frame and the other without."""
    at = server.address("broadcast ws")
    try:
        for fields, status in (({"Upgrade": None, "Sec_WebSocket_Key": None}, 200), ({"path": "/x"}, 404)):
            with Peer(at) as peer:
                peer.send(request(at, **fields))
                expect(answered(peer)[0], status)
        with WebPeer(at) as other, WebPeer(at, early=frame(PING, b"in?")) as sender:
            expect(sender.frame(), (PONG, b"in?"))
            other.say('{"message":"here"}')
            expect(other.frame(), (TEXT, other.name.encode() + ACK_ANSWER[:-1]))
            expect(sender.frame(), (TEXT, other.name.encode() + TOLD + b"here"))
            for text in ("plain", "esc\"aped \u00e9", "x" * 20000):
                whole = message(text)
                sender.send(frame(TEXT, whole[:9], fin=False) + frame(PING, b"now") + frame(CONT, whole[9:]))
                expect({sender.frame(), sender.frame()},
                       {(TEXT, sender.name.encode() + ACK_ANSWER[:-1]), (PONG, b"now")})
                expect(other.frame(), (TEXT, sender.name.encode() + TOLD + text.encode()))
            sender.say("no message")
            expect(sender.frame()[1][:16], b"invalid message:")
            sender.send(close(1000))
            expect(sender.frame(), (CLOSE, b"\x03\xe8"))
            expect(sender.read_all(), b"")
            other.half_close()
            expect(other.frame(), (CLOSE, b"\x03\xe8"))
            expect(other.read_all(), b"")
    except (AssertionError, LookupError, ValueError) as error:  # no head, or no frame
        raise Lost(error) from error


def talk_exec(server):
    with server.connect("exec") as peer:
        peer.send("one\ntwo")
        peer.half_close()
        expect(peer.read_all(), b"one\ntwo")


def talk_unix(server):
    with server.connect("echo") as peer:
        peer.send("first")
        expect(peer.read(5), b"first")
        peer.half_close()
        expect(peer.read_all(), b"")


def talk_packets(server):
    """A datagram may be lost; then it is sent once more."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        sock.connect(server.address("echo"))
        for attempt in range(100):
            try:
                sock.send(b"datagram")
                expect(sock.recv(100), b"datagram")
                return
            except (TimeoutError, ConnectionRefusedError):
                if attempt == 99:
                    raise


def talk_admin(server):
    """What an operator asks, while a client is there."""
    with server.connect("echo") as peer:
        peer.send("first")
        expect(peer.read(5), b"first")
        for path in ("/metrics", "/status", "/livez", "/readyz", "/"):
            with Peer(server.admin) as asked:
                asked.send("GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" % path)
                expect(asked.read_all()[:15], b"HTTP/1.1 200 OK")
        peer.half_close()
        expect(peer.read_all(), b"")


# Name: the services, what is said to them, options of the server, and what exec runs.
SERVED = {
    "ack": (("ack",), talk_ack, ()),
    "print": (("print",), talk_print, ()),
    "greet": (("greet",), talk_greet, ()),
    "echo": (("echo",), talk_echo, ()),
    "random": (("random",), talk_random, ()),
    "broadcast": (("broadcast",), talk_broadcast, ()),
    "ws": (("broadcast=ws://127.0.0.1:0",), talk_ws, ()),
    "exec": (("exec",), talk_exec, (), ("cat",)),
    "unix": (("echo=unix://@coracle-faults-%d" % os.getpid(),), talk_unix, ()),
    "packets": (("echo=udp://127.0.0.1:0",), talk_packets, ()),
    "admin": (("echo",), talk_admin, ("--admin", "127.0.0.1:0")),
}
# Name: the arguments of dial, what it is given to send, and the service it talks to.
DIALED = {
    "dial-raw": (("--as", "raw"), b"one\ntwo\n", "echo"),
    "dial-echo": (("--as", "echo"), b"one\ntwo\n", "echo"),
    "dial-name": (("--as", "name"), b"one\n", "print"),
    "dial-broadcast": (("--as", "broadcast"), b"one\ntwo\n", "broadcast"),
    "dial-get": (("--as", "get"), b"", "ack"),
}
GOOD_ENDS = (0, 1, 69, 75)  # EXIT_OK, _FAILED, _UNREACHABLE, _TRY_AGAIN
GOOD_STARTS = GOOD_ENDS + (77, 78, 128 + signal.SIGTERM)  # the last one: told to end while it failed to start
CASES = tuple(SERVED) + tuple(DIALED) + ("resolve", "start")
COLUMNS = tuple(itertools.product(("epoll", "io_uring"), (1, 2)))


class Loops:
    """Loops over one process or one command. `quick`: over some failures only, each call with its usual error."""

    def __init__(self, quick):
        self.quick, self.page, self.packets = quick, Page(), False
        self.dialogues, self.failures = 0, collections.Counter()  # the latter by call

    def errors(self, call):
        """Its usual error, and others; but a socket of packets has no connection to lose."""
        return self.page.errors[call][:1 if self.quick or self.packets else None]

    def calls(self):
        return ("any", "alloc") if self.quick else [call for call in self.page.index if call != "any"]

    def loop(self, run, calls=None):
        """run(call): a dialogue with the rule set; the loop ends when none of its calls fails."""
        for call in calls or self.calls():
            for code in self.errors(call):
                first = 1
                while first < MOST:
                    self.page.arm(call, first, code)
                    try:
                        run(call)
                    except BaseException:
                        print("failed: call %s, number %d, %s" % (call, first, errno.errorcode.get(code)), flush=True)
                        raise
                    hits = self.page.disarm(call)
                    self.dialogues += 1
                    if hits == 0:
                        break
                    self.failures[call] += hits
                    first += QUICK_STEP if self.quick else 1

    def serve(self, name, poller, workers):
        services, talk, options, *program = SERVED[name]
        with serve(*services, workers=workers, env=self.page.env, program=program[0] if program else (),
                   options=("--grace", "2s", "--poller", poller, *options)) as server:
            if "--admin" in options:
                server.wait_text("listening admin")
                server.admin = split_address(re.search(r"^listening admin \S+ (\S+)$", server.out, re.M).group(1))
            self.packets = name == "packets"
            talk(server)
            base = server.fds() if self.packets else settled_fds(server)

            def run(call):
                try:
                    talk(server)
                except TimeoutError:
                    raise  # it is stuck
                except (Lost, OSError):
                    pass
                self.page.disarm(call)
                talk(server)
            self.loop(run)
            if not server.alive():
                raise AssertionError(server.describe())
            server.wait_fds(base)
            server.signal(signal.SIGTERM)
            if server.wait() != 0:
                raise AssertionError(server.describe())
            accepted, closed, still = map(int, re.search(
                r"event=stopped accepted=(\d+) closed=(\d+) open=(\d+)", server.err).groups())
            if accepted != closed or still != 0:
                raise AssertionError(server.describe())

    def dial(self, name, poller):
        arguments, text, service = DIALED[name]
        env = dict(self.page.env, COR_POLLER=poller)
        with serve(service, options=("--quiet",)) as server:
            address = text_address(server.address())

            clean = run_coracle("dial", *arguments, address, stdin=text)

            def run(_):
                """It must not say that all went well and have lost something."""
                done = run_coracle("dial", *arguments, address, stdin=text, env=env)
                if done.code not in GOOD_ENDS or (done.code == 0 and len(done.out) != len(clean.out)):
                    raise AssertionError(done.describe())
            self.loop(run)
            server.signal(signal.SIGTERM)
            if server.wait() != 0:
                raise AssertionError(server.describe())

    def resolve(self, poller):
        """Addresses and other records: found, or a word why not. Of two kinds of addresses one may be all there is."""
        with contextlib.closing(NameServer()) as names, tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            conf.write("nameserver %s\noptions timeout:1 attempts:1\n" % names.address)
            conf.flush()
            env = dict(self.page.env, COR_POLLER=poller, COR_RESOLV_CONF=conf.name)

            def run(_):
                for words, answer in ((("host.test",), r"(host.test\tip\t[0-9a-f:.]+\tfrom .*\n)+"), (
                        ("--type", "mx", "mail.test"), r"(mail.test\tmx\t[12]0 [ab].test[.]\tfrom .*\n){2}")):
                    done = run_coracle("resolve", *words, env=env)
                    good = re.fullmatch(answer, done.out) if done.code == 0 else done.err
                    if done.code not in GOOD_ENDS or not good:
                        raise AssertionError(done.describe())
            self.loop(run, ("alloc",) if self.quick else None)  # a lost question takes a second

    def start(self, poller):
        """Until the services serve, or a clean refusal to start."""
        def run(_):
            argv = [BIN, "serve", "--poller", poller, "--workers", "2"]
            argv += [name + "=127.0.0.1:0" for name in ("ack", "broadcast", "echo")]
            with Program(argv, env=self.page.env) as server:
                over = time.monotonic() + PATIENCE
                while server.alive() and not self.serves(server):
                    time.sleep(0.001)  # pacing: it is asked again and again
                    if time.monotonic() > over:
                        raise AssertionError("neither served nor ended: " + server.describe())
                if server.alive():
                    server.signal(signal.SIGTERM)
                if server.wait() not in GOOD_STARTS:
                    raise AssertionError(server.describe())
        self.loop(run, [call for call in self.calls() if call != "getsockname"])  # a bound socket has an address

    @staticmethod
    def serves(server):
        """Whether the last of the services answers by now."""
        bound = re.search(r"^listening echo tcp (\S+)$", server.out, re.M)
        with contextlib.suppress(OSError):
            if bound:
                with Peer(split_address(bound.group(1))) as peer:
                    peer.send("x")
                    return peer.read(1) == b"x"
        return False

    def count(self, kind):
        return sum(hits for call, hits in self.failures.items() if (call == "alloc") == (kind == "allocations"))

    def case(self, name, poller, workers):
        if name in SERVED:
            self.serve(name, poller, workers)
        elif name in DIALED:
            self.dial(name, poller)
        else:
            getattr(self, name)(poller)


def table(done):
    """`done`: {name: {(poller, workers): loops, or what went wrong}}. Each kind of failure has a line."""
    print("\n| dialogue | what failed | " + " | ".join("%s, %d" % column for column in COLUMNS) + " | result |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    for name, cells in done.items():
        wrong = sum(not isinstance(loops, Loops) for loops in cells.values())
        result = "FAILED" if wrong else "served" if name in SERVED else "ended well"
        for kind in ("allocations", "system calls"):
            counts = [str(cells[column].count(kind)) if isinstance(cells.get(column), Loops) else ""
                      for column in COLUMNS]
            print("| %s | %s | %s | %s |" % (name, kind, " | ".join(counts), result))
    loops = [one for cells in done.values() for one in cells.values() if isinstance(one, Loops)]
    print("\n%d failures in %d dialogues; of calls: %s" % (
        sum(sum(one.failures.values()) for one in loops), sum(one.dialogues for one in loops),
        " ".join(sorted(set().union(*(one.failures for one in loops))))))


def main(argv):
    names = [word for word in argv if not word.startswith("-")]
    quick = "--quick" in argv
    if set(argv) - set(names) - {"--quick"} or set(names) - set(CASES):
        print(__doc__ + "\nnames: " + " ".join(CASES), file=sys.stderr)
        return 2
    done = {}
    for name, (poller, workers) in itertools.product(names or CASES, COLUMNS):
        if workers != 1 and name not in SERVED or quick and name in SERVED and (poller == "epoll") != (workers == 1):
            continue
        loops, begin = Loops(quick), time.monotonic()
        cell = done.setdefault(name, {})
        try:
            loops.case(name, poller, workers)
            cell[poller, workers] = loops
        except Exception:  # whatever it is: the other dialogues are tried too
            traceback.print_exc()
            cell[poller, workers] = None
        print("%-15s %-8s workers=%d: %5d failures in %5d dialogues, %.1f s" % (
            name, poller, workers, sum(loops.failures.values()), loops.dialogues, time.monotonic() - begin), flush=True)
        loops.page.close()
    table(done)
    return 1 if any(loops is None for cells in done.values() for loops in cells.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
