# SPDX-License-Identifier: MIT
"""The chat of a WebSocket entry in a browser: two pages and an nc in one room, other rooms with their history and who
comes and goes, a restart in between, names and messages that try to be markup, and use without a mouse or sight.
Skipped where Chromium is not installed. COR_SHOTS=FOLDER also takes the pictures of the guide."""
import contextlib
import http.server
import json
import os
import threading
import unittest

import accessible
from browser import Browser
from harness import ACK_ANSWER, Case, Program, free_port, main, need_json, need_tool, serve, wait_until
from test_status_page import Still
from websocket import need_websocket

NASTY = "<img src=x onerror=document.title='hit'><script>document.title='hit'</script><b>\"'&"
WORDS = "[...document.querySelectorAll('#log .words')].map((one) => one.textContent)"
# Of the last one that the page itself has sent; others' may be shown after it, also such as were said before.
TOLD = "[...document.querySelectorAll('#log .own .fate')].pop().textContent === 'told to the room'"
TITLE = "coracle room"


def setUpModule():
    need_json()
    need_websocket()


class Nc(Program):
    """nc as a member of the room."""

    def __init__(self, address):
        super().__init__([need_tool("nc"), *map(str, address)])

    def say(self, text):
        before = self.raw().count(ACK_ANSWER)
        self.send(json.dumps({"message": text}) + "\n")
        self.wait_text(ACK_ANSWER, count=before + 1)


class Page(Case):
    browser = None

    @classmethod
    def setUpClass(cls):
        if os.environ.get("COR_SANITIZE"):
            raise unittest.SkipTest("the page is the same under every sanitizer")
        cls.browser = cls.enterClassContext(Browser())

    def open(self, server, path="/", **more):
        page = self.enterContext(self.browser.page("http://%s:%d%s" % (*server.address("broadcast ws"), path), **more))
        page.wait("byId('state').textContent === 'connected'")
        return page

    def say(self, page, text, name=None, told=True):
        """Types into the page as somebody would."""
        if name is not None:
            page.js("byId('name').focus(); byId('name').select()")
            page.call("Input.insertText", text=name)
        page.js("byId('text').focus()")
        page.call("Input.insertText", text=text)
        page.enter()
        if told:
            page.wait(TOLD)

    def in_order(self, page, title=TITLE):
        self.assertEqual(page.problems(), [])
        self.assertEqual(page.js("document.title"), title)

    def shoot(self, page, name):
        if os.environ.get("COR_SHOTS"):
            page.screenshot(os.path.join(os.environ["COR_SHOTS"], name))

    def test_two_pages_and_nc(self):
        for workers, poller in ((1, "epoll"), (2, "io_uring")):
            with serve("broadcast", "broadcast=ws://127.0.0.1:0", workers=workers,
                       options=("--poller", poller, "--quiet")) as server, \
                    Nc(server.address("broadcast tcp")) as nc:
                nc.say("anybody here?")
                alice, bob = self.open(server), self.open(server)
                self.say(alice, "hello from alice", name="alice")
                bob.wait("document.querySelectorAll('#log .entry').length === 1")  # before what he says himself
                self.say(bob, "hello, alice", name="bob \u05d1")
                nc.say("hello from nc")
                for page, words in ((alice, ["hello from alice", "hello, alice", "hello from nc"]),
                                    (bob, ["hello from alice", "hello, alice", "hello from nc"])):
                    page.wait("document.querySelectorAll('#log .entry').length === 3")
                    self.assertEqual(page.js(WORDS), words)
                nc.wait_text("alice: hello from alice\n")
                nc.wait_text("bob \u05d1: hello, alice\n")
                self.assertEqual(alice.js("byId('count').textContent"), "2 others")
                self.assertRegex(alice.js("byId('people').innerText"), r"somebody\n127\.0\.0\.1:\d+\nbob")
                self.assertEqual(alice.js("byId('text').value"), "")
                self.say(alice, "   ", told=False)  # says nothing
                for page in (alice, bob):
                    page.resize(900, 560)
                    self.in_order(page)
                self.shoot(alice, "chat-light.png")
                bob.dark(True)
                self.shoot(bob, "chat-dark.png")

    def go_to_room(self, page, name):
        """Types the name of a room as somebody would."""
        page.js("byId('room').focus(); byId('room').select()")
        page.call("Input.insertText", text=name)
        page.enter()

    def test_other_rooms(self):
        for workers, poller in ((1, "epoll"), (2, "io_uring")):
            with serve("broadcast", "broadcast/kitchen", "broadcast=ws://127.0.0.1:0", workers=workers,
                       options=("--poller", poller, "--quiet", "--history", "3", "--presence")) as server, \
                    Nc(server.address("broadcast/kitchen tcp")) as cook:
                for number in range(4):
                    cook.say("dish %d" % number)
                page = self.open(server)
                self.go_to_room(page, "a b")
                self.assertIn("letters, digits", page.js("byId('room-note').textContent"))
                self.go_to_room(page, "kitchen")
                page.wait("location.pathname === '/room/kitchen' && byId('state').textContent === 'connected'")
                page.wait("document.querySelectorAll('#log .words').length === 3")
                self.assertEqual(page.js(WORDS), ["dish %d" % number for number in range(1, 4)])
                self.assertEqual(page.js("[...document.querySelectorAll('#log .entry')].filter((one) => "
                                         "one.innerText.includes('earlier')).length"), 3)
                page.wait("byId('members').textContent === '2 here'")
                with Nc(server.address("broadcast/kitchen tcp")) as guest:
                    page.wait("byId('log').innerText.includes(' has come')")
                    guest.say("smells good")
                    page.wait("byId('members').textContent === '3 here'")
                page.wait("byId('log').innerText.includes(' has left')")
                self.say(page, "soup", name="me")
                self.comes_back(page, cook)
                for dark in (False, True):
                    page.dark(dark)
                    for width in (1280, 360):
                        page.resize(width, 700)
                        self.assertEqual(accessible.complaints(page), [], (dark, width))
                self.in_order(page, "kitchen \u2013 " + TITLE)
                other = self.open(server, "/room/K%C3%BCche")
                self.assertEqual(other.js("byId('title').textContent"), "room K\u00fcche")
                self.assertEqual(other.js(WORDS), [])
                self.say(other, "nobody here")
                self.go_to_room(other, "")
                other.wait("location.pathname === '/' && byId('state').textContent === 'connected'")

    def comes_back(self, page, cook):
        """What was said meanwhile is there afterwards, and nothing twice, the own words neither."""
        before = page.js(WORDS)
        page.js("tryLater = () => 0; socket.close()")
        page.wait("socket === null")
        cook.say("while you were away")
        page.js("connect()")
        page.wait("byId('log').innerText.includes('while you were away')")
        cook.say("now")
        page.wait("byId('log').innerText.includes('now')")
        self.assertEqual(page.js(WORDS), [*before, "while you were away", "now"])

    def test_it_comes_back(self):
        """The server goes, and says so; a message then stays where it is; the page finds the next server by itself."""
        port = free_port()
        with serve("broadcast=ws://127.0.0.1:%d" % port, options=("--quiet",)) as server:
            page = self.open(server)
            self.say(page, "before")
            page.js("window.seen = []; new MutationObserver(() => seen.push(byId('state').textContent))"
                    ".observe(byId('state'), {childList: true})")  # each is shown until the next attempt only
        page.wait("seen.includes('the server is ending; trying again')")
        self.say(page, "into the void", told=False)
        page.wait("byId('log').innerText.includes('Not connected: the message has not been sent.')")
        self.assertEqual(page.js("byId('text').value"), "into the void")
        page.wait("failures >= 2")
        with serve("broadcast", "broadcast=ws://127.0.0.1:%d" % port, options=("--quiet",)) as server, \
                Nc(server.address("broadcast tcp")) as nc:
            page.wait("byId('state').textContent === 'connected'")
            nc.say("welcome back")
            page.wait("byId('log').innerText.includes('welcome back')")
            page.js("byId('text').focus()")
            page.enter()  # what was typed before
            nc.wait_text("into the void\n")
            page.wait(TOLD)
            self.assertEqual(page.js("failures"), 0)

    def test_what_has_no_answer_is_marked(self):
        with serve("broadcast=ws://127.0.0.1:0", options=("--quiet",)) as server:
            page = self.open(server)
            page.js("socket.send = () => 0")  # as if it got lost on its way
            self.say(page, "lost", told=False)
            page.wait("document.querySelector('#log .own .fate').textContent === 'sending'")
        page.wait("document.querySelector('#log .lost .fate').textContent.startsWith('not confirmed')")

    def test_pauses_between_attempts(self):
        """They double, with chance in them, up to half a minute."""
        with serve("broadcast=ws://127.0.0.1:0", options=("--quiet",)) as server:
            page = self.open(server)
            waits = page.js("""(() => {
                const found = [], real = window.setTimeout;
                window.setTimeout = (what, ms) => { found.push(ms); return 0; };
                for (let i = 0; i < 400; i++) { failures = i % 10; tryLater("x"); }
                window.setTimeout = real;
                return found;
            })()""")
        for i in range(10):
            longest, at_i = min(30000, 500 * 2 ** i), waits[i::10]
            self.assertTrue(all(longest / 2 <= one <= longest for one in at_i), at_i)
            self.assertGreater(max(at_i) - min(at_i), longest / 8)

    def test_names_and_messages_are_texts(self):
        with serve("broadcast", "broadcast=ws://127.0.0.1:0", options=("--quiet",)) as server, \
                Nc(server.address("broadcast tcp")) as nc:
            page, other = self.open(server), self.open(server)
            nc.say(NASTY)
            nc.say("<i>x</i>: " + NASTY)
            self.say(page, NASTY, name="<b>bold</b>")
            for one in (page, other):
                one.wait("document.querySelectorAll('#log .words').length === 3")
                self.assertEqual(one.js(WORDS), [NASTY] * 3)
                self.assertEqual(one.js("document.querySelectorAll('#log img, #log b, #log i, #log script').length"), 0)
                self.assertEqual(one.js("document.querySelectorAll('#people img, #people b, #people i').length"), 0)
                self.in_order(one)
            self.assertIn("<i>x</i>", page.js("byId('people').textContent"))
            self.assertIn("TrustedHTML", page.js("(() => { try { document.body.innerHTML = '<b>'; return 'taken'; }"
                                                 " catch (e) { return e.message; } })()"))
            page.js("(() => { const made = document.createElement('img'); made.src = '/x';"
                    "document.body.append(made); })()")
            page.wait_problem("violates the following Content Security Policy directive")
            self.assertEqual(page.js("document.title"), TITLE)

    def test_pages_of_other_sites_get_nothing(self):
        site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Still)
        threading.Thread(target=site.serve_forever, daemon=True).start()
        with contextlib.closing(site.socket), serve("broadcast=ws://127.0.0.1:0", options=("--quiet",)) as server:
            page = self.enterContext(self.browser.page())
            page.go("http://evil.example:%d/" % site.server_address[1])
            ended = page.js("new Promise((done) => { const made = new WebSocket('ws://127.0.0.1:%d/');"
                            "made.onopen = () => done('open'); made.onclose = (e) => done(e.code); })"
                            % server.address("broadcast ws")[1])
            self.assertEqual(ended, 1006)
            wait_until(lambda: server.told("closed").get("denied") == 1, "the refusal to be told")
            site.shutdown()

    def test_anybody_can_use_it(self):
        with serve("broadcast", "broadcast=ws://127.0.0.1:0", options=("--quiet",)) as server, \
                Nc(server.address("broadcast tcp")) as nc:
            page = self.open(server)
            for i in range(30):
                nc.say("message %d" % i)
            self.say(page, "mine", name="me")
            page.wait("document.querySelectorAll('#log .entry').length === 31")
            for dark in (False, True):
                page.dark(dark)
                for width in (1280, 360):
                    page.resize(width, 700)
                    self.assertEqual(accessible.complaints(page), [], (dark, width))
            roles = accessible.tree(page)
            for role in (("log", "Messages"), ("textbox", "Name"), ("textbox", "Message"), ("button", "Send"),
                         ("button", "Enter")):
                self.assertIn(role, roles)
            self.assertEqual(page.js("byId('log').ariaLive"), "polite")
            page.js("document.activeElement.blur()")
            reached = set()
            for _ in range(10):
                page.key("Tab")
                reached.add(page.js("document.activeElement.id"))
            self.assertLessEqual({"log", "name", "text", "send", "room", "enter"}, reached)
            self.in_order(page)


if __name__ == "__main__":
    main()
