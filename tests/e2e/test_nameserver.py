# SPDX-License-Identifier: MIT
"""Lookups beside every kind of bad name server, in a network of the test's own, where a server may have port 53.

COR_E2E_FULL=1 waits as long as resolv.conf's defaults do, has the slow server answer after 10 s, and prints a table.
"""
import concurrent.futures
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

from harness import FULL, Case, Program, finish, main, main, need_tool, run_coracle

HERE = os.path.dirname(os.path.abspath(__file__))
DEBIAN_PYTHON = "/usr/bin/python3"  # has Debian's dnslib, whatever python3 runs this
SLOW = 10 if FULL else 1.2
OPTIONS = "" if FULL else "options timeout:4 attempts:1\n"
GOOD = ["192.0.2.1"]
# What a name gives: addresses, how many of them, or an error.
EXPECTED = {
    "good": GOOD, "garbage": GOOD, "wrongid": GOOD, "wrongname": GOOD, "only6": ["2001:db8::1"], "many": 1000,
    "slow": GOOD, "silent": "i/o timeout", "servfail": "server misbehaving", "refused": "server misbehaving",
    "loop": "no such host", "gone": "no such host",
}


def look_up(name, **more):
    begin = time.monotonic()
    done = run_coracle("resolve", "--format", "json", "--timeout", "0", name + ".test", seconds=60, **more)
    return done, json.loads(done.out), time.monotonic() - begin


class Inside(Case):
    """Runs in the namespaces: resolv.conf is ours, and nobody else has port 53."""

    def start_server(self, address):
        server = Program([DEBIAN_PYTHON, "-B", os.path.join(HERE, "nameserver.py"), address, str(SLOW)])
        self.addCleanup(server.stop)
        server.wait_text("ready")
        return server

    def test_each_kind(self):
        self.start_server("127.0.0.1")
        with concurrent.futures.ThreadPoolExecutor(len(EXPECTED)) as pool:
            seen = dict(zip(EXPECTED, pool.map(look_up, EXPECTED)))
        for name, wanted in EXPECTED.items():
            done, result, seconds = seen[name]
            answers = [answer["text"] for answer in result["answers"]]
            if FULL:
                print("%-10s %6.2f s  %s" % (name, seconds, result.get("error") or "%d: %s" % (
                    len(answers), answers[0])), flush=True)
            with self.subTest(name):
                if isinstance(wanted, str):
                    self.assertEqual(done.code, 69, done.describe())
                    self.assertTrue(result["error"].startswith("lookup %s.test" % name), result)
                    self.assertTrue(result["error"].endswith(": " + wanted), result)
                elif isinstance(wanted, int):
                    self.assertEqual(len(set(answers)), wanted, done.describe())
                else:
                    self.assertEqual((done.code, answers), (0, wanted), done.describe())
                if name != "silent":  # nothing else has to wait until time is over
                    self.assertLess(seconds, seen["silent"][2])

    def test_next_server(self):
        """The first one of the list is not there, or says nothing: the second one answers."""
        self.start_server("127.0.0.1")
        with socket.socket(type=socket.SOCK_DGRAM) as silent, tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            silent.bind(("127.0.0.2", 53))
            for first, timeout in (("127.0.0.2", 1), ("127.0.0.3", 20)):
                conf.seek(0)
                conf.write("nameserver %s\nnameserver 127.0.0.1\noptions timeout:%d attempts:1\n" % (first, timeout))
                conf.truncate()
                conf.flush()
                done, result, seconds = look_up("good", env={"COR_RESOLV_CONF": conf.name})
                self.assertEqual([answer["text"] for answer in result["answers"]], GOOD, done.describe())
                if timeout > 1:
                    self.assertLess(seconds, timeout, "an absent server is waited for as a silent one")
                if FULL:
                    print("first of two servers %s: %.2f s" % ("absent" if timeout > 1 else "silent", seconds))


# Inside, "$1" is resolv.conf's text. The loopback of a new network is down.
ENTER = 'ip link set lo up && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'


class Names(Case):
    def test_in_a_network_of_its_own(self):
        for tool in ("unshare", "ip", "mount"):
            need_tool(tool)
        if "dns: off" in run_coracle("--version").out:
            self.skipTest("built without c-ares")
        if subprocess.run([DEBIAN_PYTHON, "-c", "import dnslib"], capture_output=True, check=False).returncode != 0:
            self.skipTest("python3-dnslib is not installed")
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            conf.write("nameserver 127.0.0.1\n" + OPTIONS)
            conf.flush()
            os.environ.pop("COR_RESOLV_CONF", None)  # the suite's: no lookups
            done = finish(Program(["unshare", "-rnm", "sh", "-c", ENTER, "sh", conf.name, sys.executable, "-B",
                                   os.path.abspath(__file__), "Inside"]), seconds=90)
        if done.code == 1 and "unshare" in done.err:
            self.skipTest("no namespaces here: " + done.err.strip())
        self.assertEqual(done.code, 0, done.describe())
        print(done.out, end="")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.argv.append("Names")  # the other is for inside
    main()
