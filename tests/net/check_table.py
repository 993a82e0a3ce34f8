#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks table.md: every property has its line; every test that a line names exists, is run, and has the property's
number in a comment of its file, so that whoever changes the test is told; every test of this folder and of
tests/contract/test_conn.c that claims a property is found on that property's line or among too many others there; and
the traps (W) and the hardest (X) name tests of their properties.

usage: check_table.py            one line per finding, exit 1 if there is any
       check_table.py --count    how many properties a test proves, cannot apply, or are open: neither, or "later"
"""
import functools
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
PROPERTIES = 354
NAMED_MAX = 5  # tests that one line names
MARKED = [f"W{number}" for number in range(1, 13)] + [f"X{number}" for number in range(1, 21)]


def registered_tests(path):
    with open(os.path.join(TESTS, path + ".c"), encoding="utf-8") as file:
        return set(re.findall(r"(?:cmocka_unit_test(?:_\w+)?|(?:ALL|STREAM)_KINDS)\((\w+)[,)]", file.read()))


@functools.lru_cache(maxsize=None)
def numbers_in_comments(path):
    """The properties that comments of a test file name, "N255 .. N257" being three."""
    with open(os.path.join(TESTS, path + ".c"), encoding="utf-8") as file:
        comments = " ".join(re.findall(r"/\*.*?\*/", file.read(), re.S))
    numbers = set()
    for first, last in re.findall(r"\bN(\d{3})\b(?: \.\. N(\d{3}))?", comments):
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def read_rows():
    rows = {}
    with open(os.path.join(HERE, "table.md"), encoding="utf-8") as file:
        for line in file:
            match = re.match(r"\| N(\d{3}) \| .* \| (.*) \|$", line)
            if match:
                rows[int(match.group(1))] = match.group(2)
    return rows


def named_tests(cell):
    return re.findall(r"`([\w/]+):(\w+)`", cell)


def state(cell):
    if re.search(r"\blater\b", cell):
        return "open"
    if cell.startswith("n/a: "):
        return "n/a"
    return "proven" if named_tests(cell) else "open"


def count():
    states = {number: state(cell) for number, cell in read_rows().items()}
    total = list(states.values()).count
    print(f"{total('proven')} of {PROPERTIES} proven, {total('n/a')} n/a, {total('open')} open")
    print("open:", " ".join(f"N{number:03}" for number, what in states.items() if what == "open") or "none")


def findings():
    rows = read_rows()
    for number in range(1, PROPERTIES + 1):
        if not rows.get(number, "").strip(" ?"):
            yield f"N{number:03}: neither a test nor a reason"
    if list(rows) != sorted(rows):
        yield "the properties are not in order"
    for number, cell in rows.items():
        if cell.startswith("n/a") and (not cell.startswith("n/a: ") or named_tests(cell)):
            yield f"N{number:03}: n/a takes a reason after a colon, and no test"
        for path, test in named_tests(cell):
            if not os.path.exists(os.path.join(TESTS, path + ".c")):
                yield f"N{number:03}: there is no file tests/{path}.c"
            elif test not in registered_tests(path):
                yield f"N{number:03}: {path} has no test {test}"
            elif number not in numbers_in_comments(path):
                yield f"N{number:03}: no comment of {path} names it"


def marked():
    """The lines of the traps and of the hardest: their properties and tests are those of the lines above."""
    rows, seen = read_rows(), []
    with open(os.path.join(HERE, "table.md"), encoding="utf-8") as file:
        for line in file:
            match = re.match(r"\| ([WX]\d+) \| .* \| (N\d.*) \| (.*) \|$", line)
            if not match:
                continue
            mark, numbers, tests = match.group(1), re.findall(r"N(\d{3})", match.group(2)), named_tests(match.group(3))
            seen.append(mark)
            known = [test for number in numbers for test in named_tests(rows.get(int(number), ""))]
            if not tests and not re.match(r"see N\d{3}$", match.group(3)):
                yield f"{mark}: no test"
            for test in tests:
                if test not in known:
                    yield f"{mark}: {test[0]}:{test[1]} is on the line of none of its properties"
    if seen != MARKED:
        yield f"the traps and the hardest are {' '.join(seen)}"


def claims():
    """The properties that comments of this folder's tests name."""
    folder = [os.path.join("net", name) for name in sorted(os.listdir(HERE)) if name.endswith(".c")]
    for path in folder + [os.path.join("contract", "test_conn.c")]:
        for number in numbers_in_comments(path[:-2]):
            yield path[:-2], number


def unlisted():
    with open(os.path.join(HERE, "table.md"), encoding="utf-8") as file:
        lines = {int(match.group(1)): match.group(0) for match in re.finditer(r"^\| N(\d{3}) \|.*$", file.read(), re.M)}
    for path, number in sorted(set(claims())):
        line = lines.get(number, "")
        if path not in line and len(re.findall(r"`[\w/]+:\w+`", line)) < NAMED_MAX:
            yield f"N{number:03}: {path} claims it, the table does not say so"


def main():
    if sys.argv[1:] == ["--count"]:
        count()
        return 0
    found = list(findings()) + list(marked()) + list(unlisted())
    for line in found:
        print(line)
    print(f"{len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
