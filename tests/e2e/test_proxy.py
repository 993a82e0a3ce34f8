# SPDX-License-Identifier: MIT
"""`coracle serve --proxy-from`: who a proxy says its client is, for limits, lists, log, status and programs."""
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import urllib.request

from harness import WORKERS, Case, Peer, each_server, main, run_coracle, serve, wait_until

V2 = b"\r\n\r\n\0\r\nQUIT\n"
TRUSTED, STRANGER = "127.0.0.2", "127.0.0.3"
OPTIONS = ("--quiet", "--proxy-from", TRUSTED)
DENIED = b"refused: your address may not connect\n"


def v1(address, port=4000):
    return ("PROXY TCP4 %s 198.51.100.9 %d 80\r\n" % (address, port)).encode()


def v2(address, port=4000, command=0x21, more=b""):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    ends = socket.inet_pton(family, address) * 2 + struct.pack(">HH", port, 80) + more
    return V2 + bytes((command, 0x21 if family == socket.AF_INET6 else 0x11)) + struct.pack(">H", len(ends)) + ends


def through(server, header=b"", source=TRUSTED):
    peer = Peer(server.address(), source=source)
    peer.send(header)
    return peer


class Proxy(Case):
    def assertEchoes(self, peer, data=b"hello\n"):
        peer.send(data)
        self.assertEqual(peer.read(len(data)), data)

    @each_server("echo", options=OPTIONS)
    def test_both_versions(self, server):
        for header, said in ((v1("192.0.2.1"), "192.0.2.1:4000"), (v2("192.0.2.7", 65535), "192.0.2.7:65535"),
                             (v2("2001:db8::1"), "[2001:db8::1]:4000"),
                             (v2("192.0.2.8", more=b"\x04\x03\xe8" + b"x" * 1000), "192.0.2.8:4000")):
            with through(server, header + b"ahead") as peer:
                self.assertEqual(peer.read(5), b"ahead")
                self.assertEchoes(peer)
                mine = "%s:%d" % peer.sock.getsockname()
            server.wait_text("peer=%s reason=eof in=11 out=11" % said, name="err")
            self.assertIn("via=" + mine, server.err)

    @each_server("echo", options=OPTIONS)
    def test_in_single_bytes(self, server):
        for header in v1("192.0.2.1"), v2("192.0.2.2", more=b"tail of it"):
            with through(server) as peer:
                peer.dribble(header)
                self.assertEchoes(peer)

    @each_server("echo", options=OPTIONS)
    def test_the_proxy_for_itself(self, server):
        """Its own checks: it is the peer then."""
        for header in v2("192.0.2.1", command=0x20), b"PROXY UNKNOWN\r\n":
            with through(server, header) as peer:
                self.assertEchoes(peer)
                mine = "%s:%d" % peer.sock.getsockname()
            server.wait_text("peer=%s reason=eof" % mine, name="err")

    @each_server("echo", options=OPTIONS)
    def test_a_stranger_is_not_believed(self, server):
        header = v1("192.0.2.1")
        with through(server, header, STRANGER) as peer:
            self.assertEqual(peer.read(len(header)), header)
        server.wait_text("peer=%s:" % STRANGER, name="err")
        self.assertNotIn("via=", server.err)

    @each_server("echo", options=OPTIONS)
    def test_what_is_no_header(self, server):
        for count, bad in enumerate((b"hello, who is there?\n", v1("192.0.2.256"), V2 + b"\x21\x11\0\x04abcd"), 1):
            with through(server, bad) as peer:
                self.assertEqual(peer.gone(), b"")
            server.wait_text("reason=denied", count, name="err")
        self.assertEqual(server.err.count('proxy="no PROXY header"'), 3)
        with through(server, v1("192.0.2.1")) as peer:
            self.assertEchoes(peer)

    @each_server("echo", options=OPTIONS + ("--first-byte-timeout", "300ms"))
    def test_who_waits_within_it(self, server):
        for begun in b"", b"PROXY TC", V2 + b"\x21\x11\0\x0c":
            with through(server, begun) as peer:
                self.assertEqual(peer.gone(), b"")
        server.wait_text("reason=first_byte", 3, name="err")
        cut = 3  # the limit begins anew with the client's own first byte
        while "peer=192.0.2.1:4000 reason=first_byte" not in server.err:  # else the header was late as well
            cut += 1
            self.assertLess(cut, 50, server.describe())
            with through(server, v1("192.0.2.1")) as peer:
                self.assertEqual(peer.gone(), b"")
            server.wait_text("reason=first_byte", cut, name="err")

    @each_server("echo", options=OPTIONS)
    def test_who_leaves_within_it(self, server):
        with through(server, b"PROXY TC") as peer:
            peer.half_close()
            self.assertEqual(peer.read_all(), b"")
        server.wait_text("reason=eof", name="err")
        with through(server, V2) as peer:
            peer.reset()
        server.wait_text("reason=reset", name="err")

    def test_the_server_ends_within_it(self):
        for workers in WORKERS:
            with serve("echo", workers=workers, options=OPTIONS) as server, through(server, b"PROXY TC") as peer, \
                    through(server, v1("192.0.2.1")) as other:
                self.assertEchoes(other)
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 0, server.describe())
                self.assertEqual(peer.gone(), b"")
                self.assertRegex(server.err, r"accepted=2 closed=2 open=0")

    @each_server("random", options=OPTIONS + ("--deny", "192.0.2.0/24", "--per-ip", "2"))
    def test_limits_are_the_clients(self, server):
        with through(server, v1("192.0.2.77")) as peer:
            self.assertEqual(peer.line(), DENIED)
        peers = [through(server, v1("203.0.113.%d" % (i // 2))) for i in range(6)]
        for peer in peers:
            peer.send("\n")
            self.assertRegex(peer.line(), rb"\A\d+\n\Z")
        with through(server, v2("203.0.113.1")) as peer:
            self.assertEqual(peer.line(), b"refused: too many connections from your address\n")
        for peer in peers:
            peer.close()
        server.wait_text("reason=eof", 6, name="err")
        with through(server, v1("203.0.113.1")) as peer:
            peer.send("\n")
            self.assertRegex(peer.line(), rb"\A\d+\n\Z")
        server.wait_text("peer=192.0.2.77:4000 reason=denied", name="err")
        server.wait_text("peer=203.0.113.1:4000 reason=per_ip", name="err")

    def test_status(self):
        with serve("echo", options=OPTIONS + ("--admin", "127.0.0.1:0")) as server:
            server.wait_text("listening admin")
            with through(server, v1("192.0.2.1")) as peer:
                self.assertEchoes(peer)
                self.assertIn("192.0.2.1:4000", self.peers(server, "connections"))
            wait_until(lambda: "192.0.2.1:4000" in self.peers(server, "recently_closed"), "the recently closed")

    @staticmethod
    def peers(server, kind):
        address = re.search(r"listening admin tcp (\S+)", server.out)[1]
        with urllib.request.urlopen("http://%s/status" % address, timeout=20) as answer:
            return [one["peer"] for one in json.load(answer)[kind]]

    @each_server("exec", options=OPTIONS, program=("sh", "-c", "echo $TCPREMOTEIP $TCPREMOTEPORT"))
    def test_programs_are_told(self, server):
        with through(server, v2("192.0.2.1")) as peer:
            self.assertEqual(peer.read_all(), b"192.0.2.1 4000\n")

    def test_lists(self):
        for words, said in (("127.0.0.1/33", "--proxy-from: '127.0.0.1/33' is not an address or a block"),
                            ("@/nowhere", "--proxy-from: /nowhere: no such file or directory")):
            done = run_coracle("serve", "echo=127.0.0.1:0", "--proxy-from", words)
            self.assertEqual((done.code, done.out), (78, ""))
            self.assertIn(said, done.err)

    def test_haproxy(self):
        """The protocol's author, if it is installed."""
        if not shutil.which("haproxy"):
            self.skipTest("haproxy is not installed")
        for version in "send-proxy", "send-proxy-v2":
            with serve("echo", options=("--quiet", "--proxy-from", "127.0.0.1")) as server, \
                    tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "front")
                with open(os.path.join(folder, "cfg"), "w", encoding="ascii") as file:
                    file.write("defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n"
                               "listen l\n bind unix@%s accept-proxy\n server s %s:%d %s\n" %
                               (path, *server.address(), version))
                proxy = subprocess.Popen(["haproxy", "-db", "-f", file.name], stderr=subprocess.DEVNULL)
                try:
                    wait_until(lambda: os.path.exists(path), "haproxy")
                    sock = socket.socket(socket.AF_UNIX)
                    sock.settimeout(20)
                    sock.connect(path)
                    with Peer(None, sock=sock) as peer:
                        peer.send(v1("192.0.2.33", 1234))
                        self.assertEchoes(peer)
                    server.wait_text("peer=192.0.2.33:1234 reason=eof", name="err")
                finally:
                    proxy.kill()
                    proxy.wait()


if __name__ == "__main__":
    main()
