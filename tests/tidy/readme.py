#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the documents at the top claim and a machine can check.

usage: readme.py ROOT

ARCHITECTURE.md quotes floors.txt; the table of services says what service_def says; every relative link leads
somewhere. README's program is compiled and run by tests/e2e/test_install.py.
"""
import glob
import os
import re
import sys

ARCHITECTURE_LINES_MAX = 250


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def check_architecture(root):
    text = read(root, "ARCHITECTURE.md")
    if text.count("\n") > ARCHITECTURE_LINES_MAX:
        yield f"ARCHITECTURE.md has {text.count(chr(10))} lines, at most {ARCHITECTURE_LINES_MAX}"
    for line in read(root, "tests/tidy/floors.txt").splitlines():
        if line and not line.startswith("#") and "    " + line not in text.splitlines():
            yield f"ARCHITECTURE.md does not quote floors.txt: {line}"


def check_services(root):
    rows = dict(re.findall(r"^\| `(\w+)` \| S\w+ \| `([^`]+)` \|", read(root, "README.md"), re.M))
    found = {}
    for path in glob.glob(os.path.join(root, "cmd/coracle/serve/*.c")):
        match = re.search(r'service_def \w+ = \{\s*\.name = "(\w+)",\s*\.address = "([^"]+)"', read(root, path))
        if match:
            found[match.group(1)] = match.group(2)
    if rows != found or not found:
        yield f"the services of README.md {rows} are not those of cmd/coracle/serve {found}"


def check_links(root):
    paths = [os.path.basename(path) for path in glob.glob(os.path.join(root, "*.md"))]
    for folder, _, names in os.walk(os.path.join(root, "docs")):
        paths += [os.path.relpath(os.path.join(folder, name), root) for name in names if name.endswith(".md")]
    for path in sorted(paths):
        text = re.sub(r"^```.*?^```", "", read(root, path), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text) + re.findall(r"^\[[^]]+\]: ([^\s#]\S*)", text, re.M):
            if not re.match(r"[a-z]+://", target) and not os.path.exists(
                    os.path.join(root, os.path.dirname(path), target)):
                yield f"{path}: the link {target} leads nowhere"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = sys.argv[1]
    found = [*check_architecture(root), *check_services(root), *check_links(root)]
    for message in found:
        print(message)
    print(f"{len(found)} findings")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
