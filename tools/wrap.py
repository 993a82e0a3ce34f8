#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Breaks comment lines that are too wide, which clang-format is told to leave alone: it would run the labels of
docstrings (Returns: Parks: ...) together. What is cut off joins the next line unless a label, a list or a blank begins
there.

usage: wrap.py FILE...
"""
import re
import sys

COLUMNS = 120
BLOCK = re.compile(r"^(\s*)(/\*|\*) (?=\S)")
NEW_PARAGRAPH = re.compile(r"^\s*\* (Returns|Parks|Threads|Owns|Go)\b|^\s*\* {2,}|^\s*\* [-*0-9]|"
                           r"^\s*\*\s*$|^\s*\*/|^(?!\s*\*)")


def wrap(lines):
    at = 0
    while at < len(lines):
        line = lines[at]
        block = BLOCK.match(line)
        if len(line) > COLUMNS and block:
            indent = block.group(1)
            if block.group(2) == "/*":
                if line.endswith("*/"):
                    lines[at:at + 1] = [indent + "/*", f"{indent} * {line.strip()[3:-2].strip()}", indent + " */"]
                else:
                    lines[at:at + 1] = [indent + "/*", f"{indent} * {line.strip()[3:]}"]
                continue
            # Room for the " */" that may stand at the end of the block.
            ends = line.endswith(" */")
            text = line[:-3] if ends else line
            cut = text.rfind(" ", len(block.group(0)), COLUMNS + 1)
            if cut > 0:
                rest = text[cut + 1:]
                lines[at] = text[:cut]
                following = lines[at + 1] if at + 1 < len(lines) else ""
                if ends:
                    lines.insert(at + 1, f"{indent}* {rest} */")
                elif NEW_PARAGRAPH.match(following):
                    lines.insert(at + 1, f"{indent}* {rest}")
                else:
                    lines[at + 1] = f"{indent}* {rest} {following.strip()[2:]}"
        at += 1
    return lines


def main(paths):
    for path in paths:
        with open(path, encoding="utf-8") as file:
            before = file.read()
        after = "\n".join(wrap(before.split("\n")))
        if after != before:
            with open(path, "w", encoding="utf-8") as file:
                file.write(after)


main(sys.argv[1:])
