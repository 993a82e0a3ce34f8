# SPDX-License-Identifier: MIT
"""The manual: a page for every public function and every command, without a complaint of mandoc.

What a command's page says of its options is what --help says: names, letters, values.
"""
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

from harness import BIN, SOURCE, main

COMMANDS = ("serve", "dial", "bench", "resolve", "status")


def read(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as file:
        return file.read()


def options_of_help(command):
    """{name: (letter, what may stand for its value)} as --help lists them: its name, or the choices after a colon."""
    said = subprocess.run([BIN, command, "--help"], check=True, timeout=10, stdout=subprocess.PIPE, text=True).stdout
    found = {}
    for letter, name, value, text in re.findall(r"^  (-\w, |    )--([\w-]+)(?: (\S+))? +(.*)$", said, re.M):
        choices = re.search(r": ([\w-]+(?:(?:, | or )[\w-]+)+)$", text)
        found[name] = (letter.strip(" -,"), (value, " | ".join(re.split(", | or ", choices[1])) if choices else value))
    del found["help"]
    return found


def options_of_page(command):
    """The same from the page: what follows a .TP and begins with a dash."""
    found = {}
    for line in re.findall(r"^\.TP\n(\.\w+ \"?\\-.*)$", read("docs/man", "coracle-%s.1" % command), re.M):
        line = re.sub(r"\\f[A-Z]", "", "".join(shlex.split(line.replace("\\", "\\\\"))[1:])).replace("\\-", "-")
        for letter, name, value in re.findall(r"(?:-(\w) ?, )?--([\w-]+)(?: ([^,]+))?", line):
            found[name] = (letter, value.strip())
    return found


class Manual(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        subprocess.run([sys.executable, "-B", os.path.join(SOURCE, "tools/man.py"), "--version", "0", cls.folder.name],
                       check=True, timeout=60)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def pages(self, section):
        return sorted(glob.glob(os.path.join(self.folder.name, "man%s" % section, "*")))

    def test_every_function_has_a_page(self):
        declared = set()
        for path in glob.glob(os.path.join(SOURCE, "include/coracle/*.h")):
            declared |= set(re.findall(r"^COR_API\b[^;]*?\b(cor_\w+)\(", read(path), re.M))
        self.assertEqual({os.path.basename(path)[:-2] for path in self.pages(3)}, declared)
        for path in self.pages(3):
            name = os.path.basename(path)[:-2]
            with open(path, encoding="utf-8") as file:
                self.assertRegex(file.read(), r"(?m)^\.Ss %s\n[^.]" % name, "the comment of %s is missing" % name)

    def test_every_command_has_a_page(self):
        self.assertEqual([os.path.basename(path) for path in self.pages(1)],
                         sorted(["coracle.1"] + ["coracle-%s.1" % command for command in COMMANDS]))

    def test_options_are_those_of_the_help(self):
        for command in COMMANDS:
            with self.subTest(command):
                help_says, page_says = options_of_help(command), options_of_page(command)
                self.assertGreater(len(help_says), 2)
                self.assertEqual(set(page_says), set(help_says))
                for name, (letter, values) in help_says.items():
                    self.assertEqual(page_says[name][0], letter, name)
                    self.assertIn(page_says[name][1], values, name)

    def test_mandoc_has_nothing_to_say(self):
        if shutil.which("mandoc") is None:
            self.skipTest("no mandoc here")
        pages = self.pages(1) + self.pages(3) + self.pages(7)
        done = subprocess.run(["mandoc", "-Tlint", "-W", "warning"] + pages, check=False, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual((done.stdout, done.returncode), ("", 0))


if __name__ == "__main__":
    main()
