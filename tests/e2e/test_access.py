# SPDX-License-Identifier: MIT
"""Who may connect: --allow and --deny, and reading their files again on SIGHUP."""
import os
import re
import signal
import tempfile

from harness import Case, Peer, main, run_coracle, serve

POLLERS = ("epoll", "io_uring")
REFUSED = b"refused: your address may not connect\n"


def answer(server, source):
    """What the service random says to a client from this address."""
    with Peer(server.address(), source=source) as peer:
        peer.send("\n")
        return peer.line()


class Access(Case):
    def assertServed(self, server, source):
        self.assertRegex(answer(server, source), rb"\A\d+\n\Z")

    def assertRefused(self, server, source):
        self.assertEqual(answer(server, source), REFUSED)

    def test_lists(self):
        for poller in POLLERS:
            with self.subTest(poller=poller), \
                    serve("random", options=("--quiet", "--poller", poller, "--allow", "127.0.0.0/24,127.0.1.7",
                                             "--deny", "127.0.0.128/25,127.0.0.4")) as server:
                for source in ("127.0.0.1", "127.0.0.127", "127.0.1.7"):
                    self.assertServed(server, source)
                for source in ("127.0.0.129", "127.0.0.4", "127.0.1.6", "127.9.9.9"):
                    self.assertRefused(server, source)
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 0)
                self.assertRegex(server.err, r"event=reasons .*denied=4")

    def test_unix_sockets_have_no_address(self):
        with serve("random=unix://@coracle-access-%d" % os.getpid(), options=("--quiet", "--allow", "")) as server, \
                server.connect() as peer:
            peer.send("\n")
            self.assertRegex(peer.line(), rb"\A\d+\n\Z")

    def test_permissions_of_a_unix_socket(self):
        for mode in ("600", "0666", "777"):
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "socket")
                with serve("random=unix://" + path, options=("--quiet", "--unix-mode", mode)):
                    self.assertEqual(os.stat(path).st_mode & 0o777, int(mode, 8))
        for mode in ("", "9", "1777", "-1", "66x", "u=rw"):
            done = run_coracle("serve", "random=127.0.0.1:0", "--unix-mode", mode)
            self.assertEqual((done.code, done.out), (2, ""), mode)
            self.assertIn("is not an octal number up to 777", done.err)

    def test_files_are_read_again_all_or_nothing(self):
        for poller in POLLERS:
            with self.subTest(poller=poller), tempfile.NamedTemporaryFile("w") as listed:
                def write(text, listed=listed):
                    listed.seek(0)
                    listed.truncate()
                    listed.write(text)
                    listed.flush()

                write("127.0.0.4 # one\n")
                with serve("random", workers=2, options=("--quiet", "--poller", poller,
                                                         "--deny", "@" + listed.name)) as server:
                    self.assertRefused(server, "127.0.0.4")
                    self.assertServed(server, "127.0.0.5")
                    stays = Peer(server.address(), source="127.0.0.5")
                    stays.send("\n")
                    stays.line()
                    write("127.0.0.5\n127.0.0.6\n")
                    server.signal(signal.SIGHUP)
                    server.wait_text("event=reloaded blocks=2", name="err")
                    self.assertRefused(server, "127.0.0.5")
                    self.assertServed(server, "127.0.0.4")
                    write("127.0.0.4\n127.0.0.0/99\n")
                    server.signal(signal.SIGHUP)
                    server.wait_text("event=reload_failed", name="err")
                    self.assertIn(":2: '127.0.0.0/99' is not an address", server.err)
                    self.assertRefused(server, "127.0.0.5")
                    self.assertServed(server, "127.0.0.4")
                    stays.send("\n")
                    self.assertRegex(stays.line(), rb"\A\d+\n\Z")  # whoever is in stays in
                    server.signal(signal.SIGTERM)
                    self.assertEqual(stays.read_all(), b"")
                    self.assertEqual(server.wait(), 0, server.describe())
                    stays.close()

    def test_a_mistake_at_the_start(self):
        for option, text in (("--allow", "192.0.2.0/33"), ("--deny", "example.org"), ("--allow", "@/does/not/exist")):
            done = run_coracle("serve", "random=127.0.0.1:0", option, text)
            self.assertEqual((done.code, done.out), (78, ""))
            self.assertRegex(done.err, r"\Acoracle serve: .*(is not an address|No such file).*\n\Z")
            self.assertTrue(re.search(re.escape(text.lstrip("@")), done.err), done.err)


if __name__ == "__main__":
    main()
