# SPDX-License-Identifier: MIT
"""What the Debian packages say of the tree. To build and try them takes minutes: make try."""
import glob
import os
import re
import subprocess
import tempfile
import unittest

from harness import SOURCE, main

SYMBOLS = "packaging/debian/libcoracle0.symbols"


def read(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


class Package(unittest.TestCase):
    def test_symbols_are_the_public_functions(self):
        declared = set()
        for path in glob.glob(os.path.join(SOURCE, "include/coracle/*.h")):
            declared |= set(re.findall(r"^COR_API\b[^;]*?\b(cor_\w+)\(", read(path), re.M))
        lines = re.findall(r"^ (\w+)@Base \d+\.\d+\.\d+$", read(SYMBOLS), re.M)
        self.assertEqual(lines, sorted(lines))
        self.assertEqual(declared - set(lines), set(), "new: add each to %s, with the version that has it" % SYMBOLS)
        self.assertEqual(set(lines) - declared, set(), "gone: that breaks programs, and libcoracle0 needs a new number")

    def test_version_is_that_of_the_project(self):
        project = re.search(r"^project\(coracle VERSION ([\d.]+)", read("CMakeLists.txt"), re.M)[1]
        newest = re.match(r"coracle \(([\d.]+)-\w+\) ", read("packaging/debian/changelog"))[1]
        self.assertEqual(newest, project)

    def test_tarball_is_the_same_bytes_each_time(self):
        """Of one commit, whoever makes it where and when: in two clones, with other rights and another zone."""
        if not os.path.exists(os.path.join(SOURCE, ".git")):
            self.skipTest("no git here: it came as a tarball")
        made = []
        for umask, zone in (0o022, "UTC"), (0o077, "Asia/Tokyo"):
            with tempfile.TemporaryDirectory() as folder:
                clone = os.path.join(folder, "clone")
                for words in ["git", "clone", "--quiet", SOURCE, clone], [clone + "/tools/dist.sh", folder]:
                    done = subprocess.run(words, check=True, timeout=120, umask=umask, text=True,
                                          stdout=subprocess.PIPE, env=dict(os.environ, TZ=zone))
                with open(done.stdout.strip(), "rb") as file:
                    made.append(file.read())
        self.assertGreater(len(made[0]), 1 << 20)
        self.assertTrue(made[0] == made[1])


if __name__ == "__main__":
    main()
