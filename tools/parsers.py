#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tells how much of each parser in tests/fuzz/parsers.txt its unit tests reach, and how much the fuzz corpora do.

usage: tools/parsers.py [--missing] BUILD

BUILD is a build that counts (preset cover). What the list names is built there and run, each test with one worker.
Fails where either of the two reaches less than 90 % of a parser's lines. --missing: also says which lines.
"""
import collections
import json
import os
import re
import subprocess
import sys

LIST = "tests/fuzz/parsers.txt"
FLOOR = 90

Parser = collections.namedtuple("Parser", "file functions tests targets")


def read_list():
    with open(LIST, encoding="utf-8") as file:
        text = re.sub("\n +", " ", re.sub("(?m)^#.*\n", "", file.read()))
    parsers = []
    for line in text.splitlines():
        name, tests, targets, functions = (line + "|").split("|")[:4]
        parsers.append(Parser(name.strip(), functions.split(), tests.split(), targets.replace("-", "").split()))
    return parsers


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit("%s\n%s%s" % (" ".join(command), done.stdout, done.stderr))
    return done.stdout


def counted(build):
    """The files in which a run leaves what it has counted."""
    return [os.path.join(folder, name) for folder, _, names in os.walk(build) for name in names
            if name.endswith(".gcda")]


class Counts:
    """How often the lines of a file were run, and the branches at their ends; by number, and for branches its place."""

    def __init__(self):
        self.lines, self.branches, self.functions = collections.Counter(), collections.Counter(), {}

    def add(self, found):
        for function in found["functions"]:
            self.functions[function["name"]] = range(function["start_line"], function["end_line"] + 1)
        for line in found["lines"]:
            number = line["line_number"]
            self.lines[number] += line["count"]
            for place, branch in enumerate(line["branches"]):
                self.branches[number, place] += branch["count"]


def measure(build, names):
    """Runs the tests of these names; gives the Counts of each file of this tree that they have run."""
    for path in counted(build):
        os.unlink(path)
    shown = run("ctest", "--test-dir", build, "-j", os.environ.get("CTEST_PARALLEL_LEVEL", "2"),
                "-R", "^(%s)$" % "|".join(map(re.escape, sorted(names))))
    ran = set(re.findall(r"Test +#\d+: (\S+) \.* +Passed", shown))
    if ran != names:
        raise SystemExit("there are no such tests, or they were skipped: " + " ".join(sorted(names - ran)))
    counts = collections.defaultdict(Counts)
    for told in run("gcov", "--json-format", "--stdout", "--branch-probabilities", *counted(build)).splitlines():
        told = json.loads(told)
        for found in told["files"]:
            path = os.path.normpath(os.path.join(told["current_working_directory"], found["file"]))
            counts[os.path.relpath(path)].add(found)
    return counts


def share(counts):
    return 100 * sum(count > 0 for count in counts) / len(counts) if counts else 100.0


def look(parser, counts):
    """How many lines a parser has, the shares of lines and branches that were run, and the lines that were not."""
    if parser.file not in counts:
        raise SystemExit("nothing has run %s" % parser.file)
    found = counts[parser.file]
    unknown = set(parser.functions) - set(found.functions)
    if unknown:
        raise SystemExit("%s has no function %s" % (parser.file, ", ".join(sorted(unknown))))
    within = {line for name in parser.functions for line in found.functions[name]} or set(found.lines)
    lines = {line: count for line, count in found.lines.items() if line in within}
    branches = [count for (line, _), count in found.branches.items() if line in within]
    left = sorted(line for line, count in lines.items() if count == 0)
    return len(lines), share(list(lines.values())), share(branches), left


def main(argv):
    options = {word for word in argv if word.startswith("-")}
    words = [word for word in argv if word not in options]
    if len(words) != 1 or options - {"--missing"}:
        print(__doc__, file=sys.stderr)
        return 2
    build, parsers = words[0], read_list()
    tests = {name for parser in parsers for name in parser.tests}
    targets = {name for parser in parsers for name in parser.targets}
    in_c = {name for name in tests if re.match(r"(unit|net)\.", name)}
    run("cmake", "--build", build, "-j", os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", "2"), "--target", *sorted(
        {"test_" + re.sub(r"^unit\.", "", name).replace(".", "_") for name in in_c} | targets | {"coracle_program"}))
    by_tests = measure(build, {name + ".w1" if name in in_c else name for name in tests})
    by_corpora = measure(build, {"fuzz." + name for name in targets})
    low = 0
    print("%-44s %5s  %-17s  %-17s" % ("", "", "unit tests", "fuzz corpora"))
    print("%-44s %5s  %8s %8s  %8s %8s" % ("parser", "lines", "lines", "branches", "lines", "branches"))
    for parser in parsers:
        text, missing = "%-44s" % parser.file, []
        for number, (found, names) in enumerate(((by_tests, parser.tests), (by_corpora, parser.targets))):
            if names:
                count, lines, branches, left = look(parser, found)
                text += (" %5d" % count if number == 0 else "") + "  %7.1f%% %7.1f%%" % (lines, branches)
                low += lines < FLOOR
                text += " <" if lines < FLOOR else ""
                missing.append("%s: %s" % (("unit tests", "corpora")[number], " ".join(map(str, left))))
            else:
                text += "  %8s %8s" % ("-", "-")
        print(text)
        if "--missing" in options:
            print("    " + "\n    ".join(missing))
    if low > 0:
        print("parsers: %d times less than %d %% of the lines" % (low, FLOOR))
    return low > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
