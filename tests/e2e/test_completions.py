# SPDX-License-Identifier: MIT
"""The completions of bash, zsh and fish, asked as these shells ask them. A shell that is not here is left out."""
import contextlib
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from harness import BIN, PATIENCE, SOURCE, main, need_tool

COMMANDS = ["serve", "dial", "bench", "resolve", "status", "help"]


class Terminal:
    """An interactive shell, which somebody types at."""
    KILL_LINE = "\x15"

    def __init__(self, folder, *argv):
        self.keyboard, screen = pty.openpty()
        self.shown = ""
        self.shell = subprocess.Popen(
            argv, stdin=screen, stdout=screen, stderr=screen, cwd=folder, start_new_session=True,
            env={"PATH": os.environ["PATH"], "HOME": folder, "TERM": "dumb", "INPUTRC": "/dev/null"})
        os.close(screen)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shell.kill()
        self.shell.wait()
        os.close(self.keyboard)

    def type(self, keys, shown):
        """Types, and waits until this is on the screen."""
        at, end = len(self.shown), time.monotonic() + PATIENCE
        os.write(self.keyboard, keys.encode())
        while shown not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\x07]", "", self.shown[at:]):
            if not select.select([self.keyboard], [], [], max(0.0, end - time.monotonic()))[0]:
                raise AssertionError("%r shows %r and not %r" % (keys, self.shown[at:], shown))
            with contextlib.suppress(OSError):
                self.shown += os.read(self.keyboard, 4096).decode(errors="replace")
                continue
            raise AssertionError("the shell has ended: %r" % self.shown)

    def complete(self, line, completed):
        """A tab at the end of the line makes it this one."""
        self.type(self.KILL_LINE + line + "\t", completed)


class Completions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        subprocess.run([sys.executable, "-B", os.path.join(SOURCE, "tools/completions.py"), cls.folder.name, BIN],
                       check=True, timeout=60)
        with open(os.path.join(cls.folder.name, "a file"), "w", encoding="utf-8"):
            pass

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def shell(self, *words):
        if shutil.which(words[0]) is None:
            self.skipTest("no %s here" % words[0])
        done = subprocess.run(words, check=False, timeout=30, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder.name,
                              env={"PATH": os.environ["PATH"], "HOME": self.folder.name})
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout.splitlines()

    def bash(self, *words):
        """What bash offers after these words, of which the last one is at the cursor."""
        return self.shell("bash", "--norc", "-c", "source ./coracle.bash; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); "
                          "_coracle; printf '%s\\n' \"${COMPREPLY[@]}\"", "bash", *words)

    def test_bash(self):
        nothing = [""]
        for words, offered in [
                (["coracle", "s"], ["serve", "status"]),
                (["coracle", "serve", "--po"], ["--poller"]),
                (["coracle", "serve", "--poller", ""], ["auto", "epoll", "io_uring"]),
                (["coracle", "serve", "-p", "e"], ["epoll"]),
                (["coracle", "serve", "--poller", "=", "io"], ["io_uring"]),
                (["coracle", "serve", "--poller", "="], ["auto", "epoll", "io_uring"]),
                (["coracle", "serve", "--spin", ""], nothing),
                (["coracle", "serve", "echo", "=", ""], nothing),
                (["coracle", "serve", "-q", "ex"], ["exec"]),
                (["coracle", "serve", "--log-file", "a"], ["a file"]),
                (["coracle", "serve", "--user", "roo"], ["root"]),
                (["coracle", "dial", "--as", "b"], ["broadcast"]),
                (["coracle", "help", ""], COMMANDS),
                (["coracle", "bench", "--no-such"], nothing)]:
            with self.subTest(words):
                self.assertEqual(self.bash(*words), offered)
        self.assertIn("cat", self.bash("coracle", "serve", "exec", "--", "cat"))

    TYPED = [("coracle ser", "coracle serve "), ("coracle serve --poller io", "--poller io_uring "),
             ("coracle serve --poller=io", "--poller=io_uring "), ("coracle serve -q ran", "-q random "),
             ("coracle dial --as bro", "--as broadcast "), ("coracle status --li\t", "--limit"),
             ("coracle serve --log-file a", "--log-file a\\ file "), ("coracle help res", "help resolve ")]

    def test_tabs_in_bash(self):
        with Terminal(self.folder.name, need_tool("bash"), "--norc", "--noprofile", "-i") as terminal:
            terminal.type("source ./coracle.bash && echo it is th''ere\n", "it is there")
            for line, completed in [*self.TYPED, ("coracle serve --pol", "serve --poller ")]:
                terminal.complete(line, completed)

    def test_tabs_in_zsh(self):
        with Terminal(self.folder.name, need_tool("zsh"), "-f", "-i") as terminal:
            terminal.type("fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -d dump && echo it is th''ere\n",
                          "it is there")
            for line, completed in [*self.TYPED, ("coracle serve --pol", "serve --poller=")]:
                terminal.complete(line, completed)

    def test_fish(self):
        def offered(line):
            return [answer.split("\t")[0] for answer in
                    self.shell("fish", "--no-config", "-c", "source coracle.fish; complete -C %s" % repr(line))]
        self.assertEqual(sorted(offered("coracle ")), sorted(COMMANDS))
        self.assertEqual(offered("coracle serve --po"), ["--poller"])
        self.assertEqual(offered("coracle serve --poller "), ["auto", "epoll", "io_uring"])
        self.assertEqual(offered("coracle serve --log-file a"), ["a file"])
        self.assertEqual(offered("coracle serve --poller=io"), ["--poller=io_uring"])
        self.assertEqual(offered("coracle serve --spin "), [])
        self.assertIn("echo", offered("coracle serve "))

    def zsh(self, *words):
        """What zsh's _arguments is told, for the first word and then for those of a command."""
        return self.shell("zsh", "-fc", "_arguments() { print -rl -- \"$@\"; state=arguments; return 1; }; "
                          "complete() { source ./_coracle; }; words=(\"$@\"); complete; true", "zsh", *words)

    def test_zsh(self):
        told = self.zsh("serve")
        self.assertIn("(--poller -p)--poller=[how to wait for events]:NAME:(auto epoll io_uring)", told)
        self.assertIn("(--poller -p)-p+[how to wait for events]:NAME:(auto epoll io_uring)", told)
        self.assertIn("--log-file=[write diagnostics to it; SIGUSR1 opens it again]:FILE:_files", told)
        self.assertTrue(any(line.startswith("1:command:((serve\\:\"run ready-made services\" ") for line in told), told)
        self.assertIn("--send-only[raw\\: ignore what the server sends]", self.zsh("dial"))


if __name__ == "__main__":
    main()
