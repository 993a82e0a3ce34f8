#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The rules of the house that a machine can check.

usage: style.py [--numbers] ROOT     checks the tree, one line per finding, exit 1 if there is any
       style.py --self-test          feeds one bad snippet per rule and checks that it is caught

The floors stand in floors.txt, the exceptions with their reasons in allowed.txt, both beside this file.
"""
import os
import re
import sys
import tempfile

from snippets import HEAD, SNIPPETS, body

HERE = os.path.dirname(os.path.abspath(__file__))
C_LINES_MAX = 600
LINE_COLUMNS_MAX = 120
FUNCTION_LINES_MAX = 70
FUNCTION_LINES_P50 = 12
FUNCTION_LINES_P90 = 40
FILE_SHARE_MAX = 0.15  # of the lines of its folder, where floors.txt gives the folder steps
ROOTS = ("include", "src", "cmd", "examples", "bench", "tests", "tools", "cmake", "docs", ".ci")
SINGLE_FILES = ("CMakeLists.txt", "Makefile")

# Calls that are banned in a folder, with what to use instead. A rule is (name, folders, exempt, pattern, advice);
# folders and exempt are path prefixes.
ANYWHERE = ("src/", "cmd/", "examples/", "bench/", "tests/")
SHIPPED = ("src/", "cmd/", "examples/", "bench/")
SEAM = ("src/base/",)
CALL = r"(?<![\w.>])(?:%s)\s*\("
RAW_CALLS = (
    "read write readv writev recv send recvfrom sendto recvmsg sendmsg accept accept4 connect bind listen socket "
    "socketpair shutdown close open openat ioctl fcntl dup dup2 dup3 pipe pipe2 eventfd timerfd_create timerfd_settime "
    "signalfd poll ppoll select pselect setsockopt getsockopt getsockname getpeername unlink"
)
BANNED = [
    ("unsafe-string", SHIPPED, (), "strcpy strcat sprintf vsprintf gets strtok strncpy strncat",
     "snprintf or memcpy with a known length"),
    ("alloca", SHIPPED, (), "alloca", "a bounded array or malloc: a task's stack is small"),
    ("jump", ("src/", "cmd/", "examples/"), (), "setjmp sigsetjmp _setjmp longjmp siglongjmp _longjmp",
     "return values; the stack changes in src/ctx only"),
    ("thread-sleep", ("src/", "cmd/", "examples/"), (), "sleep usleep nanosleep clock_nanosleep",
     "cor_sleep: it parks the task and not the worker"),
    ("resolver", ANYWHERE, (), "getaddrinfo freeaddrinfo gethostbyname gethostbyname_r gethostbyaddr getnameinfo "
     "getservbyname", "our own resolver: libc's needs a big stack and stops the worker"),
    ("stdio", ("src/",), (), "printf fprintf vprintf vfprintf dprintf vdprintf puts fputs putchar fputc fwrite perror",
     "snprintf into a buffer and base/sys.h: stdio locks and takes 8 KiB of stack"),
    ("clock", ("src/",), SEAM, "clock_gettime gettimeofday time clock timespec_get",
     "the clock of src/base: there is one seam for time"),
    ("random", ("src/",), SEAM, "getrandom getentropy rand random srand srandom rand_r drand48",
     "the generator of src/base: there is one seam for randomness"),
    ("raw-call", ("src/",), SEAM + ("src/poll/",), RAW_CALLS,
     "its wrapper in base/sys.h: there is one seam for system calls, where faults are injected"),
    ("raw-poll", ("src/",), SEAM + ("src/poll/",), r"epoll_\w+ io_uring_\w+", "the poller's interface in poll/poll.h"),
    ("raw-syscall", ("src/", "cmd/", "examples/"), SEAM, "syscall", "a function with a name, in src/base"),
    ("raw-memory", ("src/",), SEAM + ("src/ctx/",), "mmap munmap mprotect madvise mremap",
     "the stacks of src/ctx or malloc"),
    ("raw-allocation", ("src/",), SEAM + ("src/sim/",),
     "malloc calloc realloc reallocarray aligned_alloc posix_memalign strdup strndup",
     "base/memory.h: there an allocation can be made to fail"),
    ("fork", ("src/", "cmd/", "examples/"), (), "fork vfork", "posix_spawn: other workers do not survive a fork"),
    ("exit", ("src/",), SEAM, "exit _exit quick_exit", "return an error, or the one fatal function of src/base"),
]
NETWORK_HEADERS = re.compile(r"(sys/socket|sys/epoll|sys/un|sys/eventfd|netinet/\w+|arpa/\w+|netdb|liburing)\.h$")
MARKS = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b")


NOT_FUNCTION = re.compile(r"\s*(?:(?:static|const)\s+)*"
                          r"(?:(?:struct|enum|union)(?:\s+\w+)?\s*(?:$|__attribute__)|typedef|extern \")")


class Source:
    """One text file: its lines, and for C the same lines without comments, texts and directives."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.lines = text.split("\n")
        self.is_c = path.endswith((".c", ".h"))
        if self.is_c:
            self.code = blank_comments(text)
            self.code_lines = self.code.split("\n")
            self.plain = blank_directives(self.code_lines)

    def within(self, prefixes):
        return self.path.startswith(tuple(prefixes))


def blank_comments(text):
    """Replaces comments and the insides of literals by blanks, keeping every line where it was."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        found = match.group(0)
        if found[0] in "\"'":
            return found[0] + re.sub(r"[^\n]", " ", found[1:-1]) + found[0]
        return re.sub(r"[^\n]", " ", found)

    # The text of an #include is needed as it stands.
    lines = [line if re.match(r"\s*#\s*include\b", line) else None for line in text.split("\n")]
    blanked = token.sub(blank, text).split("\n")
    return "\n".join(kept.split("/*")[0].split("//")[0] if kept is not None and "://" not in kept else other
                     for kept, other in zip(lines, blanked))


def blank_directives(code_lines):
    """Also blanks preprocessor lines with their continuations."""
    plain, inside = [], False
    for line in code_lines:
        directive = inside or line.lstrip().startswith("#")
        inside = directive and line.rstrip().endswith("\\")
        plain.append("" if directive else line)
    return plain


def functions(source):
    """Yields (name, first line, line count) of each function definition, counted from signature to closing brace."""
    start, head, name = None, "", ""
    for number, line in enumerate(source.plain, 1):
        if start is not None:
            if line.startswith("}"):
                yield name, start, number - start + 1
                start, head = None, ""
            continue
        if line.startswith("}") or line.rstrip().endswith(";"):
            head = ""
            continue
        if line.strip() and not head:
            first = number
        head += " " + line.strip() if line.strip() else ""
        if line.rstrip().endswith("{"):
            words = head.rstrip("{ ")
            match = re.search(r"(\w+)\s*\(", words)
            if match and "=" not in words.split("(")[0] and not NOT_FUNCTION.match(words):
                start, name = first, match.group(1)
            head = "" if start is None else head


def matching_paren(text, at):
    """The index after the parenthesis that closes the one at `at`, or -1."""
    depth = 0
    for index in range(at, len(text)):
        if text[index] == "(":
            depth += 1
        elif text[index] == ")":
            depth -= 1
            if depth == 0:
                return index + 1
    return -1


# The rules: each yields (rule, line number, message).

def rule_spdx(source):
    top = source.lines[0] if source.is_c or source.path.endswith(".S") else "\n".join(source.lines[:3])
    if not source.path.endswith((".md", ".json", ".txt", ".in")) and "SPDX-License-Identifier: MIT" not in top:
        yield "spdx", 1, "the file must begin with its SPDX line"
    elif source.is_c and not (len(source.lines) > 1 and source.lines[1].startswith("/*")):
        yield "purpose", 2, "after the SPDX line a comment says what the file is"


def rule_size(source):
    count = len(source.lines) - 1
    if source.path.endswith((".c", ".h", ".py")) and count > C_LINES_MAX:
        yield "file-size", 1, f"{count} lines, at most {C_LINES_MAX}: one idea per file"


def rule_lines(source):
    wide_ok = source.path.endswith((".md", ".json", ".txt", ".go"))
    for number, line in enumerate(source.lines, 1):
        if not wide_ok and len(line) > LINE_COLUMNS_MAX:
            yield "line-length", number, f"{len(line)} columns, at most {LINE_COLUMNS_MAX}"
        if line != line.rstrip() and not source.path.endswith(".md"):
            yield "trailing-blank", number, "blanks at the end of the line"
        if MARKS.search(line):
            yield "mark", number, "unfinished work is not marked in the code but done, or an issue"


def rule_functions(source):
    if not source.is_c:
        return
    for name, start, count in functions(source):
        if count > FUNCTION_LINES_MAX:
            yield "function-size", start, f"{name} has {count} lines, at most {FUNCTION_LINES_MAX}"


def rule_braces(source):
    if not source.is_c:
        return
    text = "\n".join(source.plain)
    for match in re.finditer(r"(?<![\w.>])(if|for|while|else)\b", text):
        word, after = match.group(1), match.end()
        line = text.count("\n", 0, match.start()) + 1
        if word != "else":
            paren = re.compile(r"\s*\(").match(text, after)
            after = matching_paren(text, paren.end() - 1) if paren else -1
            if after < 0:
                continue
        rest = text[after:].lstrip()
        before = text[:match.start()].rstrip()
        if word == "while" and before.endswith("}") and rest.startswith(";"):
            continue
        if not (rest.startswith("{") or (word == "else" and re.match(r"if\b", rest))):
            yield "braces", line, f"the body of `{word}` needs braces"


def rule_banned(source):
    if not source.is_c:
        return
    for rule, folders, exempt, names, advice in BANNED:
        if not source.within(folders) or (exempt and source.within(exempt)):
            continue
        pattern = re.compile(CALL % "|".join(names.split()))
        for number, line in enumerate(source.code_lines, 1):
            for match in pattern.finditer(line):
                yield rule, number, f"{match.group(0).rstrip('( ')}: use {advice}"


def rule_errno(source):
    if not source.is_c or not source.within(("src/",)) or source.within(("src/base/", "src/poll/")):
        return
    for number, line in enumerate(source.code_lines, 1):
        if re.search(r"(?<!\w)errno(?!\w)(?!\.h)", line):
            yield "errno", number, "errors are return values; errno is read in src/base and src/poll only"


def rule_asm(source):
    if not source.is_c or not source.within(("src/", "cmd/", "examples/")):
        return
    for number, line in enumerate(source.code_lines, 1):
        if re.search(r"(?<!\w)(asm|__asm__|__asm)(?!\w)\s*(volatile|__volatile__)?\s*\(", line):
            yield "inline-asm", number, "assembly stands in src/ctx/*.S only"


def rule_sleep_in_tests(source):
    if not source.within(("tests/",)) or not source.path.endswith((".c", ".h", ".py")) or "/tidy/" in source.path:
        return
    for number, line in enumerate(source.lines, 1):
        code = source.code_lines[number - 1] if source.is_c else line.split("#")[0]
        if re.search(r"(?<![\w])(time\.)?(sleep|usleep|nanosleep)\s*\(", code) and "pacing:" not in line:
            yield "test-sleep", number, "wait for the thing itself, with a deadline (a pace is said: `pacing: why`)"


def docstring_defaults(source):
    """The labels whose usual value a header gives once, at the end of its head comment; a call states exceptions."""
    head = re.match(r"/\*[^\n]*\*/\n/\*\n(?:(?! \*/).*\n)*? \* Unless a call says otherwise: (.*)\n \*/\n",
                    source.text)
    return [label for label in ("Parks", "Threads") if head and f"{label}: " in head.group(1)]


def rule_docstrings(source):
    if not source.path.startswith("include/coracle/"):
        return
    defaults = docstring_defaults(source)
    for number, line in enumerate(source.lines, 1):
        if not line.startswith("COR_API"):
            continue
        end = number - 2
        start = end
        while start >= 0 and source.lines[end].strip() == "*/" and not source.lines[start].startswith("/*"):
            start -= 1
        doc = "\n".join(source.lines[max(start, 0):end + 1])
        if not doc.startswith("/*"):
            yield "docstring", number, "a public prototype needs a docstring right above it"
            continue
        result = re.match(r"COR_API\s+(?:COR_CHECK\s+)?(?:_Noreturn\s+)?(.*?)\w+\(", line)
        returns_nothing = bool(result) and result.group(1).strip() == "void"
        for label in ("Returns", "Parks", "Threads"):
            if (label == "Returns" and returns_nothing) or label in defaults:
                continue
            if not re.search(r"\b%s\b[^:.\n]*:" % label, doc):
                yield "docstring", number, f"the docstring lacks `{label}:`"
        length = doc.count("\n") + 1
        if length > 20:
            yield "docstring", number, f"a docstring of {length} lines; 6 to 14 is the measure"


def includes(source):
    for number, line in enumerate(source.code_lines, 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


def rule_public_headers(source):
    if not source.path.startswith("include/"):
        return
    for number, quoted, name in includes(source):
        if quoted:
            yield "include", number, "a public header includes public headers as <coracle/name.h>"
        elif not re.match(r"(coracle/\w+|std\w+|sys/types)\.h$", name):
            yield "include", number, f"<{name}> would become part of the interface"
    for number, line in enumerate(source.plain, 1):
        match = re.match(r"\s*#\s*define\s+(\w+)", source.code_lines[number - 1])
        if match and not match.group(1).startswith(("COR_", "CORACLE_")):
            yield "name", number, f"the public macro {match.group(1)} lacks COR_"


class Floors:
    """floors.txt: which folder may include which, and within some folders which file may include which."""

    def __init__(self, text):
        self.floor, self.public, self.step = {}, [], {}
        for line in text.split("\n"):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "steps":
                steps = " ".join(words[2:]).split("/")
                self.step[words[1]] = {stem: step for step, stems in enumerate(steps) for stem in stems.split()}
            elif words[1] == "public":
                self.public.append(words[0])
            else:
                self.floor[words[0]] = int(words[1])

    def rule(self, source):
        if not source.is_c:
            return
        folder = os.path.dirname(source.path)
        if source.path.startswith("src/"):
            yield from self.rule_private(source, folder)
        elif source.within(tuple(p + "/" for p in self.public)):
            yield from self.rule_public(source, next(p for p in self.public if source.path.startswith(p + "/")))

    def rule_private(self, source, folder):
        if folder not in self.floor:
            yield "floor", 1, f"{folder} is not in tests/tidy/floors.txt"
            return
        steps = self.step.get(folder, {})
        stem = os.path.splitext(os.path.basename(source.path))[0]
        if steps and stem not in steps:
            yield "floor", 1, f"{stem} is on no step of {folder} in tests/tidy/floors.txt"
            return
        for number, quoted, name in includes(source):
            if not quoted:
                continue
            target = "src/" + os.path.dirname(name)
            other = os.path.splitext(os.path.basename(name))[0]
            if steps and target == folder and other != stem and steps.get(other, 99) >= steps[stem]:
                yield "floor", number, f'"{name}" is not on a lower step of {folder} than this file'
            elif "/" not in name or name.startswith("."):
                yield "include", number, f'"{name}": include by path from src/, as in "sync/waitq.h"'
            elif target not in self.floor:
                yield "floor", number, f'"{name}" is in no folder of tests/tidy/floors.txt'
            elif target != folder and self.floor[target] >= self.floor[folder]:
                yield "floor", number, (f'"{name}" is on floor {self.floor[target]}, '
                                        f"this file on floor {self.floor[folder]}")

    def rule_public(self, source, room):
        for number, quoted, name in includes(source):
            if quoted and (".." in name or re.match(r"(%s)/" % "|".join(f[4:] for f in self.floor), name)):
                yield "floor", number, f'"{name}": {room} uses public headers and its own folder only'
            elif quoted and room == "examples":
                yield "floor", number, f'"{name}": an example is one file'
            elif not quoted and room != "bench" and NETWORK_HEADERS.search(name):
                yield "include", number, f"<{name}>: {room} reaches the network through Coracle only"


def rule_sched_private(source):
    """The structs of the scheduler are its own: other folders ask through sched/here.h."""
    if not source.is_c or not source.within(("src/",)) or source.within(("src/sched/",)):
        return
    for number, line in enumerate(source.code_lines, 1):
        found = re.search(r'"sched/state\.h"|\bcori_rt\b|\bcori_self_worker\b|->worker\b', line)
        if found:
            yield "sched-private", number, f"{found.group(0)} is private to src/sched: ask through sched/here.h"


RULES = (rule_spdx, rule_size, rule_lines, rule_functions, rule_braces, rule_banned, rule_errno, rule_asm,
         rule_sleep_in_tests, rule_docstrings, rule_public_headers, rule_sched_private)


def check(source, floors):
    for rule in RULES + (floors.rule,):
        yield from rule(source)


def tree(root):
    """Every text file of the house, as (path, text)."""
    paths = [name for name in SINGLE_FILES if os.path.exists(os.path.join(root, name))]
    for top in ROOTS:
        for folder, folders, names in os.walk(os.path.join(root, top)):
            folders[:] = sorted(f for f in folders if f not in ("__pycache__", "corpus", "build"))
            paths += [os.path.relpath(os.path.join(folder, name), root) for name in sorted(names)]
    for path in paths:
        if path.endswith((".c", ".h", ".S", ".py", ".sh", ".go", ".cmake", ".md", ".txt", "Makefile", "/run")):
            with open(os.path.join(root, path), encoding="utf-8") as file:
                yield path, file.read()


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0


def sizes(sources):
    """Findings about the function sizes of src/ as a whole, and the numbers as text."""
    counts = [count for source in sources if source.is_c and source.path.startswith("src/")
              for _, _, count in functions(source)]
    p50, p90 = percentile(counts, 0.5), percentile(counts, 0.9)
    found = []
    for name, value, limit in (("p50", p50, FUNCTION_LINES_P50), ("p90", p90, FUNCTION_LINES_P90)):
        if value > limit:
            found.append(("src", "function-size", 0, f"{name} of function lines is {value}, at most {limit}"))
    return found, f"src: {len(counts)} functions, lines p50 {p50}, p90 {p90}, max {max(counts, default=0)}"


def shares(sources, folders):
    """Findings about files that have outgrown the others of their folder."""
    for folder in folders:
        lines = {source.path: len(source.lines) for source in sources
                 if os.path.dirname(source.path) == folder and source.is_c}
        total = sum(lines.values())
        for path, count in lines.items():
            if total > 1000 and count > FILE_SHARE_MAX * total:
                yield path, "file-share", 1, (f"{count} of {total} lines of {folder}, at most "
                                              f"{FILE_SHARE_MAX:.0%}: one idea per file")


def circles(sources):
    """Findings about files of src/ and cmd/ that include each other in a circle; a .c and its .h are one."""
    stems = {os.path.splitext(source.path)[0] for source in sources if source.is_c}
    reaches = {}
    for source in sources:
        if source.is_c and source.within(("src/", "cmd/")):
            stem = os.path.splitext(source.path)[0]
            for _, quoted, name in includes(source):
                for base in ("src", "cmd/coracle", os.path.dirname(source.path)) if quoted else ():
                    target = os.path.normpath(os.path.join(base, os.path.splitext(name)[0]))
                    if target in stems and target != stem:
                        reaches.setdefault(stem, set()).add(target)
    done = set()

    def walk(stem, path):
        if stem in path:
            yield " -> ".join(path[path.index(stem):] + [stem])
        elif stem not in done:
            for target in sorted(reaches.get(stem, ())):
                yield from walk(target, path + [stem])
            done.add(stem)

    for stem in sorted(reaches):
        for circle in walk(stem, []):
            yield stem + ".c", "circle", 1, circle


def read_allowed(text):
    allowed = {}
    for line in text.split("\n"):
        words = line.split(None, 2)
        if words and not words[0].startswith("#"):
            allowed[(words[0], words[1])] = len(words) > 2
    return allowed


def check_tree(root, numbers=False):
    with open(os.path.join(HERE, "floors.txt"), encoding="utf-8") as file:
        floors = Floors(file.read())
    with open(os.path.join(HERE, "allowed.txt"), encoding="utf-8") as file:
        allowed = read_allowed(file.read())
    sources = [Source(path, text) for path, text in tree(root)]
    used, found = set(), []
    for source in sources:
        for rule, line, message in check(source, floors):
            if (rule, source.path) in allowed:
                used.add((rule, source.path))
            else:
                found.append((source.path, rule, line, message))
    for key, has_reason in allowed.items():
        if key not in used:
            found.append(("tests/tidy/allowed.txt", "stale", 0, f"{key[0]} {key[1]} is no longer needed"))
        elif not has_reason:
            found.append(("tests/tidy/allowed.txt", "reason", 0, f"{key[0]} {key[1]} has no reason"))
    wide, text = sizes(sources)
    found += wide + list(shares(sources, floors.step)) + list(circles(sources))
    for path, rule, line, message in found:
        print(f"{path}:{line}: {rule}: {message}")
    if numbers or not found:
        c_files = [source for source in sources if source.is_c]
        total = sum(len(source.lines) - 1 for source in c_files)
        print(f"{text}; {len(sources)} files, {total} lines of C; {len(found)} findings")
    return 1 if found else 0


def self_test():
    with open(os.path.join(HERE, "floors.txt"), encoding="utf-8") as file:
        floors = Floors(file.read())
    failures = 0
    for rule, path, text in SNIPPETS:
        caught = {found for found, _, _ in check(Source(path, text), floors)}
        if caught != ({rule} if rule else set()):
            print(f"self-test: expected {rule or 'nothing'} in {path}, found {sorted(caught)}:\n{text[:300]}")
            failures += 1
    failures += self_test_sizes() + self_test_shares() + self_test_circles() + self_test_tree()
    covered = {rule for rule, _, _ in SNIPPETS}
    for rule in [entry[0] for entry in BANNED]:
        if rule not in covered:
            print(f"self-test: no snippet for {rule}")
            failures += 1
    print(f"self-test: {len(SNIPPETS)} snippets, {failures} failures")
    return 1 if failures else 0


def self_test_sizes():
    long_body = HEAD + ("static void f(void)\n{\n" + "    a();\n" * 45 + "}\n") * 3
    found, text = sizes([Source("src/base/a.c", long_body)])
    if len(found) == 2 and "3 functions, lines p50 48" in text:
        return 0
    print(f"self-test: the function numbers are wrong: {found} {text}")
    return 1


def self_test_shares():
    files = [Source(f"src/sched/{name}.c", HEAD + "int a;\n" * count) for name, count in
             (("a", 150), ("b", 150), ("c", 150), ("d", 150), ("e", 150), ("f", 150), ("g", 150), ("h", 200))]
    found = list(shares(files, ["src/sched"]))
    if len(found) == 1 and found[0][0] == "src/sched/h.c":
        return 0
    print(f"self-test: the shares of files are wrong: {found}")
    return 1


def self_test_circles():
    """Three headers in a circle are one finding; a .c that includes its own .h is none."""
    files = [Source(f"cmd/coracle/serve/{name}", HEAD + f'#include "{other}"\n') for name, other in
             (("a.h", "serve/b.h"), ("b.c", "serve/b.h"), ("b.h", "c.h"), ("c.h", "serve/a.h"), ("d.c", "serve/a.h"))]
    found = list(circles(files))
    if len(found) == 1 and found[0][3].count("->") == 3 and not list(circles(files[:3])):
        return 0
    print(f"self-test: the circles are wrong: {found}")
    return 1


def self_test_tree():
    """A tree on disk is walked: a finding in it makes the exit code 1, and an unused exception is a finding."""
    global HERE
    here, failures = HERE, 0
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, "src/base"))
        with open(os.path.join(here, "floors.txt"), encoding="utf-8") as file:
            table = file.read()
        HERE = root
        for allowed, text, expected in (("", body("gets(a);"), 1), ("", HEAD, 0),
                                        ("stdio src/base/a.c why\n", HEAD, 1),
                                        ("unsafe-string src/base/a.c why\n", body("gets(a);"), 0),
                                        ("unsafe-string src/base/a.c\n", body("gets(a);"), 1)):
            for name, content in (("floors.txt", table), ("allowed.txt", allowed), ("src/base/a.c", text)):
                with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                    file.write(content)
            out, sys.stdout = sys.stdout, open(os.devnull, "w", encoding="utf-8")
            try:
                status = check_tree(root)
            finally:
                sys.stdout.close()
                sys.stdout = out
            if status != expected:
                print(f"self-test: a tree gave {status}, expected {expected}: {allowed!r}")
                failures += 1
    HERE = here
    return failures


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    numbers = "--numbers" in arguments
    roots = [argument for argument in arguments if not argument.startswith("--")]
    if len(roots) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    return check_tree(roots[0], numbers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
