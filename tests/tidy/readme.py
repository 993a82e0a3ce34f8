#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the documents at the top claim and a machine can check.

usage: readme.py ROOT CC LIBRARY...   libcoracle.a and what it needs

The program in README.md compiles without a warning and echoes; ARCHITECTURE.md quotes floors.txt; the table of services
says what service_def says; every relative link leads somewhere.
"""
import glob
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

SECONDS = 20
ARCHITECTURE_LINES_MAX = 250
FLAGS = ("-std=c17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2")


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def echoes(program, port):
    """Starts the program and talks to it: None, or what went wrong."""
    server = subprocess.Popen([program], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                peer = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
                break
            except ConnectionRefusedError:
                if server.poll() is not None or time.monotonic() > deadline:
                    return "the program of README.md does not listen"
        with peer:
            peer.sendall(b"hello\n")
            peer.shutdown(socket.SHUT_WR)
            answer = b""
            while data := peer.recv(100):
                answer += data
        return None if answer == b"hello\n" else f"the program of README.md answers {answer!r}"
    finally:
        server.kill()
        server.communicate()


def check_program(root, compiler, libraries):
    blocks = re.findall(r"^```c\n(.*?)^```$", read(root, "README.md"), re.M | re.S)
    if len(blocks) != 1:
        yield f"README.md has {len(blocks)} programs, one is expected"
        return
    port = free_port()
    text, count = re.subn(r'"127\.0\.0\.1:\d+"', f'"127.0.0.1:{port}"', blocks[0])
    if count != 1:
        yield "the program of README.md has no address on the loopback"
        return
    with tempfile.TemporaryDirectory() as folder:
        source, program = os.path.join(folder, "echo.c"), os.path.join(folder, "echo")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        built = subprocess.run([compiler, *FLAGS, source, "-I" + os.path.join(root, "include"), *libraries, "-pthread",
                                "-ldl", "-o", program], capture_output=True, text=True, check=False)
        if built.returncode != 0:
            yield "the program of README.md does not compile:\n" + built.stderr
            return
        wrong = echoes(program, port)
        if wrong:
            yield wrong


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
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    root, compiler, *libraries = sys.argv[1:]
    found = [*check_architecture(root), *check_services(root), *check_links(root),
             *check_program(root, compiler, libraries)]
    for message in found:
        print(message)
    print(f"{len(found)} findings")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
