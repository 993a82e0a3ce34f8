# SPDX-License-Identifier: MIT
"""The tests of a build, as ctest knows them, run until the first one goes red.

ctest itself could do that, but not with our own limits on time: a mutant often makes a test hang, and waiting for the
two minutes that a slow machine may need would be most of the whole run. Each test of a group is given what it needed on
the clean tree, many times over.
"""
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import threading
import time

LIMIT_LEAST_S = 10
LIMIT_TIMES = 4
JOIN_S = 10
KINDS_SKIPPED = ("style", "headers")  # they judge the text, not what it does


class Test:
    def __init__(self, entry, build):
        values = {item["name"]: item["value"] for item in entry.get("properties", [])}
        self.name = entry["name"]
        self.command = entry["command"]
        self.environment = dict(pair.split("=", 1) for pair in values.get("ENVIRONMENT", []))
        self.folder = values.get("WORKING_DIRECTORY", build)
        self.limit = values.get("TIMEOUT", 120.0)
        self.labels = values.get("LABELS", [])
        self.serial = bool(values.get("RUN_SERIAL", False))
        self.skip_code = values.get("SKIP_RETURN_CODE")
        built = [word for word in self.command if word.startswith(build + os.sep)]  # itself, or a script's argument
        self.target = os.path.basename(built[0]) if built else None


class Red:
    """A test that failed: which case of it, how, and what it said."""

    def __init__(self, test, how, output):
        self.test = test
        self.how = how
        self.output = output


def case_of(output):
    """The case that a test names as failed, or was in when it ended; "" if it names none."""
    for pattern in (r"^\[  FAILED  \] (.+?)\s*$", r"^(?:FAIL|ERROR): (\w+)"):
        match = re.search(pattern, output, re.M)
        if match:
            return match.group(1)
    ran = re.findall(r"^\[ RUN      \] (.+?)\s*$", output, re.M)
    return ran[-1] if ran else ""


class Suite:
    def __init__(self, build, jobs):
        self.build = build
        self.jobs = jobs
        listing = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], check=True, text=True,
                                 capture_output=True).stdout
        entries = [entry for entry in json.loads(listing)["tests"] if "command" in entry]
        self.tests = [test for test in (Test(entry, build) for entry in entries)
                      if not any(label in KINDS_SKIPPED for label in test.labels)]

    def groups(self, names):
        """The tests whose name is one of `names` or begins with it and a dot, in the order of `names`."""
        found = []
        for name in names:
            group = [test for test in self.tests if (test.name + ".").startswith(name + ".")]
            if not group:
                raise ValueError(f"there is no test {name}")
            found += [test for test in group if test not in found]
        return found

    def run(self, tests, note=None):
        """Runs them, `jobs` at a time, until one is red: that one, or None. `note` gets each green one's seconds."""
        stop, running = threading.Event(), set()
        beside = [test for test in tests if not test.serial]
        for batch, jobs in ((beside, self.jobs), ([test for test in tests if test.serial], 1)):
            with concurrent.futures.ThreadPoolExecutor(max_workers=jobs) as pool:
                results = [pool.submit(self._run_one, test, stop, running, note) for test in batch]
                reds = [result.result() for result in results]
            for red in reds:
                if red is not None:
                    return red
        return None

    def _run_one(self, test, stop, running, note):
        if stop.is_set():
            return None
        began = time.monotonic()
        process = subprocess.Popen(test.command, cwd=test.folder, env={**os.environ, **test.environment}, text=True,
                                   errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        running.add(process)
        if stop.is_set():
            end(process)
        try:
            output, _ = process.communicate(timeout=test.limit)
            how = "" if process.returncode in (0, test.skip_code) else f"exit {process.returncode}"
            if process.returncode < 0:
                how = signal.Signals(-process.returncode).name
        except subprocess.TimeoutExpired:
            end(process)
            output, how = drained(process), f"hung for {test.limit:.0f} s"
        finally:
            running.discard(process)
        if stop.is_set():
            return None  # it was ended because another one is red
        if not how:
            if note:
                note(test, time.monotonic() - began)
            return None
        stop.set()
        for other in list(running):
            end(other)
        case = case_of(output)
        return Red(test, f"{case}: {how}" if case else how, output)


def end(process):
    """Ends a test with all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def drained(process):
    """What an ended process had written; a grandchild that left the group may keep the pipe open."""
    try:
        return process.communicate(timeout=JOIN_S)[0]
    except subprocess.TimeoutExpired:
        return ""


def limit_by(test, seconds):
    """The test took so long on the clean tree: what it may take on a mutant."""
    test.limit = min(test.limit, max(LIMIT_LEAST_S, LIMIT_TIMES * seconds))
