#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the documents at the top claim and a machine can check.

usage: readme.py ROOT

ARCHITECTURE.md quotes floors.txt; the table of services says what service_def says; every relative link and every path
to a source leads somewhere; every name of ours exists: cor_ ones in the public headers, cori_ ones in src/, COR_ ones
somewhere in the tree, and in a page of the guide the names of its examples in their sources. README's program is
compiled and run by tests/e2e/test_install.py.
"""
import glob
import os
import re
import sys

ARCHITECTURE_LINES_MAX = 250
NETWORKS = ("tcp", "tcp4", "tcp6", "unix")
PLACES = ("", "src", "cmd/coracle", "docs")  # where a path in a document may begin


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def check_architecture(root):
    text = read(root, "ARCHITECTURE.md")
    if text.count("\n") > ARCHITECTURE_LINES_MAX:
        yield f"ARCHITECTURE.md has {text.count(chr(10))} lines, at most {ARCHITECTURE_LINES_MAX}"
    for line in read(root, "tests/tidy/floors.txt").splitlines():
        if line and not line.startswith(("#", "steps")) and "    " + line not in text.splitlines():
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


def documents(root):
    paths = [os.path.basename(path) for path in glob.glob(os.path.join(root, "*.md"))]
    for top in ("docs", "bench"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            paths += [os.path.relpath(os.path.join(folder, name), root) for name in names if name.endswith(".md")]
    return sorted(paths)


def check_links(root):
    for path in documents(root):
        text = re.sub(r"^```.*?^```", "", read(root, path), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text) + re.findall(r"^\[[^]]+\]: ([^\s#]\S*)", text, re.M):
            if not re.match(r"[a-z]+://", target) and not os.path.exists(
                    os.path.join(root, os.path.dirname(path), target)):
                yield f"{path}: the link {target} leads nowhere"


def words(root, *patterns):
    """Every word in the files that match."""
    found = set()
    for pattern in patterns:
        for path in glob.glob(os.path.join(root, pattern), recursive=True):
            if os.path.isfile(path):
                found.update(re.findall(r"\w+", read(root, os.path.relpath(path, root))))
    return found


def check_names(root):
    public = words(root, "include/coracle/*.h")
    private = words(root, "src/**/*.[chS]", "tests/support/*.[ch]")
    macros = public | private | words(root, "cmake/*", "CMake*", "tools/*.sh", "tests/e2e/*.py", "tests/*/*.[ch]",
                                      "tests/unit/*/*.[ch]")
    for path in documents(root):
        for number, line in enumerate(read(root, path).split("\n"), 1):
            for name in re.findall(r"\b(?:cori?|CORI?)_\w*[A-Za-z0-9]\b(?!_)", line):
                known = public if name.startswith("cor_") else private if name.startswith("cori_") else macros
                if name not in known:
                    yield f"{path}:{number}: there is no {name}"


def check_paths(root):
    for path in documents(root):
        if path == "CONTRIBUTING.md":  # its recipes name files that are yet to be written
            continue
        for number, line in enumerate(read(root, path).split("\n"), 1):
            for name in re.findall(r"(?<![\w/.-])(?!build/)[a-z][\w-]*(?:/[\w-]+)+\.(?:c|h|S|py|sh|txt|cmake)\b", line):
                if not any(os.path.exists(os.path.join(root, place, name)) for place in PLACES):
                    yield f"{path}:{number}: there is no {name}"


def check_guide(root):
    """What a page says is worth a look is there: a name in backticks is a word of the page's examples."""
    for path in sorted(glob.glob(os.path.join(root, "docs/guide/*.md"))):
        page = os.path.relpath(path, root)
        text = read(root, page)
        known = words(root, *set(re.findall(r"examples/\w+\.c", text)))
        section = re.search(r"^## Worth a look\n(.*?)^## ", text, re.M | re.S)
        for name in re.findall(r"`([a-z]\w*)`", section.group(1) if section else ""):
            if name not in known and not name.startswith("cor_") and name not in NETWORKS:
                yield f"{page}: its examples have no {name}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = sys.argv[1]
    found = [*check_architecture(root), *check_services(root), *check_links(root),
             *check_names(root), *check_paths(root), *check_guide(root)]
    for message in found:
        print(message)
    print(f"{len(found)} findings")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
