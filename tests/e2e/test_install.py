# SPDX-License-Identifier: MIT
# test: timeout=300
"""README's program, built by README's own lines, word for word, after a `make install` of this tree.

No flag is added: a line that lacks something must fail here as it would for a reader. The lines run in a folder that
has of the tree what they name, and the reader's echo.c.
"""
import os
import re
import shlex
import subprocess
import tempfile
import unittest

from harness import PATIENCE, SOURCE, Case, Program, Server, main, wait_until

BUILD_SECONDS = 240  # if build/release is not there yet; otherwise it is a moment
STRICT = ["-std=c17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"]


def read_readme():
    """Gives README's one program and the lines that compile it: with libcoracle.a, and after `make install`."""
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
        text = file.read()
    program, = re.findall(r"^```c\n(.*?)^```$", text, re.M | re.S)
    in_tree, = re.findall(r"^    (cc echo\.c .*)$", text, re.M)
    installed, = re.findall(r"`(cc echo\.c [^`]*)`", text)
    return program, in_tree, installed


class Readme(Case):
    @classmethod
    def setUpClass(cls):
        if os.environ.get("COR_SANITIZE"):
            raise unittest.SkipTest("it is about build/release, the same under every sanitizer")
        cls.folder = tempfile.TemporaryDirectory()
        cls.tree = os.path.join(cls.folder.name, "coracle")
        cls.prefix = os.path.join(cls.folder.name, "prefix")
        os.mkdir(cls.tree)
        for name in "include", "build":
            os.symlink(os.path.join(SOURCE, name), os.path.join(cls.tree, name))
        cls.environment = {name: value for name, value in os.environ.items()
                           if name not in ("CFLAGS", "LDFLAGS", "LIBRARY_PATH", "LD_LIBRARY_PATH", "MAKEFLAGS")}
        cls.environment.update(PREFIX=cls.prefix, PKG_CONFIG_PATH=os.path.join(cls.prefix, "lib/pkgconfig"))
        cls.said = cls.sh(cls, "make -C %s install" % shlex.quote(SOURCE), BUILD_SECONDS)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def sh(self, line, seconds=PATIENCE):
        done = subprocess.run(line, shell=True, cwd=self.tree, env=self.environment, timeout=seconds, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise AssertionError("%s\nends with %d:\n%s" % (line, done.returncode, done.stdout[-3000:]))
        return done.stdout

    def write_program(self, text):
        with open(os.path.join(self.tree, "echo.c"), "w", encoding="utf-8") as file:
            file.write(text)

    def check_line(self, line):
        """Compiles README's program by `line`, then once more with port 0 to talk to it."""
        program, _, _ = read_readme()
        self.write_program(program)
        self.sh(line)
        anywhere, count = re.subn(r'"127\.0\.0\.1:\d+"', '"127.0.0.1:0"', program)
        self.assertEqual(count, 1, "README's program has no address on the loopback")
        self.write_program(anywhere)
        self.sh(line)
        with Server([os.path.join(self.tree, "echo")], env={"LD_LIBRARY_PATH": ""}) as server:
            ports = wait_until(server.listening_ports, server.describe)
            server.addresses = {"echo": ("127.0.0.1", ports[0])}
            with server.connect() as peer:
                peer.send("hello\n")
                peer.half_close()
                self.assertEqual(peer.read_all(), b"hello\n")

    def test_line_with_the_archive(self):
        self.check_line(read_readme()[1])

    def test_line_after_make_install(self):
        self.check_line(read_readme()[2])

    def test_program_has_no_warnings(self):
        program, line, _ = read_readme()
        self.write_program(program)
        self.sh("%s %s" % (line, shlex.join(STRICT)))

    def test_installed_program_runs(self):
        with Program([os.path.join(self.prefix, "bin/coracle"), "--version"]) as program:
            self.assertEqual(program.wait(), 0, program.describe())

    def test_make_install_builds_what_it_installs(self):
        """Only what it installs: no test, example or benchmark."""
        targets = set(re.findall(r"Built target (\S+)", self.said))
        self.assertLessEqual({"coracle_static", "coracle_shared", "coracle_program", "coracle_manual"}, targets)
        self.assertLessEqual(targets, {"coracle_static", "coracle_shared", "coracle_program", "coracle_objects",
                                       "coracle_cares", "coracle_uring", "coracle_json", "coracle_manual",
                                       "coracle_completions"})


if __name__ == "__main__":
    main()
