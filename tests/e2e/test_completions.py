# SPDX-License-Identifier: MIT
"""The completions of bash, zsh and fish, asked as these shells ask them. A shell that is not here is left out."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from harness import BIN, SOURCE, main

COMMANDS = ["serve", "dial", "bench", "resolve", "status", "help"]


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

    def test_fish(self):
        def offered(line):
            return [answer.split("\t")[0] for answer in
                    self.shell("fish", "--no-config", "-c", "source coracle.fish; complete -C %s" % repr(line))]
        self.assertEqual(sorted(offered("coracle ")), sorted(COMMANDS))
        self.assertEqual(offered("coracle serve --po"), ["--poller"])
        self.assertEqual(offered("coracle serve --poller "), ["auto", "epoll", "io_uring"])
        self.assertEqual(offered("coracle serve --log-file a"), ["a file"])
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
        self.assertIn("--log-file=[diagnostics go there; SIGUSR1 opens it again]:FILE:_files", told)
        self.assertTrue(any(line.startswith("1:command:((serve\\:\"run ready-made services\" ") for line in told), told)
        self.assertIn("--send-only[raw\\: ignore what the server sends]", self.zsh("dial"))


if __name__ == "__main__":
    main()
