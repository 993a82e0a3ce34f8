# SPDX-License-Identifier: MIT
"""The status page in a browser: it shows what is there, does what its buttons say, is usable without a mouse or sight,
and lets no name of a client and no other site do anything. Skipped where Chromium is not installed."""
import contextlib
import http.server
import os
import socket
import tempfile
import threading
import unittest

import accessible
from browser import Browser
from harness import Case, main
from test_status import Asked, echo, fill
from test_status import setUpModule as need_admin

NASTY = "\0<img src=x onerror=document.title='hit'><b>\"'&\u202e"
ROWS = "document.querySelectorAll('#open tbody tr td:nth-child(3)')"


class Still(http.server.BaseHTTPRequestHandler):
    """Another site: every page of it is empty."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><title>other</title>")

    def log_message(self, *_):
        pass


class Page(Case):
    browser = None

    @classmethod
    def setUpClass(cls):
        if os.environ.get("COR_SANITIZE"):
            raise unittest.SkipTest("the page is the same under every sanitizer")
        cls.browser = cls.enterClassContext(Browser())

    def open(self, asked, **more):
        page = self.enterContext(self.browser.page("http://%s:%d/" % asked.address, **more))
        page.wait("byId('state').textContent === 'ready'")
        return page

    def in_order(self, page):
        self.assertEqual(page.problems(), [])
        self.assertEqual(page.js("document.title"), "coracle")

    def peers(self, page):
        return page.js("[...%s].map((one) => one.textContent)" % ROWS)

    def test_it_shows_what_is_there(self):
        with Asked("echo", "random", options=("--max-conns", "4", "--max-line", "64")) as asked:
            page = self.open(asked)
            self.assertEqual(page.js("document.querySelector('#open .empty').textContent"), "Nobody is connected.")
            peers = [asked.server.connect("echo") for _ in range(3)]
            for number, peer in enumerate(peers):
                echo(peer, "x" * (10 * number + 1))
            with asked.server.connect("random") as lines:
                lines.send("y" * 200)
                lines.gone()
            asked.wait_closed(1)
            asked.wait_sent(1 + 11 + 21 + len(b"line too long\n"))
            page.js("ask()")
            page.wait("document.querySelectorAll('#open td button').length === 3")
            text = page.js("document.body.innerText")
            self.assertRegex(text, r"Open\n3\nof 4\n")
            self.assertRegex(text, r"too_long a line beyond the limit\n1\n")
            self.assertRegex(text, r"echo\t127\.0\.0\.1:\d+\t.*\t21 B\t21 B\t-\t-\t")
            self.assertIn("echo\n127.0.0.1:", text)
            self.assertIn("max-line\n64 B", text)
            page.wait("document.querySelector('#rates polyline').getAttribute('points').includes(' ')")
            self.assertTrue(page.js("document.querySelector('#limits .used').getAttribute('width') === '75'"))
            peers.append(asked.server.connect("echo"))
            echo(peers[3])
            page.js("ask()")
            page.wait("document.querySelector('#limits .bad')")
            self.assertIn("of 4: near its limit", page.js("document.body.innerText"))
            asked.server.stop()
            page.wait("byId('state').textContent === 'no answer'")
            self.assertIn("No answer", page.js("byId('news').textContent"))

    def test_it_sorts(self):
        with Asked("echo") as asked:
            page = self.open(asked)
            peers = [asked.server.connect() for _ in range(3)]
            for number, peer in zip((20, 3, 100), peers):
                echo(peer, "x" * number)
            asked.wait_sent(123)
            page.js("ask()")
            page.wait(ROWS + ".length === 3")
            by_bytes = [peers[2].name, peers[0].name, peers[1].name]
            press = "document.querySelector('#open th:nth-child(5) button').%s()"
            self.assertEqual(page.js("document.querySelector('#open th:nth-child(5)').textContent"), "Received")
            page.js(press % "click")
            self.assertEqual(self.peers(page), by_bytes)
            self.assertEqual(page.js("document.querySelectorAll('#open th[aria-sort=descending]').length"), 1)
            page.js(press % "focus")
            page.enter()
            self.assertEqual(self.peers(page), by_bytes[::-1])
            self.assertEqual(page.js("document.activeElement.parentElement.getAttribute('aria-sort')"), "ascending")
            self.in_order(page)

    def test_it_kicks_by_keyboard_and_asks_first(self):
        with Asked("echo") as asked, asked.server.connect() as stays, asked.server.connect() as goes:
            echo(stays)
            echo(goes)
            page = self.open(asked)
            page.wait(ROWS + ".length === 2")
            page.js("document.querySelector('button[aria-label=\"Kick connection 2, %s\"]').focus()" % goes.name)
            for way in ("Escape", "keep", "end"):
                page.enter()
                self.assertIn(goes.name, page.js("byId('sure').open && byId('sure-text').textContent"))
                self.assertEqual(page.js("document.activeElement.id"), "keep")  # what a hasty key presses
                self.assertEqual(accessible.complaints(page), [])
                if way == "Escape":
                    page.key("Escape")
                elif way == "keep":
                    page.enter()
                else:
                    page.key("Tab")
                    page.enter()
                page.wait("!byId('sure').open")
                if way != "end":
                    self.assertIn("Kick connection 2", page.js("document.activeElement.getAttribute('aria-label')"))
                    self.assertEqual(echo(goes), b"x")
            self.assertEqual(goes.gone(), b"")
            page.wait(ROWS + ".length === 1")
            page.wait("byId('news').textContent === 'Ended 2, %s'" % goes.name)
            page.wait("byId('reasons').innerText.includes('kicked')")
            self.assertEqual(echo(stays), b"x")
            self.in_order(page)

    def test_names_are_texts(self):
        with tempfile.TemporaryDirectory() as folder, Asked("echo=unix://" + folder + "/s") as asked, \
                contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
            sock.bind(NASTY)
            sock.settimeout(20)
            sock.connect(folder + "/s")
            sock.sendall(b"x")
            sock.recv(1)
            page = self.open(asked)
            page.wait(ROWS + ".length === 1")
            self.assertEqual(self.peers(page), ["@" + NASTY[1:]])
            page.js("document.querySelector('td button').click()")
            self.assertIn(NASTY[1:], page.js("byId('sure-text').textContent"))
            page.js("byId('end').click()")
            page.wait("document.querySelectorAll('#closed td.text').length > 0 && byId('news').textContent")
            self.assertIn(NASTY[1:], page.js("byId('closed').textContent"))
            self.assertEqual(page.js("document.querySelectorAll('img, b, script:not([src])').length"), 0)
            self.in_order(page)

    def test_policy_stops_what_would_be_injected(self):
        with Asked("echo") as asked:
            page = self.open(asked)
            self.in_order(page)
            self.assertIn("TrustedHTML", page.js("(() => { try { document.body.innerHTML = '<b>'; return 'taken'; }"
                                                 " catch (e) { return e.message; } })()"))
            page.js("(() => { const made = document.createElement('img'); made.src = '/livez';"
                    "document.body.append(made); })()")
            page.wait_problem("violates the following Content Security Policy directive")

    def test_other_sites_get_nothing(self):
        """By a name that leads here (DNS rebinding), and from a page of theirs: a script, a frame, a form."""
        other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Still)
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with contextlib.closing(other.socket), Asked("echo") as asked, asked.server.connect() as peer:
            echo(peer)
            port = asked.address[1]
            page = self.enterContext(self.browser.page())
            page.go("http://rebound.example:%d/" % port)
            self.assertIn("Host must be localhost", page.js("document.body.innerText"))
            self.assertEqual(page.js("fetch('/kick?id=1', {method: 'POST'}).then((a) => a.status)"), 421)
            page.go("http://evil.example:%d/" % other.server_address[1])
            here = "http://127.0.0.1:%d" % port
            page.js("fetch('%s/kick?id=1', {method: 'POST', mode: 'no-cors'}).catch(() => 0).then(() => 0)" % here)
            self.assertEqual(page.js("fetch('%s/status').then((a) => a.text(), (e) => e.name)" % here), "TypeError")
            page.js("new Promise((done) => { const made = document.createElement('iframe'); made.src = '%s/';"
                    "made.onload = () => done(); document.body.append(made); })" % here)
            page.js("(() => { const made = document.createElement('form'); made.method = 'POST';"
                    "made.action = '%s/kick?id=1'; document.body.append(made); made.submit(); })()" % here)
            self.browser.wait_event(page.session, "Page.loadEventFired")
            self.assertEqual(echo(peer), b"x")
            self.assertEqual(asked.status()["counters"]["closed"], 0)
            other.shutdown()

    def test_anybody_can_use_it(self):
        with Asked("echo", "echo=127.0.0.1:0", options=("--max-conns", "5", "--write-timeout", "2s")) as asked:
            peers = [asked.server.connect() for _ in range(5)]
            for peer in peers:
                echo(peer)
            fill(peers[0])
            peers[4].close()
            page = self.open(asked)
            page.wait("document.querySelector('tr.stuck, #closed td:not(.empty)') && " + ROWS + ".length > 2")
            page.js("byId('pause').click()")
            for dark in (False, True):
                page.dark(dark)
                for width in (1280, 360):
                    page.resize(width, 800)
                    self.assertEqual(accessible.complaints(page), [], (dark, width))
            roles = accessible.tree(page)
            self.assertIn(("table", "Connections"), roles)
            self.assertIn(("columnheader", "Peer"), roles)
            page.js("document.activeElement.blur()")
            reached = set()
            for _ in range(60):  # every button, by the key for that alone
                page.key("Tab")
                reached.add(page.js("document.activeElement.getAttribute('aria-label') || "
                                    "document.activeElement.textContent"))
            for name in ("Pause", "Pending", "Reason", "Kick connection 2, " + peers[1].name):
                self.assertIn(name, reached)
            self.in_order(page)


def setUpModule():
    need_admin()


if __name__ == "__main__":
    main()
