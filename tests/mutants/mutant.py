#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a mutant is: a file with a fault in it, and where in the tree that fault goes.

usage: mutant.py --check ROOT     every mutant still has its place in the tree: exit 1 if one has not
       mutant.py --self-test      bad mutants are found to be bad

The format is described in README.md beside this file. In short: a title, `file:`, `tests:`, then hunks as in a unified
diff but without line numbers, because a mutant has to survive code that moves. The old side of a hunk (its blank and
minus lines) must be found exactly once in all files that `file:` matches; else the mutant is stale, which is an error.
"""
import fnmatch
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SUFFIX = ".mutant"
KEYS = ("file", "tests", "survives")


class Stale(Exception):
    """The mutant does not fit the tree, or is not well formed."""


class Mutant:
    """name (area/word), title, file (a glob), tests (names of test groups), survives (a reason or ""), hunks."""

    def __init__(self, name, text):
        self.name = name
        self.title = ""
        self.hunks = []  # of (old lines, new lines)
        self.values = {}
        lines = [line for line in text.split("\n") if not line.startswith("#")]
        try:
            start = lines.index("@@")
        except ValueError:
            raise Stale(f"{name}: there is no hunk (a line @@)") from None
        self._read_head(lines[:start])
        self._read_hunks(lines[start:])
        self.file = self.values.get("file", "")
        self.tests = self.values.get("tests", "").split()
        self.survives = self.values.get("survives", "")
        if not self.title or not self.file or not (self.tests or self.survives):
            raise Stale(f"{name}: a mutant has a title, `file:`, and `tests:` or a reason why it `survives:`")

    def _read_head(self, lines):
        key = None
        for line in lines:
            word, colon, rest = line.partition(":")
            if colon and word in KEYS:
                key = word
                self.values[key] = rest.strip()
            elif line.strip() == "":
                key = None
            elif key is not None:
                self.values[key] += " " + line.strip()
            else:
                self.title += (" " if self.title else "") + line.strip()

    def _read_hunks(self, lines):
        while lines and lines[-1] == "":
            lines.pop()
        for line in lines:
            mark, rest = line[:1], line[1:]
            if line == "@@":
                self.hunks.append(([], []))
            elif mark in ("", " "):
                self.hunks[-1][0].append(rest)
                self.hunks[-1][1].append(rest)
            elif mark in "-+":
                self.hunks[-1][mark == "+"].append(rest)
            else:
                raise Stale(f"{self.name}: a line of a hunk begins with a blank, - or +: {line}")
        for old, new in self.hunks:
            if old == new or not old:
                raise Stale(f"{self.name}: a hunk needs an old side, and a new side that differs")


def load(folder=HERE):
    """All mutants below `folder`, by name."""
    found = []
    for top, folders, names in os.walk(folder):
        folders.sort()
        for file_name in sorted(names):
            if file_name.endswith(SUFFIX):
                path = os.path.join(top, file_name)
                with open(path, encoding="utf-8") as file:
                    found.append(Mutant(os.path.relpath(path, folder)[:-len(SUFFIX)], file.read()))
    return found


def c_files(root):
    """The C files a mutant may be in, as paths relative to the root, each with its lines."""
    found = {}
    for top in ("src", "cmd", "include"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith((".c", ".h")):
                    path = os.path.relpath(os.path.join(folder, name), root)
                    with open(os.path.join(root, path), encoding="utf-8") as file:
                        found[path] = file.read().split("\n")
    return found


def places(lines, old):
    first = old[0]
    return [at for at, line in enumerate(lines) if line == first and lines[at:at + len(old)] == old]


def mutate(mutant, files):
    """The changed files, as {path: text}. Raises Stale if a hunk has not exactly one place."""
    changed = {}
    matching = [path for path in sorted(files) if fnmatch.fnmatch(path, mutant.file)]
    if not matching:
        raise Stale(f"{mutant.name}: no file is called {mutant.file}")
    for number, (old, new) in enumerate(mutant.hunks, 1):
        found = [(path, at) for path in matching for at in places(changed.get(path, files[path]), old)]
        if len(found) != 1:
            where = ", ".join(f"{path}:{at + 1}" for path, at in found) or "nowhere"
            raise Stale(f"{mutant.name}: the old side of hunk {number} must be found once in {mutant.file}, "
                        f"it is found {where}:\n" + "\n".join("    " + line for line in old))
        path, at = found[0]
        lines = changed.get(path, files[path])
        changed[path] = lines[:at] + new + lines[at + len(old):]
    return {path: "\n".join(lines) for path, lines in changed.items()}


def check(root):
    """Every mutant has its place: the number that have not, told one by one."""
    files, stale, count = c_files(root), 0, 0
    for top, _, names in os.walk(HERE):
        for name in sorted(names):
            if not name.endswith(SUFFIX):
                continue
            path = os.path.join(top, name)
            count += 1
            try:
                with open(path, encoding="utf-8") as file:
                    mutate(Mutant(os.path.relpath(path, HERE)[:-len(SUFFIX)], file.read()), files)
            except Stale as problem:
                print(problem)
                stale += 1
    print(f"{count} mutants, {stale} stale")
    if stale:
        print("Code that a mutant changes was changed: let the mutant say the same fault in the new code.")
    return 1 if stale else 0


# (the mutant's text, what it makes of "a.c", or None if it must be stale)
CODE = "int a;\nint b;\nint c;\n\nint b;\n"
HEAD = "One.\n\nfile: src/*.c\ntests: unit.a\n"
CASES = [
    (HEAD + "@@\n-int a;\n+int d;\n", "int d;\nint b;\nint c;\n\nint b;\n"),
    (HEAD + "@@\n int b;\n-int c;\n", "int a;\nint b;\n\nint b;\n"),
    (HEAD + "@@\n int c;\n\n-int b;\n+int e;\n", "int a;\nint b;\nint c;\n\nint e;\n"),
    (HEAD + "@@\n-int a;\n+int d;\n@@\n int d;\n-int b;\n", "int d;\nint c;\n\nint b;\n"),
    ("# SPDX\n" + HEAD + "survives: it\n  does\n@@\n-int a;\n", "int b;\nint c;\n\nint b;\n"),
    (HEAD + "@@\n-int b;\n+int d;\n", None),
    (HEAD + "@@\n-int z;\n", None),
    (HEAD + "@@\n int a;\n+int a;\n", "int a;\nint a;\nint b;\nint c;\n\nint b;\n"),
    (HEAD + "@@\n-int a;\n+int a;\n", None),
    (HEAD + "@@\n+int a;\n", None),
    (HEAD + "@@\nint a;\n", None),
    (HEAD, None),
    (HEAD.replace("src", "lib") + "@@\n-int a;\n", None),
    (HEAD.replace("tests: unit.a\n", "") + "@@\n-int a;\n", None),
    (HEAD.replace("One.", "") + "@@\n-int a;\n", None),
]


def self_test():
    failures = 0
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, "src"))
        with open(os.path.join(root, "src", "a.c"), "w", encoding="utf-8") as file:
            file.write(CODE)
        for text, expected in CASES:
            try:
                made = mutate(Mutant("case", text), c_files(root)).get("src/a.c")
            except Stale:
                made = None
            if made != expected:
                print(f"self-test: {text!r} makes {made!r}, expected {expected!r}")
                failures += 1
    print(f"self-test: {len(CASES)} mutants, {failures} failures")
    return 1 if failures else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) == 2 and arguments[0] == "--check":
        return check(arguments[1])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
