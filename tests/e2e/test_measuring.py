# SPDX-License-Identifier: MIT
# test: serial timeout=900
"""The harness of `make bench`: short samples of every kind give figures, and a changed machine is noticed."""
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

from harness import BIN, PATIENCE, Case, main, need_json, need_tool, wait_until

SOURCE = os.environ["COR_SOURCE"]
BUILD = os.path.dirname(BIN)
HARNESS = os.path.join(SOURCE, "bench", "side_by_side.py")
sys.path.insert(0, os.path.join(SOURCE, "bench"))

import compare  # noqa: E402
import report  # noqa: E402
import sampling  # noqa: E402
import scenarios  # noqa: E402
import side_by_side  # noqa: E402

LONGEST = 6 * PATIENCE  # a run of the harness on a machine that is very busy
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

    def test_cores(self):
        """A case beside its peer in Go and the floor of the machine."""
        need_tool("go")
        found = self.run_harness("cores_hand_off_apart,storm_1,churn_logged,log", "--servers",
                                 "bench_log,bench_cores,go_cores,raw_c2c,bench_storm,coracle_logged,go_logged")
        self.check(found["cores_hand_off_apart"], ("coracle", "coracle_uring", "go", "line", "futex", "eventfd"),
                   ("ns",))
        self.check(found["storm_1"], ("coracle", "coracle_uring"), ("ms", "peak_mb", "task_bytes"))
        for name in ("log_at_once", "log_per_second_25000"):
            self.check(found[name], ("coracle",), ("ns",))
        self.check(found["churn_logged"], ("coracle_logged", "go_logged"), ("server_us",))

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
            capture_output=True, text=True, timeout=LONGEST, check=False)
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
        self.assertIn("1.005 (1.000 to 1.010) | <= 1.02 | met |", text)
        self.assertIn("| coracle epoll | 5.50 us | raw epoll | 5.00 us | 1.100 | <= 1.02 | **missed** |",
                      "\n".join(report.aims(self.data([((50, 5.0), (50, 5.5))]))))

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


class Lines(Case):
    """The one plot of all lines, and lines that a peer or an earlier commit does not have."""

    def kept(self, one, rounds):
        """A scenario as it is kept: per round, key -> figures."""
        return {"title": one.title, "main": one.main, "bases": one.bases, "failures": {},
                "aims": [vars(aim) for aim in one.aims],
                "entries": {entry.key: entry.label() for entry in one.entries},
                "rounds": [{key: {"values": values, "distance": 50, "changed": False, "foreign": 0.0}
                            for key, values in each.items()} for each in rounds]}

    def recorded(self):
        """A recorded run: one line with its peer, a rate, one without its peer, and primitives."""
        known = {one.name: one for one in scenarios.all_scenarios(True)}
        rounds = {
            "cores_hand_off": [{"coracle": {"ns": ns}, "go": {"ns": 100.0}} for ns in (80.0, 120.0, 90.0)],
            "fanout_100_64": [{"room": {"per_s": 8e6}, "redis": {"per_s": 4e6}}],
            "cores_hand_off_apart": [{"futex": {"ns": 250.0}, "go": {"ns": 100.0}}],
            "cores_mutex_8_tasks": [{"coracle": {"ns": 30.0}}],
            "primitives": [{"switch": {"switch_2_tasks": ns}} for ns in (4.0, 6.0)],
        }
        return {"date": "today", "commit": "none", "machine": "a machine", "rounds": 3, "seconds": 1,
                "scenarios": {name: self.kept(known[name], each) for name, each in rounds.items()}}

    def test_figures(self):
        beside, alone = report.panels(self.recorded())
        self.assertEqual([row for row, _ in beside.rows], ["cores_hand_off to Go", "fanout_100_64 to redis",
                                                           "cores_hand_off_apart to Go"])
        self.assertEqual([points[1:] for points in beside.series["plain C"]], [(2.5,) * 3])
        self.assertEqual([note[:2] for note in beside.notes], [("futex", 2.5)])
        self.assertEqual([points[1:] for points in beside.series["coracle epoll"]], [(0.9, 0.8, 1.2), (0.5,) * 3])
        self.assertEqual([points[1:] for points in beside.series["aim"]], [(1.5,) * 3, (0.5,) * 3, (1.5,) * 3])
        self.assertEqual([points[1:] for points in alone.series["coracle"]], [(5.0, 4.0, 6.0)])
        heights = [points[0] for series in beside.series.values() for points in series]
        self.assertEqual(len(set(heights)), len(heights))  # no entry is drawn over another

    def test_plot(self):
        """Well-formed, with all it needs inside, readable on dark pages, and on the page that `make bench` writes."""
        need_tool("gnuplot")
        with tempfile.TemporaryDirectory() as folder:
            result = os.path.join(folder, "result.json")
            with open(result, "w", encoding="utf-8") as file:
                json.dump(self.recorded(), file)
            text = report.write(result)
            self.assertIn("(bench-lines.svg)", text)
            self.assertIn("cores_mutex_8_tasks", text)
            with open(os.path.join(folder, "bench-lines.svg"), encoding="utf-8") as file:
                drawn = file.read()
        page = xml.etree.ElementTree.fromstring(drawn)
        texts = " ".join(page.itertext())
        for words in ("cores_hand_off to Go", "fanout_100_64 to redis", "switch_2_tasks", "coracle epoll", "aim",
                      "futex", "prefers-color-scheme: dark"):
            self.assertIn(words, texts)
        self.assertNotIn("cores_mutex_8_tasks", texts)
        for element in page.iter():
            for name, value in element.attrib.items():
                self.assertFalse("href" in name and not value.startswith("#"), (name, value))
        self.assertNotRegex(drawn, r"url\(|@import|<script|<image")

    def test_nothing_to_draw(self):
        data = self.recorded()
        data["scenarios"] = {"cores_mutex_8_tasks": data["scenarios"]["cores_mutex_8_tasks"]}
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(report.draw(data, folder), [])
            self.assertEqual(os.listdir(folder), [])

    def test_earlier_commit(self):
        """A line that it lacks is left out, with a word; the others are compared."""
        class Sampler:
            def __init__(self, figures):
                self.figures = figures

            def take(self, one, entry):
                if entry.key not in self.figures:
                    raise sampling.Failed("there is no such case")
                return {"values": {"ns": self.figures[entry.key]}, "distance": 50, "changed": False, "foreign": 0.0}
        one = next(one for one in scenarios.all_scenarios(True) if one.name == "cores_hand_off")
        one.entries = compare.ours(one)
        kept, left_out = {}, []
        builds = [Sampler({"coracle": 90, "coracle_uring": 95}), Sampler({"coracle": 100})]
        compare.measure(one, builds, 3, kept, left_out)
        self.assertEqual({name: [row[0] for row in rows] for name, rows in kept.items()},
                         {"cores_hand_off, coracle": [0.9] * 3})
        self.assertEqual(left_out, ["cores_hand_off, coracle_uring is left out: there is no such case"])


if __name__ == "__main__":
    main()
