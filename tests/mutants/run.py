#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Puts one fault after the other into a copy of the tree and sees whether the fast suite notices.

A test that no fault can turn red proves nothing. Each mutant beside this file (README.md tells the format) names the
tests that must go red with it. Those are run first. If all stay green the whole fast suite runs; if that stays green
too, the mutant has survived, which is an error unless the mutant says why it may.

The copy lies in build/mutants/tree and is kept between runs, so a mutant costs one compilation, the linking of the
tests that are tried, and these tests. The table is printed and written to build/mutants/report.md; what the red tests
said is in build/mutants/output.
"""
import argparse
import fnmatch
import os
import subprocess
import sys
import time

import mutant as mutants
import suite as suites

ROOT = os.path.dirname(os.path.dirname(mutants.HERE))
WORK = os.path.join(ROOT, "build", "mutants")
TREE = os.path.join(WORK, "tree")
BUILD = os.path.join(TREE, "build", "release")
# A fault may leave a variable unused; and what no test runs need not be built.
CONFIGURE = ["cmake", "--preset", "release", "-DCOR_WERROR=OFF", "-DCOR_BUILD_BENCH=OFF"]


def write(path, data):
    """Writes only what differs: what make compares is the time of the last change."""
    try:
        with open(path, "rb") as file:
            if file.read() == data:
                return
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def copy_tree():
    """Makes the copy equal to the files of the repository as they are now, committed or not."""
    listing = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             check=True, capture_output=True, text=True).stdout
    paths = {path for path in listing.split("\0") if path and os.path.isfile(os.path.join(ROOT, path))}
    for path in sorted(paths):
        with open(os.path.join(ROOT, path), "rb") as file:
            write(os.path.join(TREE, path), file.read())
        os.chmod(os.path.join(TREE, path), os.stat(os.path.join(ROOT, path)).st_mode)
    for folder, folders, names in os.walk(TREE):
        folders[:] = [name for name in folders if os.path.join(folder, name) != os.path.join(TREE, "build")]
        for name in names:
            path = os.path.join(folder, name)
            if os.path.relpath(path, TREE) not in paths:
                os.remove(path)


def build_clean(jobs):
    """All of it: ctest knows the command of a test only once that is there."""
    os.makedirs(BUILD, exist_ok=True)
    done = subprocess.run(CONFIGURE, cwd=TREE, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr if done.returncode != 0 else make({"all"}, jobs)
    if said:
        sys.exit(f"mutants: the copy in {TREE} does not build:\n{said[-4000:]}")


def make(targets, jobs):
    """"", or what the compiler says."""
    done = subprocess.run(["cmake", "--build", BUILD, "-j", str(jobs), "--target", *sorted(targets)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout


def build(tests, jobs):
    """Builds what the tests need."""
    targets = {test.target for test in tests}
    if None in targets:  # a script drives the program or the examples
        targets = {"all"} if len(targets) > 1 else {"coracle_program", *example_targets()}
    return make(targets, jobs)


def example_targets():
    folder = os.path.join(TREE, "examples")
    return ["example_" + name[:-2] for name in os.listdir(folder) if name.endswith(".c")]


class Verdict:
    """What became of a mutant: killed by `red`, or None; `trouble` if it could not be tried."""

    def __init__(self, mutant, seconds, red=None, claimed=False, trouble=""):
        self.mutant = mutant
        self.seconds = seconds
        self.red = red
        self.claimed = claimed
        self.trouble = trouble

    @property
    def bad(self):
        return bool(self.trouble) or (self.red is None and not self.mutant.survives)

    def output(self):
        return self.red.output if self.red else self.trouble

    def text(self):
        if self.trouble:
            return "ERROR: " + self.trouble.splitlines()[0]
        if self.red is None:
            return "survives: " + (self.mutant.survives or "NO REASON")
        aside = "" if self.claimed else " (not among its `tests:`)"
        return f"`{self.red.test.name}` {self.red.how}{aside}"


class Run:
    def __init__(self, chosen, jobs, quick):
        self.chosen = chosen
        self.jobs = jobs
        self.quick = quick
        self.files = mutants.c_files(TREE)
        self.suite = suites.Suite(BUILD, jobs)

    def try_clean(self):
        """The tests that are to kill must be green without a fault: their names if not. They set the limits of time."""
        tests = self.suite.groups(list(dict.fromkeys(name for one in self.chosen for name in one.tests)))
        return self.suite.run(tests, suites.limit_by)

    def try_one(self, mutant):
        began = time.monotonic()
        verdict = Verdict(mutant, 0)
        changed = {}
        try:
            changed = mutants.mutate(mutant, self.files)
            for path, text in changed.items():
                write(os.path.join(TREE, path), text.encode())
            verdict.trouble = self.kill(verdict)
        except mutants.Stale as problem:
            verdict.trouble = str(problem)
        finally:
            for path in changed:
                write(os.path.join(TREE, path), "\n".join(self.files[path]).encode())
        verdict.seconds = time.monotonic() - began
        return verdict

    def kill(self, verdict):
        """Looks for a red test: the claimed ones, then all. The trouble met, or ""."""
        first = self.suite.groups(verdict.mutant.tests)
        rest = [] if self.quick else [test for test in self.suite.tests if test not in first]
        for tests, claimed in ((first, True), (rest, False)):
            if tests and verdict.red is None:
                said = build(tests, self.jobs)
                if said:
                    return "does not build: " + next((line for line in said.splitlines() if "error" in line), said)
                verdict.red, verdict.claimed = self.suite.run(tests), claimed
        return ""

    def confirm(self, verdicts):
        """A test that went red though nobody claimed it would must be green again without the fault."""
        doubted = {one.red.test for one in verdicts if one.red and not one.claimed}
        if doubted and not build(doubted, self.jobs):
            for test in doubted:
                if self.suite.run([test]) is not None:
                    for one in verdicts:
                        if one.red and one.red.test is test:
                            one.trouble = f"{test.name} is red without the fault too: it proves nothing"


def report(verdicts, seconds):
    lines = ["| mutant | what is broken | killed by | s |", "|---|---|---|---|"]
    for one in verdicts:
        lines.append(f"| {one.mutant.name} | {one.mutant.title} | {one.text()} | {one.seconds:.0f} |")
    killed = sum(one.red is not None and not one.trouble for one in verdicts)
    survived = sum(one.red is None and not one.trouble for one in verdicts)
    lines += ["", f"{len(verdicts)} mutants: {killed} killed, {survived} survive ({sum(one.bad for one in verdicts)} "
              f"without a reason or not tried), {seconds:.0f} s"]
    return "\n".join(lines) + "\n"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PATTERN", help="mutants whose name fits the glob, as in 'sync/*'")
    parser.add_argument("--list", action="store_true", help="show the mutants and end")
    parser.add_argument("--claims-only", action="store_true", help="run only the tests that a mutant names")
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("CTEST_PARALLEL_LEVEL", "2")))
    return parser.parse_args()


def main():
    options = parse()
    try:
        chosen = [one for one in mutants.load() if fnmatch.fnmatch(one.name, options.only or "*")]
    except mutants.Stale as problem:
        sys.exit(f"mutants: {problem}")
    if not chosen:
        sys.exit("mutants: there is none of that name")
    if options.list:
        for one in chosen:
            print(f"{one.name}: {one.title}")
        return 0
    began = time.monotonic()
    copy_tree()
    build_clean(options.jobs)
    run = Run(chosen, options.jobs, options.claims_only)
    try:
        red = run.try_clean()
    except ValueError as problem:
        sys.exit(f"mutants: {problem}")
    if red is not None:
        sys.exit(f"mutants: {red.test.name} is red without any fault: {red.how}\n{red.output[-4000:]}")
    print(f"the tests that are to kill are green on the clean tree ({time.monotonic() - began:.0f} s)", flush=True)
    verdicts = []
    for mutant in chosen:
        verdicts.append(run.try_one(mutant))
        write(os.path.join(WORK, "output", mutant.name + ".txt"), verdicts[-1].output().encode())
        print(f"{mutant.name}: {verdicts[-1].text()} ({verdicts[-1].seconds:.0f} s)", flush=True)
    run.confirm(verdicts)
    text = report(verdicts, time.monotonic() - began)
    print("\n" + text)
    write(os.path.join(WORK, "report.md"), text.encode())
    return 1 if any(one.bad for one in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
