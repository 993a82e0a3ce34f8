# SPDX-License-Identifier: MIT
"""`coracle resolve` against a scripted name server on loopback: types, formats, errors, exit codes."""
import json
import os
import re
import socket
import struct
import tempfile
import threading
import unittest

from harness import Case, main, run_coracle

TYPES = {1: "a", 2: "ns", 12: "ptr", 15: "mx", 16: "txt", 28: "aaaa", 33: "srv"}


def wire(name):
    return b"".join(bytes([len(label)]) + label for label in name.encode().split(b".") if label) + b"\0"


RECORDS = {
    ("host.test.", "a"): [socket.inet_aton("192.0.2.7")],
    ("host.test.", "aaaa"): [socket.inet_pton(socket.AF_INET6, "2001:db8::7")],
    ("7.2.0.192.in-addr.arpa.", "ptr"): [wire("host.test")],
    ("mail.test.", "mx"): [struct.pack(">H", 20) + wire("b.test"), struct.pack(">H", 10) + wire("a.test")],
    ("mail.test.", "ns"): [wire("ns.test")],
    ("mail.test.", "txt"): [b"\x07one\x1b[2m\x04 two"],
    ("_web._tcp.mail.test.", "srv"): [struct.pack(">HHH", 1, 2, 443) + wire("host.test")],
}


class Server:
    """Answers from RECORDS; silent about names that begin with "mute", SERVFAIL for "fails"."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            packet, peer = self.socket.recvfrom(2048)
            if len(packet) < 12:
                return
            answer = self.answer(packet)
            if answer:
                self.socket.sendto(answer, peer)

    @staticmethod
    def answer(packet):
        at, labels = 12, []
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode())
            at += packet[at] + 1
        name, kind = ".".join(labels) + ".", struct.unpack(">H", packet[at + 1:at + 3])[0]
        found = RECORDS.get((name, TYPES.get(kind)), [])
        if name.startswith("mute"):
            return None
        known = any(key[0] == name for key in RECORDS)
        code = 2 if name.startswith("fails") else 0 if known else 3
        head = packet[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0)
        return head + packet[12:at + 5] + b"".join(
            struct.pack(">HHHIH", 0xc00c, kind, 1, 60, len(data)) + data for data in found)

    def close(self):
        self.socket.sendto(b"end", self.socket.getsockname())
        self.thread.join(10)
        self.socket.close()


class Resolve(Case):
    def setUp(self):
        super().setUp()
        if "dns: off" in run_coracle("--version").out:
            raise unittest.SkipTest("built without c-ares")
        self.server = Server()
        self.addCleanup(self.server.close)
        conf = tempfile.NamedTemporaryFile("w", suffix=".conf")  # pylint: disable=consider-using-with
        self.addCleanup(conf.close)
        conf.write("nameserver %s\noptions timeout:20 attempts:1\n" % self.server.address)
        conf.flush()
        os.environ["COR_RESOLV_CONF"] = conf.name
        self.addCleanup(os.environ.__setitem__, "COR_RESOLV_CONF", "")

    def lines(self, *argv):
        done = run_coracle("resolve", *argv)
        self.assertEqual((done.code, done.err), (0, ""), done.describe())
        return [line.split("\t") for line in done.out.splitlines()]

    def test_addresses(self):
        lines = self.lines("host.test", "127.0.0.1")
        self.assertEqual({line[2] for line in lines[:2]}, {"192.0.2.7", "2001:db8::7"})
        for line in lines[:2]:
            self.assertEqual(line[:2] + [line[3]], ["host.test", "ip", "from " + self.server.address])
            self.assertRegex(line[4], r"^in [0-9]+\.[0-9]{3} ms$")
        self.assertEqual(lines[2][:3], ["127.0.0.1", "ip", "127.0.0.1"])
        self.assertEqual(self.lines("--type", "ip6", "host.test:https")[0][2], "[2001:db8::7]:443")
        self.assertEqual(self.lines("-a", "ip4", "host.test:80")[0][2], "192.0.2.7:80")

    def test_c_library(self):
        """Its own resolver has the same hosts file, and says who answered."""
        os.environ["COR_RESOLVER"] = "libc"
        self.addCleanup(os.environ.pop, "COR_RESOLVER")
        done = run_coracle("resolve", "--type", "ip4", "localhost")
        self.assertEqual(done.code, 0, done.describe())
        self.assertEqual(done.out.split("\t")[:4], ["localhost", "ip4", "127.0.0.1", "from libc"])

    def test_other_types(self):
        for kind, name, wants in (("addr", "192.0.2.7", ["host.test."]), ("cname", "host.test", ["host.test."]),
                                  ("mx", "mail.test", ["10 a.test.", "20 b.test."]), ("ns", "mail.test", ["ns.test."]),
                                  ("txt", "mail.test", [r"one\x1b[2m two"]),
                                  ("srv", "_web._tcp.mail.test", ["1 2 host.test.:443"])):
            with self.subTest(kind):
                self.assertEqual([line[2] for line in self.lines("--type", kind, name)], wants)

    def test_json(self):
        done = run_coracle("resolve", "--format", "json", "--type", "mx", "mail.test", "gone.test")
        found, gone = map(json.loads, done.out.splitlines())
        self.assertEqual(done.code, 69, done.describe())
        self.assertGreater(found.pop("time_ns"), 0)
        self.assertEqual(found, {"name": "mail.test", "type": "mx", "server": self.server.address, "answers": [
            {"text": "a.test.", "priority": 10}, {"text": "b.test.", "priority": 20}]})
        self.assertEqual(gone["error"], "lookup gone.test on %s: no such host" % self.server.address)
        self.assertEqual(gone["answers"], [])

    def test_errors(self):
        for argv, code, text in (
                (["gone.test"], 69, "lookup gone.test on SERVER: no such host"),
                (["fails.test"], 69, "lookup fails.test on SERVER: server misbehaving"),
                (["-t", "50ms", "mute.test"], 69, "lookup mute.test: i/o timeout"),
                (["--type", "addr", "x"], 78, "lookup x: unrecognized address"),
                (["host.test:nothing"], 78, "lookup tcp/nothing: unknown port"),
                (["--type", "a", "x"], 2, "--type"), ([], 2, "no NAME given")):
            with self.subTest(argv):
                done = run_coracle("resolve", *argv)
                self.assertEqual((done.code, done.out), (code, ""), done.describe())
                self.assertIn(text, re.sub(" on " + re.escape(self.server.address), " on SERVER", done.err))

    def test_help(self):
        text = run_coracle("resolve", "--help").out
        self.assertEqual(text, run_coracle("help", "resolve").out)
        for word in ("--type", "--format", "--timeout", "cname", "srv"):
            self.assertIn(word, text)


if __name__ == "__main__":
    main()
