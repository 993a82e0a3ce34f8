# SPDX-License-Identifier: MIT
"""Who may connect: --allow and --deny, and reading their files again on SIGHUP."""
import grp
import os
import pwd
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

    def test_owner_of_a_unix_socket(self):
        """By number and by name; those that are not there are a mistake, and so is what only root may do."""
        group, me = grp.getgrgid(os.getegid()).gr_name, pwd.getpwuid(os.geteuid()).pw_name
        cases = [(me, os.geteuid(), os.getegid()), (":" + group, os.geteuid(), os.getegid()),
                 ("%d:%s" % (os.geteuid(), group), os.geteuid(), os.getegid())]
        if os.geteuid() == 0:
            cases += [("12345:54321", 12345, 54321), ("nobody", pwd.getpwnam("nobody").pw_uid, 0), (":54321", 0, 54321)]
        for owner, user, group in cases:
            for network in ("unix", "unixgram"):
                with self.subTest(owner=owner, network=network), tempfile.TemporaryDirectory() as folder:
                    path = os.path.join(folder, "socket")
                    with serve("random=%s://%s" % (network, path), options=("--quiet", "--unix-owner", owner)):
                        self.assertEqual((os.stat(path).st_uid, os.stat(path).st_gid), (user, group))
        for owner, code, words in (("no-such-user", 78, "there is no user 'no-such-user'"),
                                   (":no-such-group", 78, "there is no group 'no-such-group'"),
                                   ("", 2, "is not USER, USER:GROUP or :GROUP"), (":", 2, "is not USER"),
                                   (me + ":", 2, "is not USER"), ("4294967295", 78, "there is no user '4294967295'"),
                                   ("-1", 78, "there is no user '-1'")):
            done = run_coracle("serve", "random=127.0.0.1:0", "--unix-owner=" + owner)
            self.assertEqual((done.code, done.out), (code, ""), owner)
            self.assertIn("coracle serve: --unix-owner: ", done.err)
            self.assertIn(words, done.err)

    def test_an_owner_that_may_not_be_given(self):
        """In Go's words, and the socket is gone again."""
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)
            path = os.path.join(folder, "socket")

            def preexec():
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)

            try:
                done = run_coracle("serve", "random=unix://" + path, "--unix-owner", "12345", preexec=preexec)
            except PermissionError:
                self.skipTest("the program lies where only root may run it")
            self.assertEqual((done.code, done.out), (77, ""), done.err)
            self.assertEqual(done.err, "listen unix %s: chown: operation not permitted\n"
                                       "coracle serve: random cannot listen\n" % path)
            self.assertFalse(os.path.exists(path))

    def test_the_longest_block_wins(self):
        """In either list; IPv4 within IPv6 is IPv4; the same block in both lists is denied."""
        cases = [(("--deny", "127.0.0.0/8", "--allow", "127.1.0.0/16"), (("127.1.0.1", True), ("127.2.0.1", False))),
                 (("--allow", "127.0.0.0/8", "--deny", "127.1.0.0/16"), (("127.1.0.1", False), ("127.2.0.1", True))),
                 (("--deny", "0.0.0.0/0", "--allow", "127.0.0.0/8,127.0.0.9"), (("127.0.0.9", True),)),
                 (("--deny", "127.0.0.9", "--allow", "127.0.0.9,127.0.0.0/8"),
                  (("127.0.0.9", False), ("127.0.0.8", True)))]
        for options, expected in cases:
            for listens in ("127.0.0.1:0", "[::]:0"):  # the second one sees clients as ::ffff:127.0.0.9
                with self.subTest(options=options, listens=listens), \
                        serve("random=" + listens, options=("--quiet", *options)) as server:
                    port = server.address()[1]
                    for source, served in expected:
                        with Peer(("127.0.0.1", port), source=source) as peer:
                            peer.send("\n")
                            self.assertEqual(peer.line() != REFUSED, served, source)

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
            self.assertRegex(done.err, r"\Acoracle serve: .*(is not an address|no such file).*\n\Z")
            self.assertTrue(re.search(re.escape(text.lstrip("@")), done.err), done.err)


if __name__ == "__main__":
    main()
