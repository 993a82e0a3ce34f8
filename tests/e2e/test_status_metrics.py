# SPDX-License-Identifier: MIT
"""What the status server counts: every metric is there, named and typed by the rules of Prometheus, and true."""
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from harness import ACK_ANSWER, Case, close_all, join, main, message, need_json, serve, wait_until
from test_status import Asked, echo, setUpModule  # noqa: F401: the last is for unittest

REASONS = ("eof", "reset", "idle", "first_byte_timeout", "write_timeout", "slow_consumer", "too_long", "protocol",
           "rate", "denied", "max_conns", "per_ip", "max_rooms", "drain", "kicked", "exec_exit", "oom", "internal")
PRESENT = {
    "coracle_build_info": "gauge", "coracle_ready": "gauge", "coracle_connections": "gauge",
    "coracle_connections_limit": "gauge", "coracle_connections_accepted_total": "counter",
    "coracle_accept_pauses_total": "counter",
    "coracle_connections_refused_total": "counter", "coracle_connections_closed_total": "counter",
    "coracle_connection_duration_seconds": "histogram", "coracle_received_bytes_total": "counter",
    "coracle_sent_bytes_total": "counter", "coracle_messages_dropped_total": "counter",
    "coracle_messages_received_total": "counter", "coracle_messages_sent_total": "counter",
    "coracle_hub_delivery_seconds": "histogram", "coracle_hub_acks_total": "counter",
    "coracle_log_lines_suppressed_total": "counter",
    "coracle_hub_queue_bytes": "gauge", "coracle_hub_slowest_queue_bytes": "gauge", "coracle_reloads_total": "counter",
    "coracle_log_lines_dropped_total": "counter", "rt_workers": "gauge", "rt_tasks": "gauge",
    "rt_tasks_spawned_total": "counter", "rt_stalls_total": "counter", "rt_steals_total": "counter",
    "rt_run_queue_length": "gauge", "rt_stack_bytes": "gauge", "rt_ring_overflow_total": "counter",
    "rt_sched_delay_seconds": "gauge", "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge", "process_open_fds": "gauge", "process_max_fds": "gauge",
    "process_start_time_seconds": "gauge", "coracle_exec_running": "gauge", "coracle_exec_exits_total": "counter",
    "coracle_sandbox_denied_total": "counter", "coracle_rooms": "gauge", "coracle_rooms_made": "gauge",
    "coracle_rooms_limit": "gauge", "coracle_rooms_opened_total": "counter", "coracle_room_members": "gauge",
    "coracle_largest_room_members": "gauge",
}
SAMPLE = re.compile(r'([a-z][a-z0-9_]*)((?:\{[a-z]+="[^"\\\n]*"(?:,[a-z]+="[^"\\\n]*")*\})?) (\d+(?:\.\d+)?)')


def read_strictly(text):
    """Reads version 0.0.4 of the text format as it is written here: each family once, with HELP, TYPE and samples, all
    names by the rules. Gives family to (type, {name and labels: number})."""
    families, name = {}, None
    if not text.endswith("\n"):
        raise AssertionError("the last line does not end")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            if name in families or not words.strip():
                raise AssertionError("twice, or without a help: " + line)
            families[name] = (None, {})
        elif line.startswith("# TYPE "):
            _, _, typed, kind = line.split(" ")
            if typed != name or families[name][0] or kind not in ("counter", "gauge", "histogram"):
                raise AssertionError("a type in the wrong place: " + line)
            if (kind == "counter") != name.endswith("_total") or re.search(r"_(ms|milliseconds|kb|percent)\b", name):
                raise AssertionError("a name against the rules: " + line)
            families[name] = (kind, {})
        else:
            found = SAMPLE.fullmatch(line)
            suffixes = ("_bucket", "_sum", "_count") if families[name][0] == "histogram" else ("",)
            if not found or found.group(1) not in [name + suffix for suffix in suffixes]:
                raise AssertionError("not a sample of %s: %r" % (name, line))
            samples = families[name][1]
            if found.group(1) + found.group(2) in samples:
                raise AssertionError("twice: " + line)
            samples[found.group(1) + found.group(2)] = float(found.group(3))
    return families


def runtime_of(asked):
    """The metrics, once a worker has come round in time: a look without one says nothing of the run-time."""
    return wait_until(lambda: (found := asked.metrics()).get("rt_workers") and found, "a worker to answer")


def stalls(asked):
    return runtime_of(asked)["rt_stalls_total"]


class Metrics(Case):
    def test_all_are_there_from_the_start(self):
        with Asked("echo", "random") as asked:
            def answered():
                found = read_strictly(asked.ask("/metrics").text)
                return "rt_workers" in found and found
            families = wait_until(answered, "a worker to answer")
            self.assertEqual({name: kind for name, (kind, _) in families.items()}, PRESENT)
            for name, (_, samples) in families.items():
                self.assertTrue(samples, name)
            closed = families["coracle_connections_closed_total"][1]
            self.assertEqual(set(closed), {'coracle_connections_closed_total{reason="%s"}' % one for one in REASONS})
            self.assertEqual(set(closed.values()), {0.0})
            self.assertEqual(len(families["coracle_connections_refused_total"][1]), 5)

    def test_by_promtool(self):
        promtool = shutil.which("promtool")
        if promtool is None:
            raise unittest.SkipTest("promtool is not installed")
        with Asked("echo") as asked:
            done = subprocess.run([promtool, "check", "metrics"], input=asked.ask("/metrics").text, text=True,
                                  capture_output=True, timeout=30, check=False)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_durations_are_of_those_that_have_closed(self):
        with Asked("echo", workers=2) as asked:
            name = "coracle_connection_duration_seconds"
            staying = asked.server.connect()
            echo(staying)
            for _ in range(5):
                with asked.server.connect() as peer:
                    echo(peer)
            asked.wait_closed(5)
            samples = read_strictly(asked.ask("/metrics").text)[name][1]
            buckets = [number for key, number in samples.items() if "_bucket" in key]
            self.assertEqual(buckets, sorted(buckets))
            self.assertEqual((buckets[-1], samples[name + "_count"]), (5, 5))
            self.assertEqual(list(samples)[len(buckets) - 1], name + '_bucket{le="+Inf"}')
            self.assertGreater(samples[name + "_sum"], 0)
            close_all(staying)

    def test_queues_of_a_room(self):
        need_json()
        with Asked("broadcast", options=("--quiet", "--slow-after", "5m")) as asked:
            with asked.server.connect() as slow, asked.server.connect() as sender:
                for peer in (slow, sender):
                    peer.send('{"message":"x"}')
                    peer.line()
                text = '{"message":"%s"}' % ("y" * 60_000)
                for _ in range(120):  # more than the sockets of one that reads nothing take
                    sender.send(text)
                    sender.line()
                samples = asked.metrics()
                self.assertGreater(samples["coracle_hub_slowest_queue_bytes"], 100_000)
                self.assertGreaterEqual(samples["coracle_hub_queue_bytes"], samples["coracle_hub_slowest_queue_bytes"])

    def test_messages_are_counted(self):
        """Each that came whole, and each that was given to a member: its own are told to it as acknowledgements."""
        need_json()
        for poller in ("epoll", "io_uring"):
            with Asked("broadcast", "random", workers=2, poller=poller, options=("--quiet",)) as asked:
                members = join(self, asked.server, 3)  # 3 received, 3 acknowledged, 1 and 2 told to others
                speaker = members[0]
                for number in range(5):
                    speaker.send(message("word %d" % number))
                    for peer in members:
                        self.assertTrue(peer.line().endswith(b"\n"))
                speaker.send("nonsense\n")
                self.assertIn(b"invalid message", speaker.line())
                with asked.server.connect("random") as peer:
                    for _ in range(4):
                        peer.send("\n")
                        peer.line()
                    peer.send("STOP\n")
                    peer.gone()
                name, wanted = "coracle_hub_delivery_seconds", 6 + 15 + 1
                samples = wait_until(lambda asked=asked, wanted=wanted: (
                    found := asked.metrics())["coracle_messages_sent_total"] == wanted + 4 and found, "all to be sent")
                self.assertEqual(samples["coracle_messages_received_total"], 3 + 5 + 5)
                self.assertEqual(samples['coracle_hub_acks_total{result="ok"}'], 3 + 5)
                self.assertEqual(samples['coracle_hub_acks_total{result="refused"}'], 1)
                self.assertEqual(samples[name + "_count"], wanted)
                self.assertEqual(samples[name + '_bucket{le="+Inf"}'], wanted)
                self.assertGreater(samples[name + "_sum"], 0)
                close_all(*members)
                asked.wait_closed(4)
                self.assertEqual(asked.metrics()["coracle_messages_sent_total"], wanted + 4)

    def test_a_late_delivery_takes_as_long_as_it_took(self):
        """One member reads nothing for a while, and what is said then waits for it."""
        need_json()
        with Asked("broadcast", options=("--quiet", "--slow-after", "5m")) as asked:
            slow, speaker = join(self, asked.server, 2)
            for _ in range(120):  # more than the sockets of one that reads nothing take
                speaker.send(message("y" * 60_000))
                self.assertIn(ACK_ANSWER, speaker.line())
            wait_until(lambda: asked.status()["connections"][0]["stuck"] > 0.15, "it to have waited")
            for _ in range(120):
                self.assertTrue(slow.line().endswith(b"y\n"))
            name = "coracle_hub_delivery_seconds"
            samples = wait_until(lambda: (found := asked.metrics())[name + "_count"] == 243 and found, "all to be told")
            self.assertGreater(samples[name + "_count"], samples[name + '_bucket{le="0.100"}'])
            self.assertGreater(samples[name + "_sum"], 0.1)

    def test_lines_of_the_log_that_are_left_out(self):
        with Asked("echo") as asked:
            peers = [asked.server.connect() for _ in range(300)]
            for peer in peers:
                echo(peer)
            asked.server.signal(signal.SIGSTOP)  # then it finds all ends at once: more in a second than are written
            close_all(*peers)
            asked.server.signal(signal.SIGCONT)
            wait_until(lambda: sum(asked.server.told("closed").values()) == 300, "all to be told of")
            written = asked.server.err.count("event=closed ")
            self.assertEqual(asked.metrics()["coracle_log_lines_suppressed_total"], 300 - written)
            self.assertLess(written, 300)

    def test_tasks_by_state_and_queues(self):
        for poller in ("epoll", "io_uring"):
            with Asked("echo", workers=2, poller=poller) as asked:
                def parked(asked=asked):
                    return runtime_of(asked)['rt_tasks{state="parked"}']
                before = parked()
                peers = [asked.server.connect() for _ in range(20)]
                for peer in peers:
                    echo(peer)
                # A few tasks of the server's own come and go meanwhile.
                wait_until(lambda: parked() > before + 15, lambda: "%d parked, %d before" % (parked(), before))

                def adds_up(asked=asked):
                    runtime = asked.status()["runtime"]
                    return "tasks" in runtime and runtime["tasks"] == sum(runtime["states"].values()) and runtime
                runtime = wait_until(adds_up, "tasks and their states, counted one after the other, to agree")
                self.assertEqual((len(runtime["queued"]), runtime["ring_overflows"]), (2, 0))
                self.assertGreaterEqual(runtime["stack_bytes"], 20 * 65536)
                close_all(*peers)
                samples = runtime_of(asked)
                self.assertIn('rt_run_queue_length{worker="1"}', samples)
                self.assertNotIn('rt_run_queue_length{worker="2"}', samples)

    def test_a_stall_is_logged_and_counted(self):
        """A whole message of megabytes is looked at in one turn. Red if nobody is told that it takes long."""
        need_json()
        options = ("--quiet", "--max-line", "64M", "--stall-after", "2ms")
        for poller in ("epoll", "io_uring"):
            with Asked("broadcast", options=options, poller=poller) as asked, asked.server.connect() as peer:
                before = stalls(asked)  # 0, unless the machine is slow
                sending = threading.Thread(target=peer.send, args=('{"message":"%s"}\n' % ("x" * 20_000_000),))
                sending.start()
                wait_until(lambda asked=asked, before=before: stalls(asked) > before, "a stall to be counted")
                asked.server.wait_text('event=stall task="session_main', name="err")
                sending.join()
                self.assertRegex(asked.server.err, r'level=warn event=stall task="session_main\+.* ms=\d+ at=".+"')
                wait_until(lambda asked=asked: asked.status()["runtime"].get("stalls", 0) > 0, "the status to say so")
                text = asked.ask("/status?format=text").text
                self.assertRegex(text, r", [1-9]\d* STALLS \(event=stall in the log\)\n")

    def test_reloads_are_counted_and_told(self):
        with tempfile.NamedTemporaryFile("w", suffix=".list") as file:
            file.write("192.0.2.0/24\n")
            file.flush()
            with Asked("echo", options=("--deny", "@" + file.name)) as asked:
                self.assertEqual(asked.status()["reloads"], {"ok": 0, "failed": 0, "last": None})
                self.assertNotIn("reloaded", asked.ask("/status?format=text").text)
                asked.server.signal(signal.SIGHUP)
                wait_until(lambda: asked.status()["reloads"]["ok"] == 1, "a reload")
                file.write("nonsense\n")
                file.flush()
                asked.server.signal(signal.SIGHUP)
                wait_until(lambda: asked.status()["reloads"]["failed"] == 1, "a failed reload")
                self.assertIsNotNone(asked.status()["reloads"]["last"])
                self.assertIn("reloaded 1 times, failed 1, last ", asked.ask("/status?format=text").text)
                self.assertEqual(asked.metrics()['coracle_reloads_total{result="failed"}'], 1)

    def test_rates_are_those_since_the_last_look(self):
        with Asked("echo") as asked:
            wait_until(lambda: asked.status()["rates"]["seconds"] >= 0.5, "time to pass")
            for _ in range(3):
                with asked.server.connect() as peer:
                    echo(peer, "x" * 1000)
            asked.server.wait_text("event=closed", count=3, name="err")  # without looks in between
            rates = asked.status()["rates"]
            self.assertAlmostEqual(rates["accepted"] * rates["seconds"], 3, 1)
            self.assertAlmostEqual(rates["closed"] * rates["seconds"], 3, 1)
            self.assertAlmostEqual(rates["received_bytes"] * rates["seconds"], 3000, -2)
            self.assertRegex(asked.ask("/status?format=text").text, r"\nin the last \d+\.\d s: accepted \d+\.\d/s, ")
            wait_until(lambda: asked.status()["rates"]["accepted"] == 0, "rates to be of the last time only")

    def test_limits_that_are_near_are_said(self):
        with Asked("echo", options=("--max-conns", "5")) as asked:
            peers = [asked.server.connect() for _ in range(3)]
            for most, word in ((3, "5,"), (4, "5 (NEAR),"), (5, "5 (FULL),")):
                while len(peers) < most:
                    peers.append(asked.server.connect())
                for peer in peers:
                    echo(peer)
                self.assertIn("connections %d of %s" % (most, word), asked.ask("/status?format=text").text)
            close_all(*peers)

    def test_the_library_is_loaded_for_those_who_ask(self):
        def mapped(server):
            with open("/proc/%d/maps" % server.pid, encoding="ascii", errors="replace") as maps:
                return "libmicrohttpd" in maps.read()
        with Asked("echo") as asked, serve("echo") as plain:
            self.assertTrue(mapped(asked.server))
            self.assertFalse(mapped(plain))


if __name__ == "__main__":
    main()
