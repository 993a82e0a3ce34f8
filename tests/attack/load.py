# SPDX-License-Identifier: MIT
"""Loads of clients of an echo service, at rates that Python does not reach: churn.c says what kinds there are."""
import os
import re
import unittest

from harness import BIN, PATIENCE, Program, wait_until

CHURN = os.path.join(os.path.dirname(BIN), "tests", "attack_churn")
BAD = ("refused", "reset_early", "reset_late", "cut_early", "cut_late", "late", "wrong", "other", "skipped")


class Load(Program):
    """A load that runs within a `with`, begun when that has. After `finish`, `counts` says how it went. Options are
    churn's: rate=5000, lasting=50."""

    def __init__(self, address, patience=PATIENCE, **options):
        if not os.path.exists(CHURN):
            raise unittest.SkipTest("%s was not built" % CHURN)
        words = ["--%s=%s" % item for item in options.items()]
        super().__init__([CHURN, "--patience=%s" % patience, *words, "%s:%d" % address])
        self.counts, self.patience, self.options = {}, patience, options
        try:
            self.wait_text("ready\n")
        except BaseException:
            self.stop()
            raise

    def away(self):
        """For how many ms the last one was away, each time that all who stay are there."""
        return [int(ms) for ms in re.findall(r"^together back=\d+ ms=(\d+)$", self.out, re.M)]

    def wait_back(self, count):
        """Waits until all that stay are there, and so often one has come, or come back."""
        wait_until(lambda: any(int(back) >= count for back in re.findall(r"^together back=(\d+) ", self.out, re.M)),
                   lambda: "%d that come back: %s" % (count, self.describe()))

    def finish(self):
        """No more clients begin; those that are there come to their ends."""
        self.close_stdin()
        if self.wait(2 * self.patience + PATIENCE) != 0:
            raise AssertionError(self.describe())
        last = self.out.splitlines()[-1]
        self.counts = {word: float(value) for word, value in re.findall(r"(\w+)=([\d.]+)", last)}

    def bad(self):
        """What happened to clients that should not."""
        return {word: int(self.counts[word]) for word in BAD if self.counts[word] > 0}

    def summary(self):
        done = self.counts["passing"]
        return "%d connections, %.0f a second of %d, %d long ones, %d open at most, the slowest took %d ms" % (
            done, done / self.counts["seconds"], self.options["rate"], self.counts["lasting"],
            self.counts["open_most"], self.counts["slowest_ms"])
