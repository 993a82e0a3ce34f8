# SPDX-License-Identifier: MIT
"""README's one program, for the tests that build it as a reader would."""
import os
import re

from harness import SOURCE, Server, wait_until


def read_readme():
    """Gives the program and the lines that compile it: with libcoracle.a, and after `make install`."""
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
        text = file.read()
    program, = re.findall(r"^```c\n(.*?)^```$", text, re.M | re.S)
    in_tree, = re.findall(r"^    (cc echo\.c .*)$", text, re.M)
    installed, = re.findall(r"`(cc echo\.c [^`]*)`", text)
    return program, in_tree, installed


def write_program(folder, anywhere=False):
    """Writes the program as echo.c; `anywhere`: it listens on a port that is free."""
    text, _, _ = read_readme()
    if anywhere:
        text, count = re.subn(r'"127\.0\.0\.1:\d+"', '"127.0.0.1:0"', text)
        if count != 1:
            raise AssertionError("README's program has no address on the loopback")
    with open(os.path.join(folder, "echo.c"), "w", encoding="utf-8") as file:
        file.write(text)


def check_program(case, folder):
    """Runs what was compiled of `anywhere`, and talks to it."""
    with Server([os.path.join(folder, "echo")], env={"LD_LIBRARY_PATH": ""}) as server:
        ports = wait_until(server.listening_ports, server.describe)
        server.addresses = {"echo": ("127.0.0.1", ports[0])}
        with server.connect() as peer:
            peer.send("hello\n")
            peer.half_close()
            case.assertEqual(peer.read_all(), b"hello\n")
