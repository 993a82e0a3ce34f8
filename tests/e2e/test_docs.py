# SPDX-License-Identifier: MIT
# test: timeout=300
"""The site of `make docs`: no broken link, and one that is made is found; in a browser it can be read and searched."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import accessible
from browser import Browser
from harness import SOURCE, Case, main

MAKER = os.path.join(SOURCE, "tools/docs.py")
PAGES = ("index.html", "docs/guide/echo.html", "docs/env.html", "docs/performance.html", "man/coracle-serve.1.html",
         "man/cor_chan_new.3.html", "ARCHITECTURE.html")


def make(out, source=SOURCE):
    return subprocess.run([sys.executable, "-B", MAKER, "--version", "0", "--source", source, out], check=False,
                          timeout=120, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Docs(Case):
    @classmethod
    def setUpClass(cls):
        if os.environ.get("COR_SANITIZE"):
            raise unittest.SkipTest("it is the same under every sanitizer")
        if not shutil.which("cmark-gfm") or not shutil.which("mandoc"):
            raise unittest.SkipTest("cmark-gfm or mandoc is not installed")
        cls.folder = tempfile.TemporaryDirectory()
        cls.site = os.path.join(cls.folder.name, "site")
        cls.said = make(cls.site)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_all_links_lead_somewhere(self):
        self.assertEqual(self.said.returncode, 0, self.said.stdout)
        self.assertRegex(self.said.stdout, r"^\d+ pages, \d+ links, none broken: ")

    def test_a_broken_link_is_told(self):
        """A file and a heading that are not there, in a copy of the tree."""
        tree = os.path.join(self.folder.name, "tree")
        shutil.copytree(SOURCE, tree, ignore=shutil.ignore_patterns("build", ".git"))
        with open(os.path.join(tree, "docs/env.md"), "a", encoding="utf-8") as file:
            file.write("\n[a](nowhere.md) [b](soak.md#no-such-heading) [c](soak.md)\n")
        done = make(os.path.join(self.folder.name, "broken"), tree)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout.splitlines(),
                         ["docs/env.html: soak.html#no-such-heading has no such heading",
                          "docs/env.md: nowhere.md leads nowhere"])

    def test_names_lead_to_their_pages(self):
        with open(os.path.join(self.site, "docs/guide/timers.html"), encoding="utf-8") as file:
            self.assertIn('<a href="../../man/cor_now.3.html"><code>cor_now</code></a>', file.read())

    def test_nothing_comes_from_elsewhere(self):
        elsewhere = r'<(script|img|link|iframe)[^>]*(src|href)="[a-z]+:|url\(|@import'
        for folder, _, names in os.walk(self.site):
            for name in names:
                if name.endswith((".html", ".css")):
                    with open(os.path.join(folder, name), encoding="utf-8") as file:
                        self.assertNotRegex(file.read(), elsewhere)

    def test_in_a_browser(self):
        with Browser() as browser:
            for path in PAGES:
                for width, dark in ((1280, False), (390, True)):
                    with browser.page("file://%s/%s" % (self.site, path), width=width, dark=dark) as page:
                        self.assertEqual(accessible.complaints(page), [], (path, width))
                        self.assertEqual(page.problems(), [])
            with browser.page("file://%s/docs/env.html" % self.site) as page:
                self.search(page)

    def search(self, page):
        page.key("/", text="/")
        page.call("Input.insertText", text="half-close zeppelin")
        page.wait("!document.getElementById('found').hidden")
        self.assertEqual(page.js("document.querySelector('#count').textContent"), "Nothing has all of these words.")
        page.key("Escape")
        page.wait("document.getElementById('found').hidden")
        page.call("Input.insertText", text="COR_EDEADLOCK <b>")
        page.wait("document.querySelectorAll('#found li').length === 0")
        page.key("Escape")
        page.call("Input.insertText", text="cor_chan_send")
        page.wait("document.querySelectorAll('#found li').length > 0")
        page.js("document.querySelector('#found a').click()")
        page.wait("location.pathname.endsWith('/man/cor_chan_new.3.html')")
        self.assertEqual(page.problems(), [])


if __name__ == "__main__":
    main()
