# SPDX-License-Identifier: MIT
"""A server to look at, for docs/guide/operate.md: with clients, one of which is slow, and others that are gone.

    python3 -B tests/e2e/operate.py pictures     makes the guide's pictures anew, in Chromium
    python3 -B tests/e2e/operate.py guide        puts the output of the guide's commands into it
"""
import os
import re
import signal
import subprocess
import sys
import threading
import time

from harness import BIN, SOURCE, close_all, message, serve, wait_until
from test_status import fill

GUIDE = os.path.join(SOURCE, "docs", "guide")
MOST = 10  # connections
SHOWN_COLUMNS = 112
PICTURES_LAST = 30  # seconds of traffic before a picture is taken


class Demo:
    """The server and its clients. Use it in a `with`."""

    def __init__(self, options=()):
        self.server = serve("echo", "random", "broadcast",
                            options=("--admin", "127.0.0.1:0", "--max-conns", str(MOST), *options))
        self.server.wait_text("listening admin")
        self.address = re.search(r"^listening admin tcp (\S+)$", self.server.out, re.M).group(1)
        self.over = threading.Event()
        self.threads = []
        self.peers = [self.server.connect("echo") for _ in range(5)]
        for peer in self.peers:
            self.talk(peer, 100)
        self.members = [self.server.connect("broadcast") for _ in range(3)]
        for number, member in enumerate(self.members):
            member.send(message("hello %d" % number))
            member.line()
        fill(self.peers[0])
        self.leave()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        close_all(*self.peers, *self.members)
        self.server.stop()

    @staticmethod
    def talk(peer, size):
        peer.send("x" * size)
        peer.read(size)

    def leave(self):
        """Some leave, each in its own way."""
        with self.server.connect("random") as lines:
            lines.send("y" * 70_000)
            lines.gone()
        with self.server.connect("echo") as peer:
            self.talk(peer, 1)
            peer.reset()
        wait_until(lambda: self.server.err.count("event=closed") == 2, "two to have left")
        more = [self.server.connect("echo") for _ in range(MOST - len(self.peers) - len(self.members))]
        for peer in more:
            self.talk(peer, 1)
        with self.server.connect("echo") as refused:
            refused.gone()
        close_all(*more)

    def keep_talking(self):
        """Some traffic that goes up and down, until the end."""
        def run():
            turn = 0
            while not self.over.wait(0.05):
                turn += 1
                for peer in self.peers[1:]:
                    self.talk(peer, 2000 + 1900 * (turn // 7 % 3) + turn * 37 % 900)
                if turn % 9 < turn // 40 % 4:
                    self.server.connect("echo").close()
        self.threads.append(threading.Thread(target=run))
        self.threads[0].start()


def make_pictures():
    from browser import Browser  # pylint: disable=import-outside-toplevel
    with Demo(("--write-timeout", "1m")) as demo, Browser() as browser:
        demo.keep_talking()
        with browser.page("http://%s/" % demo.address, width=1180) as page:
            end = time.monotonic() + PICTURES_LAST
            page.wait("document.querySelector('tr.stuck')")
            wait_until(lambda: time.monotonic() > end, "the traffic", 2 * PICTURES_LAST)
            for name in ("light", "dark"):
                page.dark(name == "dark")
                page.screenshot(os.path.join(GUIDE, "status-%s.png" % name))


def read_guide():
    """The guide in pieces: texts, and [commands] for the blocks of commands with their output. Commands of other
    sections than that of the questions are text."""
    with open(os.path.join(GUIDE, "operate.md"), encoding="utf-8") as file:
        before, questions, after = re.split(r"(^## Ten questions$.*?)(?=^## )", file.read(), flags=re.M | re.S)
    pieces = re.split(r"(^    \$ .*\n(?:    .*\n|\n(?=    ))*)", questions, flags=re.M)
    pieces[0], pieces[-1] = before + pieces[0], pieces[-1] + after
    return [re.findall(r"^    (.*)$", piece, re.M) if number % 2 else piece for number, piece in enumerate(pieces)]


def answer(demo, command):
    """The output of one of the guide's commands, as though the server were where the guide has it."""
    port = demo.address.rpartition(":")[2]
    asked = command.replace("7070", port).replace("coracle status", "coracle status 127.0.0.1:" + port)
    path = os.path.dirname(BIN) + ":" + os.environ["PATH"]
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=30, check=False,
                          env=dict(os.environ, PATH=path))
    if done.returncode != 0 or done.stderr:
        raise AssertionError("%s: %d %s%s" % (command, done.returncode, done.stdout, done.stderr))
    return done.stdout.replace(port, "7070").rstrip("\n").split("\n")


def ready_to_ask(*options):
    """A demo of which all ten questions have something to tell."""
    demo = Demo(options)
    demo.server.wait_text("event=closed", count=5, name="err")
    demo.server.signal(signal.SIGHUP)
    demo.server.wait_text("event=reloaded", name="err")
    return demo


def write_guide():
    with ready_to_ask() as demo:
        wait_until(lambda: re.search(r"[1-9]\d*\.\ds$", answer(demo, "coracle status -n 1 | grep -A1 PENDING")[1]),
                   "one to be stuck")
        text = ""
        for piece in read_guide():
            if isinstance(piece, str):
                text += piece
                continue
            for command in [line for line in piece if line.startswith("$ ")]:
                lines = answer(demo, command[2:])
                lines = [line if len(line) <= SHOWN_COLUMNS else line[:SHOWN_COLUMNS - 4] + " ..." for line in lines]
                text += "".join("    %s\n" % line if line else "\n" for line in [command, *lines])
    with open(os.path.join(GUIDE, "operate.md"), "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    if sys.argv[1:] == ["pictures"]:
        make_pictures()
    elif sys.argv[1:] == ["guide"]:
        write_guide()
    else:
        sys.exit(__doc__)
