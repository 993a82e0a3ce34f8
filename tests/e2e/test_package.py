# SPDX-License-Identifier: MIT
"""What the Debian packages say of the tree. To build and try them takes minutes: make try."""
import glob
import os
import re
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


if __name__ == "__main__":
    main()
