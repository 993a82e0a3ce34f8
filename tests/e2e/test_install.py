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

from harness import PATIENCE, SOURCE, Case, Program, main
from readme_program import check_program, read_readme, write_program

BUILD_SECONDS = 240  # if build/release is not there yet; otherwise it is a moment
STRICT = ["-std=c17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"]


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

    def check_line(self, line):
        """Compiles README's program by `line`, then once more with port 0 to talk to it."""
        for anywhere in (False, True):
            write_program(self.tree, anywhere)
            self.sh(line)
        check_program(self, self.tree)

    def test_line_with_the_archive(self):
        self.check_line(read_readme()[1])

    def test_line_after_make_install(self):
        self.check_line(read_readme()[2])

    def test_program_has_no_warnings(self):
        _, line, _ = read_readme()
        write_program(self.tree)
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
