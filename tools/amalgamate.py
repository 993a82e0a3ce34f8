#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the library two files, coracle.c and coracle.h: cc -O2 prog.c coracle.c -pthread.

usage: tools/amalgamate.py [--source FOLDER] OUT

coracle.h has the public headers. coracle.c has every source of src/ after the headers it needs:

- A name that is static in several files gets the file's name behind it; macros of a file end with it.
- What a file offers to others (functions named cori_ and cor_) is kept apart by COR_APART. The library relies on the
  compiler not looking across files: a task may be on another thread after a call that parks, where thread-local
  variables lie elsewhere, and accessors that are compiled on their own are what keeps addresses from being remembered.
- The sources of io_uring and of DNS come last, for -DCOR_HAVE_URING=1 -luring and -DCOR_HAVE_CARES=1 -lcares.
"""
import argparse
import pathlib
import re

OPTIONAL = (("COR_HAVE_URING", r"poll/(poll_uring|uring_\w+)\.c$"),
            ("COR_HAVE_CARES", r"net/dns(_socket|_channel)?\.c$"))
INCLUDE = re.compile(r'^\s*#\s*include ["<]([\w./]+)[">].*$')
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|(?:->|\.)\s*\w+|\b[A-Za-z_]\w*', re.S)
HEAD = """/* SPDX-License-Identifier: MIT */
/*
 * Coracle %s in one file, made by tools/amalgamate.py of its sources: cc -O2 -fno-omit-frame-pointer prog.c coracle.c
 * -pthread. With -DCOR_HAVE_URING=1 -luring it has the io_uring poller, with -DCOR_HAVE_CARES=1 -lcares DNS.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef COR_VERSION
#define COR_VERSION "%s"
#endif
#ifndef COR_HAVE_URING
#define COR_HAVE_URING 0
#endif
#ifndef COR_HAVE_CARES
#define COR_HAVE_CARES 0
#endif
#ifndef COR_HAVE_VALGRIND
#define COR_HAVE_VALGRIND 0
#endif
#if defined(__GNUC__) && !defined(__clang__)
#define COR_APART __attribute__((noipa))
#else
#define COR_APART __attribute__((noinline))
#endif
#define CORACLE_ERRNO_H /* it would be errno for all of this file */
#include "coracle.h"
#undef CORACLE_ERRNO_H
"""


def static_names(text):
    """Names of file scope that other files cannot see: functions, variables, types, constants of enumerations."""
    bare = re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\])*"', "", text, flags=re.S)
    bare = re.sub(r"__attribute__\(\((?:[^()]|\([^()]*\))*\)\) ?", "", bare)
    bare = re.sub(r"^#(?:.*\\\n)*.*\n", "", bare, flags=re.M)
    found = set(re.findall(r"^(?:[A-Z_]+ )?static [^;{=(]*?\b(\w+)\(", bare, re.M))
    for line in re.findall(r"^(?:[A-Z_]+ )?static ([^({;]*?)(?: =|;)", bare, re.M):
        for part in line.split(","):
            found.add(re.search(r"(\w+)(?:\[[^]]*\])*$", part.strip())[1])
    found |= set(re.findall(r"^\} ?\**(\w+)(?:\[[^]]*\])*(?:;| =|,)", bare, re.M))
    found |= set(re.findall(r"^(?:static |const |typedef )*(?:struct|enum|union) (\w+) \{", bare, re.M))
    found |= set(re.findall(r"^typedef [^;{]*?\b(\w+)(?:\([^;]*\)|\[[^]]*\])?;", bare, re.M))
    for body in re.findall(r"^(?:static |const |typedef )*enum\b[^{;(]*\{([^}]*)\}", bare, re.M):
        found |= set(re.findall(r"(?:^|,)\s*(\w+)", body))
    return found


def renamed(text, names, suffix):
    """`text` with `suffix` behind each of `names` that is no member, text or comment."""
    return TOKEN.sub(lambda found: found[0] + suffix if found[0] in names else found[0], text)


def set_apart(text):
    """Marks the definitions of functions that other files call."""
    defined = r"^(?!static|typedef|extern|#|\s)([\w *]*?\bcori?_\w+\([^;{]*\)\n\{)"
    return re.sub(defined, r"COR_APART \1", text, flags=re.M)


def assembler(path, macro):
    """A .S file as an asm statement of file scope."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
    lines = [line.rstrip() for line in text.split("\n") if line.strip() and ".note.GNU-stack" not in line]
    lines = [".pushsection .text"] + [line for line in lines if line.strip() != ".text"] + [".popsection"]
    quoted = "\n".join('        "%s\\n"' % line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return "#ifdef %s\n__asm__(\n%s);\n#endif\n" % (macro, quoted)


class Joined:
    """coracle.c as it grows: which private headers are in it already."""

    def __init__(self, root):
        self.root = root
        self.text = {path: path.read_text(encoding="utf-8") for path in sorted((root / "src").glob("*/*.[ch]"))}
        sources = [path for path in self.text if path.suffix == ".c"]
        statics = {path: static_names(self.text[path]) for path in sources}
        shared = {name for path in self.text if path.suffix == ".h" for name in static_names(self.text[path])}
        count = {}
        for names in list(statics.values()) + [shared]:
            for name in names:
                count[name] = count.get(name, 0) + 1
        for path in sources:
            again = {name for name in statics[path] if count[name] > 1}
            suffix = "_of_%s_%s" % (path.parent.name, path.stem)
            self.text[path] = set_apart(renamed(self.text[path], again, suffix))
        self.sources = sources

    def put(self, path, have):
        """The text of a file with what it includes in place, but what is in `have`, which grows."""
        out, depth = [], 0
        is_header = path.suffix == ".h"
        for line in self.text[path].split("\n"):
            found = INCLUDE.match(line)
            if re.match(r"#\s*if", line):
                depth += 1
            elif re.match(r"#\s*endif", line):
                depth -= 1
            if not found:
                out.append(line)
            elif found[1] == "coracle/errno.h":
                out.append('#pragma push_macro("errno")')
                out.append((self.root / "include/coracle/errno.h").read_text(encoding="utf-8"))
            elif found[1].startswith("coracle"):
                continue
            elif (self.root / "src" / found[1]) in self.text:
                target = self.root / "src" / found[1]
                if target in have:
                    continue
                if depth > is_header:
                    out.append(self.put(target, set(have)))
                else:
                    have.add(target)
                    out.append(self.put(target, have))
            else:
                out.append(line)
        text = re.sub(r"^/\* SPDX[^\n]*\n", "", "\n".join(out))
        text = re.sub(r"#include <(coracle/[\w/]+\.h|coracle\.h)>\n", "", text)
        if not is_header:
            macros = re.findall(r"^#define (\w+)", self.text[path], re.M)
            text += "".join("#undef %s\n" % name for name in dict.fromkeys(macros) if name != "errno")
            if "push_macro" in text:
                text += '#pragma pop_macro("errno")\n'
        return "/* %s */\n%s" % (path.relative_to(self.root), text)

    def all(self):
        parts, have, left = [], set(), list(self.sources)
        for _, pattern in OPTIONAL:
            left = [path for path in left if not re.search(pattern, str(path))]
        for path in left:
            parts.append(self.put(path, have))
        for macro, pattern in OPTIONAL:
            own = set(have)
            parts.append("#if %s\n" % macro)
            parts += [self.put(path, own) for path in self.sources if re.search(pattern, str(path))]
            parts.append("#endif\n")
        return "\n".join(parts)


def public(root):
    """The public headers in the order in which they need each other."""
    out, done = [], set()

    def put(path):
        if path in done:
            return
        done.add(path)
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"^#include <(coracle/\w+\.h)>", text, re.M):
            put(root / "include" / name)
        out.append(re.sub(r"^(?:#include <coracle/\w+\.h>|/\* SPDX[^\n]*)\n", "", text, flags=re.M))

    paths = sorted((root / "include/coracle").glob("*.h"), key=lambda path: (path.name == "errno.h", path.name))
    for path in paths:
        put(path)
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser(description="Makes the library two files.")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--source", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    options = parser.parse_args()
    root = options.source
    version = re.search(r"^project\(coracle VERSION ([\d.]+)", (root / "CMakeLists.txt").read_text("utf-8"), re.M)[1]
    options.out.mkdir(parents=True, exist_ok=True)
    head = "/* SPDX-License-Identifier: MIT */\n/* Coracle %s in one header, made by tools/amalgamate.py. */\n" \
           "#ifndef CORACLE_H\n#define CORACLE_H\n\n" % version
    (options.out / "coracle.h").write_text(head + public(root) + "\n#endif\n", encoding="utf-8")
    asm = "".join(assembler(root / "src/ctx" / ("ctx_%s.S" % cpu), "__%s__" % cpu) for cpu in ("x86_64", "aarch64"))
    text = HEAD % (version, version) + Joined(root).all() + asm
    (options.out / "coracle.c").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
