# SPDX-License-Identifier: MIT
"""The container's file, as far as it can be tried without a container: who it runs as, what it runs, how it is asked.

To build it and to try what comes out takes minutes: make try.
"""
import json
import os
import re
import shlex
import signal
import unittest

from harness import BIN, SOURCE, Case, Server, main, run_coracle, split_address
from test_status import setUpModule  # noqa: F401: without libmicrohttpd there is no health

FILE = "packaging/container/Containerfile"


def read(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


def stages():
    """Each stage as its instructions, [(word, rest)]; what is before the first FROM comes first."""
    text = re.sub(r"^#.*\n", "", read(FILE), flags=re.M)
    found = [[]]
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line:
            word, rest = line.split(None, 1)
            if word == "FROM":
                found.append([])
            found[-1].append((word, rest))
    return found


def last(word):
    """What the last stage says with this word, once."""
    said, = [rest for name, rest in stages()[-1] if name == word]
    return said


class Container(Case):
    def test_base_is_an_argument(self):
        """No host of a registry is named here: whoever builds it says where images come from."""
        before, *built = stages()
        self.assertEqual([word for word, _ in before], ["ARG"])
        self.assertRegex(before[0][1], r"^BASE=[a-z]+:[a-z-]+$")
        self.assertEqual([rest.split()[0] for stage in built for word, rest in stage if word == "FROM"],
                         ["${BASE}"] * 2)

    def test_user_has_no_privilege_and_one_number(self):
        user, group = last("USER").split(":")
        self.assertEqual(user, group)
        self.assertGreater(int(user), 0)
        account, = re.findall(r"'(u .*?)' >/etc/sysusers\.d/(\S+)", last("RUN"))
        name, number, says = shlex.split(account[0])[1:4]
        self.assertEqual(number, user)
        packaged = shlex.split(read("packaging/sysusers/" + account[1]), comments=True)
        self.assertEqual(packaged, ["u", name, "-", says])

    def test_it_serves_is_healthy_and_ends(self):
        """What it runs, on free ports of the loopback; the health check, and the signal that ends it."""
        entry = json.loads(last("ENTRYPOINT"))
        health = json.loads(last("HEALTHCHECK").split("CMD", 1)[1])
        self.assertEqual((entry, health[0]), (["coracle"], "coracle"))
        words = {"7070": "127.0.0.1:0", "echo=:" + last("EXPOSE"): "echo=127.0.0.1:0"}
        command = [words.pop(word, word) for word in json.loads(last("CMD"))]
        self.assertEqual(words, {}, "what listens is not what is known here")
        with Server([BIN, *command]) as server:
            server.wait_text(re.compile(r"^listening \w+ tcp \S+$", re.M), count=2)
            found = dict(re.findall(r"^listening (\w+) tcp (\S+)$", server.out, re.M))
            server.addresses = {"echo": split_address(found["echo"])}
            with server.connect() as peer:
                peer.send("hello\n")
                self.assertEqual(peer.line(), b"hello\n")
            check = [*health[1:], found["admin"]]
            self.assertEqual(run_coracle(*check).code, 0)
            server.signal(getattr(signal, last("STOPSIGNAL")))
            self.assertEqual(server.wait(), 0, server.describe())
            self.assertNotEqual(run_coracle(*check).code, 0)


if __name__ == "__main__":
    main()
