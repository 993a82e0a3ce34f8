# SPDX-License-Identifier: MIT
# test: timeout=60
"""The status page in a browser: it shows what is there, names of clients as texts, and nothing of it is refused by its
own policy. Skipped where Chromium is not installed."""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

from harness import BIN, SOURCE, Case, main, serve, split_address

PAGE = os.path.join(SOURCE, "cmd", "coracle", "serve", "admin", "page")


class Page(Case):
    def setUp(self):
        version = subprocess.run([BIN, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
        if "admin: off" in version:
            raise unittest.SkipTest("built without libmicrohttpd: no status over HTTP")

    def test_nothing_comes_from_elsewhere_and_nothing_is_markup(self):
        for name in ("page.html", "page.css", "page.js"):
            with open(os.path.join(PAGE, name), encoding="utf-8") as file:
                text = file.read()
            self.assertNotRegex(text, r"https?:|//[a-z]|@import", name)
            self.assertNotRegex(text, r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", name)
            self.assertNotRegex(text, r"<script>|<style|\son[a-z]+=|\sstyle=", name)

    def test_in_chromium(self):
        chromium = shutil.which("chromium")
        if chromium is None:
            raise unittest.SkipTest("chromium is not installed")
        if os.environ.get("COR_SANITIZE"):
            raise unittest.SkipTest("the page is the same under every sanitizer")
        name = "\0<img src=x onerror=document.title='hit'>"
        with tempfile.TemporaryDirectory() as folder, \
                serve("echo=unix://" + folder + "/s", options=("--admin", "127.0.0.1:0", "--quiet")) as server, \
                contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
            server.wait_text("listening admin")
            address = "%s:%d" % split_address(re.search(r"^listening admin tcp (\S+)$", server.out, re.M).group(1))
            sock.bind(name)
            sock.settimeout(20)
            sock.connect(folder + "/s")
            sock.sendall(b"x")
            sock.recv(1)
            done = subprocess.run(
                [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + folder + "/profile",
                 "--virtual-time-budget=1500", "--enable-logging=stderr", "--dump-dom", "http://" + address + "/"],
                capture_output=True, text=True, timeout=50, check=False, env=dict(os.environ, HOME=folder))
            if "<html" not in done.stdout:
                raise unittest.SkipTest("chromium does not run here: " + done.stderr[-200:])
            page = done.stdout
            self.assertIn("<title>coracle</title>", page)
            self.assertIn('<span id="state">ready</span>', page)
            self.assertIn(">@&lt;img src=x onerror=document.title='hit'&gt;</td>", page)
            self.assertNotIn("<img", page)
            self.assertRegex(page, r'<button type="button" aria-label="Kick connection 1, @&lt;img')
            self.assertRegex(page, r"<dt>Open</dt><dd>1 of \d+</dd>")
            self.assertEqual([line for line in done.stderr.splitlines() if "CONSOLE" in line], [])


if __name__ == "__main__":
    main()
