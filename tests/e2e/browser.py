# SPDX-License-Identifier: MIT
"""Chromium without a window, driven by its DevTools protocol over a pair of pipes: no port, no other package.

A message is JSON and a NUL. Chromium reads commands from its descriptor 3 and writes answers and events to 4.
"""
import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import threading
import time
import unittest

PATIENCE = 60.0  # seconds until a wait is a failure
FIRST_FREE = 10  # descriptors above those that the child gets

# Nothing that calls home, keeps state or asks; names that are not this host's lead to this host, as a rebound DNS name.
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--mute-audio",
         "--disable-dev-shm-usage", "--hide-scrollbars", "--proxy-server=direct://", "--remote-debugging-pipe",
         "--host-resolver-rules=MAP *.example 127.0.0.1")
# How Chromium says that a page was left while a command was about it.
LEFT = ("Inspected target navigated", "Execution context was destroyed", "Cannot find context")


class Left(AssertionError):
    """The page gave way to another one."""


class Browser:
    """A running Chromium. Use it in a `with`. Skips the test where there is none, or it does not run."""

    def __init__(self):
        program = shutil.which("chromium")
        if program is None:
            raise unittest.SkipTest("chromium is not installed")
        self.folder = tempfile.TemporaryDirectory(prefix="coracle-browser-", ignore_cleanup_errors=True)
        inner, outer = [self._high(end) for end in os.pipe()], [self._high(end) for end in os.pipe()]
        self.log = os.path.join(self.folder.name, "log")
        actions = [(os.POSIX_SPAWN_DUP2, inner[0], 3), (os.POSIX_SPAWN_DUP2, outer[1], 4),
                   (os.POSIX_SPAWN_OPEN, 1, self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                   (os.POSIX_SPAWN_DUP2, 1, 2)]
        argv = [program, *FLAGS, "--user-data-dir=" + os.path.join(self.folder.name, "profile"), "about:blank"]
        self.pid = os.posix_spawn(program, argv, dict(os.environ, HOME=self.folder.name), file_actions=actions,
                                  setsid=True)
        os.close(inner[0])
        os.close(outer[1])
        self.to, self.come_from = inner[1], outer[0]
        self.rest, self.number, self.events = b"", 0, []
        try:
            self.call("Browser.getVersion")
        except (AssertionError, OSError):
            with open(self.log, encoding="utf-8", errors="replace") as log:
                said = log.read()[-300:]
            self.close()
            raise unittest.SkipTest("chromium does not run here: " + said) from None

    @staticmethod
    def _high(end):
        """The same descriptor, above those that the child gets."""
        high = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE)
        os.close(end)
        return high

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        os.close(self.to)
        os.close(self.come_from)
        os.killpg(self.pid, signal.SIGKILL)  # a session of its own: nothing but Chromium is in it
        os.waitpid(self.pid, 0)
        self.folder.cleanup()

    def _receive(self, deadline):
        """The next message."""
        while b"\0" not in self.rest:
            if not select.select([self.come_from], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError("no word from Chromium")
            data = os.read(self.come_from, 1 << 20)
            if not data:
                raise AssertionError("Chromium has ended")
            self.rest += data
        one, _, self.rest = self.rest.partition(b"\0")
        return json.loads(one)

    def call(self, method, session=None, **params):
        """Does a command and gives its result; events that come meanwhile are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self.number:
                if "error" in answer:
                    kind = Left if answer["error"]["message"].startswith(LEFT) else AssertionError
                    raise kind("%s: %s" % (method, answer["error"]))
                return answer["result"]
            self.events.append(answer)

    def wait_event(self, session, method):
        """Waits for an event and gives what it says."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for event in self.events:
                if event.get("sessionId") == session and event["method"] == method:
                    self.events.remove(event)
                    return event["params"]
            self.events.append(self._receive(deadline))

    def page(self, url=None, width=1280, height=900, dark=False):
        return Page(self, url, width, height, dark)


class Page:
    """A tab."""

    def __init__(self, browser, url, width, height, dark):
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits", "Accessibility"):
            self.call(domain + ".enable")
        self.resize(width, height)
        self.dark(dark)
        if url:
            self.go(url)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)

    def dark(self, dark):
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                    {"name": "prefers-reduced-motion", "value": "reduce"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def go(self, url):
        """Loads a page and everything in it."""
        self.browser.events = [one for one in self.browser.events if one["method"] != "Page.loadEventFired"]
        self.call("Page.navigate", url=url)
        self.browser.wait_event(self.session, "Page.loadEventFired")

    def js(self, expression):
        """The value of an expression, or of what it promises."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(json.dumps(answer["exceptionDetails"])[:1000])
        return answer["result"].get("value")

    def holds(self, condition):
        """Whether an expression is true. It is not while the page gives way to another, whose program is not yet there
        at first. (A promise that is awaited meanwhile may never have an answer.)"""
        try:
            return self.js("(() => { try { return Boolean(%s); } catch (e) { return false; } })()" % condition)
        except Left:
            return False

    def wait(self, condition):
        """Waits until an expression is true in the page."""
        self.wait_until(lambda: self.holds(condition), condition)

    def wait_problem(self, text):
        """Waits until the console, the log or a policy has said this."""
        self.wait_until(lambda: self.js("true") and text in str(self.problems()), text)

    def wait_until(self, is_over, what):
        deadline = time.monotonic() + PATIENCE
        while not is_over():
            if time.monotonic() > deadline:
                raise AssertionError("waited in vain for %s in %s" % (what, self.js("document.body.innerText")))
            threading.Event().wait(0.01)

    def key(self, key, code=None, text=None):
        """Presses a key and lets it go."""
        more = {"text": text} if text else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code or key,
                      windowsVirtualKeyCode={"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}.get(key, 0),
                      **(more if kind == "keyDown" else {}))

    def enter(self):
        self.key("Enter", text="\r")

    def screenshot(self, path):
        """The whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))

    def problems(self):
        """What the console, the log and the policies have had to say so far: nothing, in a page that is in order."""
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            params = event["params"]
            if event["method"] == "Runtime.consoleAPICalled":
                found.append("console.%s: %s" % (params["type"], params["args"]))
            elif event["method"] == "Runtime.exceptionThrown":
                found.append("exception: %s" % params["exceptionDetails"])
            elif event["method"] == "Log.entryAdded":
                found.append("log: %s" % params["entry"])
            elif event["method"] == "Audits.issueAdded":
                found.append("issue: %s" % params["issue"])
        return found
