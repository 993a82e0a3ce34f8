# SPDX-License-Identifier: MIT
# test: serial timeout=300
"""The harness of `make bench`: short samples of every kind give figures, and a changed machine is noticed."""
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import unittest

from harness import BIN, PATIENCE, Case, main, need_json, need_tool, wait_until

SOURCE = os.environ["COR_SOURCE"]
BUILD = os.path.dirname(BIN)
HARNESS = os.path.join(SOURCE, "bench", "side_by_side.py")
sys.path.insert(0, os.path.join(SOURCE, "bench"))

import report  # noqa: E402
import sampling  # noqa: E402
import scenarios  # noqa: E402
import side_by_side  # noqa: E402

LONGEST = 3 * PATIENCE  # a run of the harness on a machine that is very busy
TRIES = 3
DOCUMENT = """# Title
<!-- begin about -->
<!-- end about -->
<!-- begin %s -->
old
<!-- end %s -->
<!-- begin other -->
kept
<!-- end other -->
"""


def need_programs():
    if not os.path.exists(os.path.join(BUILD, "bench", "raw_load")):
        raise unittest.SkipTest("built without bench/")
    if len(os.sched_getaffinity(0)) < 2:
        raise unittest.SkipTest("two CPUs are needed")


def command(folder, only, *more):
    return [sys.executable, "-B", HARNESS, "--build", BUILD, "--output", folder, "--quick", "--seconds", "0.1",
            "--warmup", "0.05", "--rounds", "1", "--only", only, *more]


class Samples(Case):
    """Real, short ones; what they say about speed is of no interest."""

    def setUp(self):
        need_programs()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def run_harness(self, only, *more):
        done = subprocess.run(command(self.folder.name, only, *more), capture_output=True, text=True, timeout=LONGEST,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.result()

    def result(self):
        with open(os.path.join(self.folder.name, "result.json"), encoding="utf-8") as file:
            return json.load(file)["scenarios"]

    def check(self, kept, entries, values):
        self.assertEqual(kept["failures"], {})
        self.assertEqual(len(kept["rounds"]), 1)
        self.assertEqual(set(kept["rounds"][0]), set(entries))
        for sample in kept["rounds"][0].values():
            for name in values:
                self.assertIn(name, sample["values"])
            for name, value in sample["values"].items():
                self.assertTrue(math.isfinite(value) and value >= 0, (name, value))

    def test_load(self):
        servers = "raw,coracle"
        found = self.run_harness("echo_64_100_depth_16,churn_fin,latency_100,control,workers", "--servers",
                                 servers)
        for name in ("echo_64_100_depth_16", "churn_fin", "latency_100"):
            self.check(found[name], ("raw", "coracle"), ("server_us", "p50_us", "p99_us", "per_s", "starved"))
        self.check(found["control"], ("raw", "again", "slower"), ("server_us",))
        self.check(found["workers"], ("coracle_1", "coracle_2"), ("server_us", "per_s"))

    def test_memory_and_primitives(self):
        found = self.run_harness("many,idle,primitives", "--servers", "coracle,bench_deadline")
        self.check(found["many"], ("coracle_1000", "coracle_2000"), ("server_us", "starved"))
        self.check(found["idle"], ("coracle",), ("idle_bytes", "echo_bytes", "left_bytes"))
        self.check(found["primitives"], ("deadline",), ("deadline_set_read",))

    def test_fan_out(self):
        need_json()
        found = self.run_harness("fanout_100_64,fanout_stalled", "--servers", "room")
        self.check(found["fanout_100_64"], ("room",), ("per_s", "server_us", "memory_mb"))
        self.check(found["fanout_stalled"], ("room",), ("kept", "memory_mb"))

    def test_system_calls(self):
        need_tool("strace")
        found = self.run_harness("system_calls", "--servers", "raw")
        self.check(found["system_calls"], ("raw",), ("total", "recvfrom", "sendto"))
        self.assertGreater(found["system_calls"]["rounds"][0]["raw"]["values"]["total"], 1.9)

    def test_growth(self):
        """scale.py: figures by number of connections and tasks, put where a document has marks for them."""
        target = os.path.join(self.folder.name, "document.md")
        with open(target, "w", encoding="utf-8") as file:
            file.write(DOCUMENT % ("tasks", "tasks"))
        done = subprocess.run(
            [sys.executable, "-B", os.path.join(SOURCE, "bench", "scale.py"), "--build", BUILD, "--output",
             self.folder.name, "--quick", "--seconds", "0.1", "--warmup", "0.05", "--rounds", "1", "--tries", "1",
             "--only", "echo,tasks", "--document", target],
            capture_output=True, text=True, timeout=3 * PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = self.result()
        self.check(found["echo_64_1000"], ("raw", "coracle", "coracle_uring"), ("server_us", "p99_us", "starved"))
        self.check(found["tasks_10000"], ("tasks",), ("user_bytes", "spawn_ns", "switch_ns", "kept_mib"))
        self.assertIn("| 1,000 |", done.stdout)
        with open(target, encoding="utf-8") as file:
            text = file.read()
        self.assertIn("| 10,000 | 4", text)
        self.assertIn("<!-- begin other -->\nkept\n<!-- end other -->", text)

    def test_absent_server(self):
        """What does not start is told, and the others are measured all the same."""
        found = self.run_harness("echo_64_10", "--servers", "raw", "--with", "broken=false")
        self.assertIn("did not start", found["echo_64_10"]["failures"]["broken"])
        self.assertEqual(set(found["echo_64_10"]["rounds"][0]), {"raw"})

    def test_resume(self):
        """An interrupted run keeps its rounds, and goes on with those that are missing."""
        process = subprocess.Popen(command(self.folder.name, "echo_64_10", "--servers", "raw", "--rounds", "1000"),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        path = os.path.join(self.folder.name, "result.json")
        wait_until(lambda: os.path.exists(path) and self.result()["echo_64_10"]["rounds"], lambda: "a first round")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), 130)
        first = self.result()["echo_64_10"]["rounds"]
        both = self.run_harness("echo_64_10", "--servers", "raw", "--resume", "--rounds", str(len(first) + 1))
        self.assertEqual(both["echo_64_10"]["rounds"][:-1], first)


class Rounds(Case):
    """With samples that are made up."""

    def round_of(self, distances):
        """Measures one round of two servers; distances are what the samples will say, in order."""
        left = list(distances)

        class Sampler:
            tries = TRIES

            def take(self, one, entry):
                return {"values": {"server_us": 1.0}, "distance": left.pop(0), "changed": False, "foreign": 0.0}
        one = scenarios.echo(10, 64, 1, "test", servers=("raw", "coracle"))
        side_by_side.measure_round(Sampler(), one, 0, {"failures": {}})
        return len(left)

    def test_round_again(self):
        self.assertEqual(self.round_of([50, 52, 330, 331]), 2)
        self.assertEqual(self.round_of([50, 330, 331, 335, 50]), 1)
        self.assertEqual(self.round_of([50, 330] * 5), 10 - 2 * TRIES)

    def test_failed_samples(self):
        """A sample that fails is taken again, and told; one that always fails is given up."""
        class Sampler(sampling.Sampler):
            outcomes = []

            def take_once(self, scenario, entry):
                if self.outcomes.pop(0):
                    return {"values": {}, "distance": 50, "changed": False, "foreign": 0.0}
                raise sampling.Failed("a wrong byte")
        sampler = Sampler(BUILD, {}, 1, 0, TRIES)
        sampler.outcomes = [False, True, True]
        self.assertEqual(sampler.take(None, None)["failed"], ["a wrong byte"])
        self.assertEqual(sampler.outcomes, [True])
        sampler.outcomes = [False] * 10
        self.assertRaises(sampling.Failed, sampler.take, None, None)
        data = self.data([((50, 5.0), (50, 5.5))])
        one = next(iter(data["scenarios"].values()))
        one["rounds"][0]["coracle"]["failed"] = ["a wrong byte"]
        self.assertIn("coracle epoll: 1 samples failed and were taken again: a wrong byte", report.table(one))

    def data(self, pairs):
        """A run of one scenario: per round (distance, us) of raw and of coracle."""
        def sample(distance, figure):
            return {"values": {"server_us": figure, "p50_us": 5.0, "p99_us": 9.0, "starved": 0}, "distance": distance,
                    "changed": False, "foreign": 0.0}
        one = scenarios.echo(100, 64, 1, "test", (scenarios.Aim("coracle", "server_us", 1.02, "raw"),),
                             servers=("raw", "coracle"))
        return {"date": "today", "commit": "none", "machine": "a machine", "rounds": len(pairs), "seconds": 1,
                "scenarios": {one.name: {
                    "title": one.title, "main": one.main, "bases": one.bases, "failures": {},
                    "aims": [vars(aim) for aim in one.aims],
                    "entries": {entry.key: entry.label() for entry in one.entries},
                    "rounds": [{"raw": sample(*raw), "coracle": sample(*ours)} for raw, ours in pairs]}}}

    def test_ratios(self):
        """Within rounds; rounds in which the machine changed do not count."""
        text = "\n".join(report.aims(self.data([((50, 5.0), (50, 5.0)), ((330, 8.0), (330, 8.08)),
                                                ((50, 5.0), (330, 8.0))])))
        self.assertIn("1.005 (1.000 to 1.010) | met |", text)
        self.assertIn("1.100 | **missed** |", "\n".join(report.aims(self.data([((50, 5.0), (50, 5.5))]))))

    def test_document(self):
        """Refreshing twice is refreshing once, and what a run has no figures for stays."""
        with tempfile.TemporaryDirectory() as folder:
            result, target = os.path.join(folder, "result.json"), os.path.join(folder, "document.md")
            data = self.data([((50, 5.0), (50, 5.5))])
            with open(result, "w", encoding="utf-8") as file:
                json.dump(data, file)
            name = next(iter(data["scenarios"]))
            with open(target, "w", encoding="utf-8") as file:
                file.write(DOCUMENT % (name, name))
            texts = []
            for _ in range(2):
                report.write(result)
                report.document(result, target)
                with open(target, encoding="utf-8") as file:
                    texts.append(file.read())
            self.assertEqual(texts[0], texts[1])
            self.assertIn("| coracle epoll | 5.500 | 1.100 |", texts[0])
            self.assertIn("a machine", texts[0])
            self.assertNotIn("old", texts[0])
            self.assertIn("<!-- begin other -->\nkept\n<!-- end other -->", texts[0])


if __name__ == "__main__":
    main()
