# SPDX-License-Identifier: MIT
"""The library as two files: README's program built with them by one line, without a warning, and talked to.

The whole suite runs on them with cmake --preset release -B build/amalgamated -DCOR_AMALGAMATION=ON.
"""
import os
import re
import subprocess
import sys
import tempfile

from harness import SOURCE, Case, Server, main, wait_until

LINE = "cc -O0 -Wall -Wextra -Werror echo.c coracle.c -I. -pthread -o echo"


class Amalgamation(Case):
    def test_readme_program(self):
        if os.environ.get("COR_SANITIZE"):
            self.skipTest("it is the same under every sanitizer")
        with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
            program, = re.findall(r"^```c\n(.*?)^```$", file.read(), re.M | re.S)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-B", os.path.join(SOURCE, "tools/amalgamate.py"), folder], check=True,
                           timeout=60)
            with open(os.path.join(folder, "echo.c"), "w", encoding="utf-8") as file:
                file.write(re.sub(r'"127\.0\.0\.1:\d+"', '"127.0.0.1:0"', program))
            done = subprocess.run(LINE, shell=True, cwd=folder, check=False, timeout=240, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
            self.assertEqual((done.returncode, done.stdout[-3000:]), (0, ""))
            with Server([os.path.join(folder, "echo")]) as server:
                ports = wait_until(server.listening_ports, server.describe)
                server.addresses = {"echo": ("127.0.0.1", ports[0])}
                with server.connect() as peer:
                    peer.send("hello\n")
                    peer.half_close()
                    self.assertEqual(peer.read_all(), b"hello\n")


if __name__ == "__main__":
    main()
