# SPDX-License-Identifier: MIT
"""The library as two files: README's program built with them by one line, without a warning, and talked to.

The whole suite runs on them with make amalgamated.
"""
import os
import subprocess
import sys
import tempfile

from harness import SOURCE, Case, main
from readme_program import check_program, write_program

LINE = "cc -O0 -Wall -Wextra -Werror echo.c coracle.c -I. -pthread -o echo"


class Amalgamation(Case):
    def test_readme_program(self):
        if os.environ.get("COR_SANITIZE"):
            self.skipTest("it is the same under every sanitizer")
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-B", os.path.join(SOURCE, "tools/amalgamate.py"), folder], check=True,
                           timeout=60)
            write_program(folder, anywhere=True)
            done = subprocess.run(LINE, shell=True, cwd=folder, check=False, timeout=240, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
            self.assertEqual((done.returncode, done.stdout[-3000:]), (0, ""))
            check_program(self, folder)


if __name__ == "__main__":
    main()
