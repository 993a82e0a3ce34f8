#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes docs/log-events.md of the table in cmd/coracle/log_events.h.

usage: tools/log_events.py [--check] [ROOT]

With --check nothing is written; it fails where the page is not what the table makes, where the code writes an event
that is not in the table, at another level or with other keys, and where the table has one that the code does not write.
"""
import pathlib
import re
import sys

TABLE = "cmd/coracle/log_events.h"
PAGE = "docs/log-events.md"
HEAD = """# Events in the log

What `coracle serve` writes to standard error, or to `--log-file`: one event per line, as logfmt or JSON. Each has
`time` (UTC, RFC 3339), `level` and `event`; these keys follow. Where standard error is the journal of systemd, a prefix
`<3>` to `<7>` takes the place of the time. Numbers of bytes are under `in`, `out`, `queued`, `used` and `limit`,
milliseconds under `ms` and `stuck_ms`; `conn` is the number of a connection, as in the status.

Events marked * are written each time. Of every other one at most %d lines a second are; an event `suppressed` then has
the number of those left out, and of `closed` for each reason.

Made by `tools/log_events.py` of [log_events.h](../cmd/coracle/log_events.h): do not edit.

| event | level | keys | what it says |
|---|---|---|---|
"""


def read_table(root):
    """Rows of the table: {name: (level, how, keys, text)}."""
    text = (root / TABLE).read_text(encoding="utf-8")
    rows = re.findall(r'\bEVENT\((\w+), (\w+), (\w+), "([^"]*)",\s*(?:\\\s*)?"([^"]*)"\)', text)
    names = [row[0] for row in rows]
    if names != sorted(set(names)):
        raise SystemExit("%s: the events are not in alphabetical order" % TABLE)
    if len(rows) != len(re.findall(r"\bEVENT\((?=\w+, )", text)):
        raise SystemExit("%s: a row cannot be read" % TABLE)
    rate = re.search(r"LOG_RATE_PER_SECOND = (\d+)", text).group(1)
    return {row[0]: (row[1].lower(), row[2], row[3].split(), row[4]) for row in rows}, int(rate)


def page_of(table, rate):
    lines = [HEAD % rate]
    for name, (level, how, keys, text) in table.items():
        mark = "*" if how == "EACH" else ""
        lines.append("| %s%s | %s | %s | %s |\n" % (name, mark, level, " ".join(keys), text))
    return "".join(lines)


def arguments_of(text, begin):
    """The arguments of the call whose parenthesis opens before `begin`."""
    depth, start, found = 0, begin, []
    for match in re.compile(r'"(?:[^"\\]|\\.)*"|[(){},]').finditer(text, begin):
        if match.group() in "({":
            depth += 1
        elif match.group() in ")}" and depth > 0:
            depth -= 1
        elif depth == 0 and match.group() in ",)":
            found.append(text[start:match.start()])
            start = match.end()
            if match.group() == ")":
                break
    return found


def calls(root):
    """(place, level, names, keys) of each call that writes an event; keys is None where they are not in the call."""
    for path in sorted((root / "cmd").rglob("*.c")):
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"\b(LOG|log_event|accept_ended)\(", text):
            arguments = arguments_of(text, match.end())
            place = "%s:%d" % (path.relative_to(root), text.count("\n", 0, match.start()) + 1)
            level = re.match(r"LEVEL_(\w+)", arguments[0])
            names = re.findall(r'"(\w+)"', arguments[1]) if len(arguments) > 1 else []
            keys = re.findall(r'\{"(\w+)"', "".join(arguments[2:])) if match.group(1) == "LOG" else None
            if names:
                yield place, level.group(1).lower() if level else None, names, keys


def mistakes(root, table):
    seen = set()
    for place, level, names, keys in calls(root):
        for name in names:
            seen.add(name)
            if name not in table:
                yield "%s: the event %s is not in %s" % (place, name, TABLE)
                continue
            if level is not None and level != table[name][0]:
                yield "%s: %s is %s in %s" % (place, name, table[name][0], TABLE)
            for key in keys or ():
                if key not in table[name][2]:
                    yield "%s: %s has no key %s in %s" % (place, name, key, TABLE)
    for name in table:
        if name not in seen:
            yield "%s: nothing writes %s" % (TABLE, name)


def main():
    arguments = [word for word in sys.argv[1:] if word != "--check"]
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parent.parent)
    table, rate = read_table(root)
    page = page_of(table, rate)
    if "--check" not in sys.argv:
        (root / PAGE).write_text(page, encoding="utf-8")
        return
    wrong = list(mistakes(root, table))
    if (root / PAGE).read_text(encoding="utf-8") != page:
        wrong.append("%s is not what %s makes: run tools/log_events.py" % (PAGE, TABLE))
    print("\n".join(wrong) or "%d events" % len(table))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
