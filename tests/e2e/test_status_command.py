# SPDX-License-Identifier: MIT
"""`coracle status`: it shows what the status server says, and what is none."""
import json
import re
import signal
import tempfile

from harness import BIN, Case, Listener, Program, closed_port, coracle, main, run_coracle
from test_status import Asked, echo, setUpModule  # noqa: F401: the last is for unittest


class Command(Case):
    def test_text_and_json_are_the_servers(self):
        with tempfile.TemporaryDirectory() as folder:
            for admin in ("127.0.0.1:0", "unix://" + folder + "/admin"):
                with Asked("echo", admin=admin) as asked, asked.server.connect() as peer:
                    echo(peer, "hello")
                    asked.wait_sent(5)
                    where = admin if isinstance(asked.address, str) else "%s:%d" % asked.address
                    done = run_coracle("status", where)
                    self.assertEqual((done.code, done.err), (0, ""), done.describe())
                    self.assertRegex(done.out, r"^coracle \S+, ready, up \d+ s, epoll, 1 worker, \d+ tasks\n")
                    self.assertIn("accepted 1, received     5 , sent     5 \n", done.out)
                    self.assertRegex(done.out, r"(?m)^ +1 echo +%s " % re.escape(peer.name))
                    self.assertNotIn("\x1b", done.out)
                    done = run_coracle("status", "--format", "json", where)
                    self.assertEqual(json.loads(done.out)["connections"][0]["peer"], peer.name)
                    none = run_coracle("status", "-n", "0", where)
                    self.assertIn("... 1 more", none.out)
                    self.assertNotIn(peer.name, none.out)

    def test_watching_ends_with_the_server_or_the_signal(self):
        with Asked("echo") as asked:
            where = "%s:%d" % asked.address
            with coracle("status", "--watch", where) as watcher, coracle("status", "-w", where) as other:
                watcher.wait_text("accepted 0,")
                other.wait_text("accepted 0,")
                other.signal(signal.SIGINT)
                self.assertEqual(other.wait(), 0, other.describe())
                watcher.wait_text("accepted 0,", count=2)
                self.assertIn("\n\ncoracle ", watcher.out)
                asked.server.stop()
                self.assertEqual(watcher.wait(), 69, watcher.describe())

    def test_what_is_no_status_server(self):
        done = run_coracle("status", closed_port())
        self.assertEqual(done.code, 69, done.describe())
        self.assertRegex(done.err, "^coracle status: dial tcp .*: connection refused\ncoracle status: nothing listens")
        self.assertEqual(run_coracle("status", "--live", closed_port()).code, 69)
        done = run_coracle("status", "unix:///nowhere/admin")
        self.assertEqual(done.code, 69, done.describe())
        self.assertRegex(done.err, "no such file or directory\ncoracle status: nothing listens there: start the server")
        bad = (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", b"HTTP/1.1 200 OK\r\n\r\n", b"",
               b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", b"HTTP/1.1 ", b"\0" * 100_000)
        with Listener() as listener:
            for answer in bad:
                with coracle("status", listener.text) as asking, listener.accept() as peer:
                    peer.read(16)
                    peer.send(answer)
                    peer.half_close()
                    self.assertEqual(asking.wait(), 1, asking.describe())
                    self.assertIn("\ncoracle status: what listens there is not a status server", asking.err)
            with coracle("status", listener.text) as asking, listener.accept() as peer:
                peer.read(16)
                peer.send(b"HTTP/1.1 418 x\r\ncontent-length: 8\r\n\r\n\x1b[31mno\n")
                peer.half_close()
                self.assertEqual(asking.wait(), 1, asking.describe())
                self.assertEqual(asking.err, "coracle status: 418 \\x1b[31mno\n")

    def test_nobody_takes_the_answer(self):
        """A long one goes past the buffer of stdio, a short one does not."""
        for kind, size in (("text", 100), ("text", 100_000), ("json", 100_000)):
            with self.subTest(kind=kind, size=size), open("/dev/full", "wb") as full, Listener() as listener, \
                    Program([BIN, "status", "--format", kind, listener.text], stdout=full) as asking, \
                    listener.accept() as peer:
                peer.read(16)
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
                peer.half_close()
                self.assertEqual(asking.wait(), 1, asking.describe())
                self.assertEqual(asking.err, "coracle status: standard output: no space left on device\n")

    def test_its_command_line(self):
        self.assertEqual(run_coracle("status", "a", "b").code, 2)
        self.assertEqual(run_coracle("status", "--wach").code, 2)
        self.assertIn("127.0.0.1:7070", run_coracle("status", "--help").out)


if __name__ == "__main__":
    main()
