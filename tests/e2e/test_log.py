# SPDX-License-Identifier: MIT
"""Where the log of `coracle serve` goes and in which form: a file that is opened again, systemd's journal, and how many
lines of one event are written."""
import json
import os
import re
import signal
import socket
import tempfile
import time

from harness import (ACK_ANSWER, Case, Peer, busy_client, main, message, need_json, run_coracle, serve,
                     wait_until)

POLLERS = ("epoll", "io_uring")
RATE = 100


def content(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def leave(server, text="x"):
    with server.connect() as peer:
        peer.send(text)
        assert peer.read(len(text)) == text.encode()
        peer.half_close()
        peer.gone()


class File(Case):
    def open_in(self, server, folder):
        """The files in this folder that the server has open."""
        fds = "/proc/%d/fd" % server.pid
        targets = [os.readlink(os.path.join(fds, fd)) for fd in os.listdir(fds)]
        return [target for target in targets if target.startswith(folder)]

    def test_it_is_opened_again(self):
        """Nothing is lost and nothing comes twice when the file is moved away and SIGUSR1 sent, also under traffic."""
        for poller in POLLERS:
            with self.subTest(poller=poller), tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "log")
                with serve("echo", workers=2, options=("--quiet", "--poller", poller, "--log-file", path)) as server:
                    for turn in range(1, 4):
                        leave(server)
                        wait_until(lambda path=path: "event=closed" in content(path), "its line")
                        os.rename(path, "%s.%d" % (path, turn))
                        leave(server)  # goes to either
                        server.signal(signal.SIGUSR1)
                        wait_until(lambda path=path: os.path.exists(path) and "log_reopened" in content(path), "news")
                    leave(server)
                    wait_until(lambda server=server, folder=folder: len(self.open_in(server, folder)) == 1,
                               "old files to be closed")
                    server.signal(signal.SIGTERM)
                    self.assertEqual(server.wait(), 0)
                    self.assertNotIn("event=", server.err)
                files = [content(path + end) for end in (".1", ".2", ".3", "")]
                ids = [int(number) for number in re.findall(r"event=closed .*?conn=(\d+)", "".join(files))]
                self.assertEqual(sorted(ids), list(range(1, 8)))
                self.assertTrue(all("event=closed" in text for text in files))
                self.assertTrue(files[-1].startswith("time="), files[-1][:80])
                self.assertEqual([text.count("event=log_reopened file=" + path) for text in files], [0, 1, 1, 1])
                self.assertIn("event=stopped accepted=7 closed=7", files[-1])
                self.assertEqual(os.stat(path).st_mode & 0o137, 0)  # others cannot read it

    def test_it_is_opened_again_while_the_server_ends(self):
        """An end may take long, and whoever moves logs away knows nothing of it."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "log")
            with serve("random", options=("--quiet", "--grace", "60s", "--log-file", path)) as server, \
                    busy_client(server) as peer:
                server.signal(signal.SIGTERM)
                wait_until(lambda: "event=stopping " in content(path), "the end to begin")
                os.rename(path, path + ".1")
                server.signal(signal.SIGUSR1)
                wait_until(lambda: os.path.exists(path) and "event=log_reopened " in content(path), "the new file")
                peer.send("\n")
                self.assertRegex(peer.read_all(), rb"\A\d+\n\Z")
                self.assertEqual(server.wait(), 0, server.describe())
            self.assertIn("event=stopped ", content(path))

    def test_what_cannot_be_opened(self):
        """At the start it is an error; later the file before stays."""
        done = run_coracle("serve", "echo=127.0.0.1:0", "--log-file", "/does/not/exist")
        self.assertEqual((done.code, done.out), (78, ""))
        self.assertRegex(done.err, r"\Acoracle serve: --log-file: /does/not/exist: .*\n\Z")
        with tempfile.TemporaryDirectory() as folder:
            path, hidden = os.path.join(folder, "in", "log"), os.path.join(folder, "hidden")
            os.mkdir(os.path.dirname(path))
            with serve("echo", options=("--quiet", "--log-file", path)) as server:
                os.rename(os.path.dirname(path), hidden)
                server.signal(signal.SIGUSR1)
                wait_until(lambda: "event=log_reopen_failed" in content(os.path.join(hidden, "log")), "the event")
                leave(server)
                wait_until(lambda: "event=closed" in content(os.path.join(hidden, "log")), "the log to go on")

    def test_without_a_file_the_signal_does_nothing(self):
        with serve("echo", options=("--quiet",)) as server:
            server.signal(signal.SIGUSR1)
            leave(server)
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0, server.describe())

    def test_a_pipe_that_nobody_reads_stalls_nobody(self):
        """The file is a pipe: it fills up, lines are dropped, and clients do not notice."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "pipe")
            os.mkfifo(path)
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            with serve("echo", options=("--quiet", "--log-level", "debug", "--log-file", path)) as server:
                for _ in range(300):
                    leave(server)
                server.signal(signal.SIGUSR1)
                leave(server)
                os.close(reader)
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 0, server.describe())


class Journal(Case):
    def serve(self, *options, of=None):
        """A server whose standard error is a socket, as the journal's is. Gives it, and the other end."""
        ours, theirs = socket.socketpair()
        is_of = os.fstat(theirs.fileno()) if of is None else of
        stream = "%d:%d" % (is_of.st_dev, is_of.st_ino)

        def preexec():
            os.dup2(theirs.fileno(), 2)

        server = serve("echo", options=("--quiet", "--log-level", "debug", *options), preexec=preexec,
                       env={"JOURNAL_STREAM": stream})
        theirs.close()
        return server, Peer(None, sock=ours)

    def events(self, *options, **more):
        server, log = self.serve(*options, **more)
        with server, log:
            leave(server)
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0)
            return [line for line in log.read_all().decode().splitlines() if "event" in line]

    def test_prefixes(self):
        lines = self.events()
        self.assertRegex(lines[0], r"\A<7>level=debug event=accepted service=echo conn=1 ")
        self.assertRegex(lines[1], r"\A<6>level=info event=closed service=echo conn=1 ")
        self.assertFalse([line for line in lines if "time=" in line])

    def test_as_json(self):
        lines = self.events("--log-format", "json")
        self.assertRegex(lines[0], r'\A<7>\{"level":"debug","event":"accepted",')
        self.assertTrue(all("time" not in json.loads(line[3:]) for line in lines))

    def test_the_variable_alone_says_nothing(self):
        """It is inherited by programs whose standard error leads elsewhere."""
        lines = self.events(of=os.stat("/"))
        self.assertTrue(all(line.startswith("time=") for line in lines), lines)


class Rate(Case):
    def test_lines_beyond_the_rate_are_counted(self):
        """Members that stand still: an event for each, or for a hundred a second; the others are in `suppressed`."""
        need_json()
        count = RATE + 50
        path = "@coracle-log-%d" % os.getpid()
        with serve("broadcast=unix://" + path,
                   options=("--quiet", "--outbox", "64k", "--slow-policy", "drop-oldest")) as server:
            members = []
            talker = server.connect()
            for _ in range(count):
                members.append(server.connect())
            with talker:
                begin = time.monotonic()
                text = "x" * 16000
                while "event=suppressed of=slow " not in server.err:
                    talker.send(message(text))
                    while not talker.line().endswith(ACK_ANSWER):
                        pass
                    self.assertLess(time.monotonic() - begin, 60, server.describe())
                wait_until(lambda: sum(server.told("slow").values()) >= count, lambda: str(server.told("slow")))
                lines = re.findall(r"time=(\S+)\.\d+Z level=info event=slow ", server.err)
            self.assertLessEqual(max(map(lines.count, lines)), RATE)
            for peer in members:
                peer.close()
            wait_until(lambda: sum(server.told("closed").values()) == count + 1, "all to be closed")


if __name__ == "__main__":
    main()
