# SPDX-License-Identifier: MIT
"""coracle bench: each mode against real servers, what it says of servers that do wrong, its formats and exit codes."""
import contextlib
import csv
import functools
import io
import json
import os
import pty
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import (ACK_ANSWER, BIN, TOLD, WORKERS, Case, Listener, Program, closed_port, coracle, each_server, main,
                     need_json, run_coracle, serve, text_address, wait_until)

# A window in which a machine that is not too busy serves every connection; see steady() for one that is. Client and
# server use both processors as long as it lasts.
SHORT = ("-c", "10", "--warmup", "30ms", "--duration", "300ms" if os.environ.get("COR_SANITIZE") else "200ms")


class Service:
    """A server of the test's own: handle(sock, number) runs in a thread per connection, numbered from 0."""

    def __init__(self, handle):
        self.handle = handle
        self.listener = Listener()
        self.text = self.listener.text
        self.stopping = threading.Event()
        self.sockets = []
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        self.listener.sock.settimeout(None)
        with contextlib.suppress(OSError):
            while not self.stopping.is_set():
                sock, _ = self.listener.sock.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                thread = threading.Thread(target=self._run, args=(sock, len(self.sockets)), daemon=True)
                self.sockets.append(sock)
                self.threads.append(thread)
                thread.start()

    def _run(self, sock, number):
        with contextlib.suppress(OSError), sock:
            self.handle(sock, number)

    def pause(self, seconds):
        """The server's slowness: waits for so long, less if it is being stopped."""
        self.stopping.wait(seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping.set()
        with contextlib.suppress(OSError):
            self.listener.sock.shutdown(socket.SHUT_RDWR)
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)
        self.listener.sock.close()


def echo(sock, change=lambda data: data):
    """Echoes until the end of the stream; `change` may alter each piece, or return None to hang up."""
    while True:
        data = sock.recv(65536)
        data = change(data) if data else None
        if not data:
            return
        sock.sendall(data)


def bench(*argv, **more):
    """Runs `coracle bench` with JSON output; gives the program with its result as `result`."""
    done = run_coracle("bench", "--format", "json", *argv, **more)
    done.result = json.loads(done.out) if done.out else None
    return done


def steady(*argv, **more):
    """As bench; tries again, three times at most, if the machine stood still and some were not served in time."""
    for _ in range(4):
        done = bench(*argv, **more)
        if done.result is None or done.result["starved"] == 0 and done.result["messages"] > 0:
            break
    return done


class BenchCase(Case):
    def assertClean(self, done, least=1):
        self.assertEqual(done.code, 0, done.describe())
        result = done.result
        self.assertEqual((result["errors"], result["wrong"], result["starved"]), (0, 0, 0), done.describe())
        self.assertGreaterEqual(result["messages"], least)
        self.assertIsNone(result["error"])
        times = [result["latency_%s_us" % name] for name in ("p50", "p90", "p99", "p999", "p9999", "max")]
        self.assertEqual(times, sorted(times))
        self.assertGreater(times[0], 0)
        self.assertLessEqual(result["latency_mean_us"], times[-1])
        return result


class Modes(BenchCase):
    @each_server("echo")
    def test_echo(self, server):
        address = text_address(server.address())
        for more in ((), ("--workers", "2", "--depth", "16"), ("--size", "1"), ("--size", "16k", "--depth", "8"),
                     ("--size", "300k", "-c", "3", "--duration", "300ms")):
            result = self.assertClean(steady(*SHORT, *more, address))
            self.assertAlmostEqual(result["rate"], result["messages"] / result["seconds"], delta=1)

    def test_depth_is_kept_full(self):
        def answer_whole_windows(sock, number):
            while data := sock.recv(40, socket.MSG_WAITALL):
                sock.sendall(data)

        with Service(answer_whole_windows) as server:
            result = self.assertClean(steady(*SHORT, "--depth", "4", "--size", "10", server.text))
            self.assertEqual((result["depth"], result["messages"] % 4), (4, 0))

    def test_echo_over_a_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'echo"1".sock')
            with serve("echo=unix://" + path):
                self.assertEqual(self.assertClean(steady(*SHORT, "unix://" + path))["address"], path)
                done = run_coracle("bench", "-f", "csv", *SHORT, "unix://" + path)
                self.assertEqual(list(csv.DictReader(io.StringIO(done.out)))[0]["address"], path)

    @each_server("echo")
    def test_open_loop_keeps_its_rate(self, server):
        for _ in range(4):  # again, if the machine stood still for half of the time
            done = steady("-c", "7", "--rate", "0.5k", "--duration", "1s", text_address(server.address()))
            result = self.assertClean(done)
            if abs(result["messages"] - 500) <= 250:
                break
        self.assertEqual((result["loop"], result["target_rate"]), ("open", 500))
        self.assertLessEqual(abs(result["messages"] - 500), 250, done.describe())

    @each_server("random")
    def test_line(self, server):
        address = text_address(server.address())
        self.assertClean(steady("-m", "line", *SHORT, address))
        self.assertClean(steady("-m", "line", "--depth", "16", "--line", "x", *SHORT, address))

    @each_server("echo")
    def test_line_that_is_expected(self, server):
        address = text_address(server.address())
        self.assertClean(steady("-m", "line", "--line", "hi", "--expect", "hi", *SHORT, address))
        for other in ("ho", "h", "hi!"):
            done = bench("-m", "line", "--line", "hi", "--expect", other, *SHORT, address)
            self.assertEqual(done.code, 1)
            self.assertGreater(done.result["wrong"], 0)

    @each_server("echo")
    def test_connect(self, server):
        for more in (("--rst",), ("--rate", "200")):  # as fast as it can, with FIN, would use up the ports of all tests
            self.assertClean(steady("-m", "connect", *SHORT, "-c", "8", *more, text_address(server.address())))

    def test_connect_closes_with_fin_or_rst(self):
        ends = []

        def note_end(sock, number):
            try:
                echo(sock)
                ends.append("FIN")
            except ConnectionResetError:
                ends.append("RST")

        for more, expected in ((), "FIN"), (("--rst",), "RST"):
            with Service(note_end) as server:
                ends.clear()
                done = steady("-m", "connect", *SHORT, "-d", "1s", "-c", "2", "--rate", "20", *more, server.text)
                self.assertClean(done)
                wait_until(lambda: len(ends) == len(server.sockets), "all ends")
            # The first connection of each only looks whether somebody is there.
            self.assertGreaterEqual(ends.count(expected), max(len(ends) - 2, 3), ends)

    def test_idle_is_silent(self):
        heard = []

        def wait(sock, number):
            sock.recv(1, socket.MSG_PEEK)
            heard.append(time.monotonic())
            echo(sock)

        with Service(wait) as server:
            begin = time.monotonic()
            self.assertClean(bench("-m", "idle", "-c", "5", "-d", "700ms", "--rate", "100", server.text))
            self.assertEqual(len(heard), 5)
            self.assertGreater(min(heard) - begin, 0.7)

    @each_server("echo")
    def test_idle(self, server):
        result = self.assertClean(steady("-m", "idle", "-c", "200", "-d", "300ms", text_address(server.address())), 200)
        self.assertEqual(result["messages"], 200)

    def test_fanout(self):
        need_json()
        for workers in WORKERS:
            with serve("broadcast", workers=workers, options=("--quiet",)) as server:
                address = text_address(server.address())
                for more in ((), ("--depth", "1"), ("--depth", "9", "-s", "12"), ("-s", "4k", "--workers", "2"),
                             ("--rate", "100")):
                    self.assertClean(steady("-m", "fanout", *SHORT, *more, address), 10)

    def test_fanout_with_a_stalled_receiver(self):
        need_json()
        with serve("broadcast", options=("--quiet", "--slow-policy", "drop-oldest")) as server:
            address = text_address(server.address())
            self.assertClean(steady("-m", "fanout", "--stalled", "2", "-s", "4k", *SHORT, address), 8)

    @each_server("echo")
    def test_several_addresses(self, server):
        address = text_address(server.address())
        with Service(lambda sock, number: echo(sock)) as other:
            self.assertClean(steady(*SHORT, "-c", "4", address, other.text))
            self.assertEqual(len(other.sockets), 2)


class BadServers(BenchCase):
    def test_a_wrong_byte(self):
        def flip(sock, number):
            seen = 0

            def change(data):
                nonlocal seen
                begin, seen = seen, seen + len(data)
                if number == 2 and begin <= 30 < seen:
                    at = 30 - begin
                    data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
                return data
            echo(sock, change)

        with Service(flip) as server:
            done = bench(*SHORT, "-c", "5", "-d", "500ms", server.text)
            self.assertEqual(done.code, 1)
            self.assertEqual((done.result["wrong"], done.result["errors"]), (1, 0))
            self.assertIn("failed: wrong=0", done.err)

    def test_more_than_was_asked_for(self):
        # One byte too many, and even the one that would come next.
        with Service(lambda sock, number: echo(sock, lambda data: data + bytes([(data[-1] + 1) % 251]))) as server:
            done = bench(*SHORT, "-c", "2", server.text)
            self.assertEqual((done.code, done.result["wrong"]), (1, 2))
        with Service(lambda sock, number: echo(sock, lambda data: data + b"!\n")) as server:
            done = bench("-m", "line", *SHORT, "-c", "2", server.text)
            self.assertEqual((done.code, done.result["wrong"]), (1, 2))

    def test_a_connection_that_is_never_answered(self):
        def stall(sock, number):
            if number == 1:
                while sock.recv(65536):
                    pass
            echo(sock)

        with Service(stall) as server:
            done = bench("-c", "4", "-d", "2s", "--timeout", "2s", server.text)
            result = done.result
            self.assertEqual((done.code, result["starved"], result["timeouts"], result["wrong"]), (1, 1, 1, 0))
            self.assertIn("failed: starved=0", done.err)
            self.assertIn("failed: errors=0", done.err)
            self.assertEqual(result["error"], "no answer in time")

    def test_a_connection_that_is_closed(self):
        def leave(sock, number):
            echo(sock, (lambda data: data) if number != 1 else (lambda data: None))

        with Service(leave) as server:
            for more, code in ((), 1), (("--assert", "errors=1,starved<=1"), 0), (("--assert", "errors<1"), 1):
                server.sockets.clear()
                done = bench("-c", "4", "-d", "1s", *more, server.text)
                self.assertEqual((done.code, done.result["lost_connections"]), (code, 1), done.describe())
                self.assertEqual(done.result["error"], "the server closed a connection")

    def test_a_known_delay(self):
        with Service(lambda sock, number: echo(sock, lambda data: server.pause(0.05) or data)) as server:
            for more in ((), ("--rate", "20")):
                result = self.assertClean(steady("-c", "5", "-d", "1s", *more, server.text))
                self.assertGreaterEqual(result["latency_p50_us"], 50e3)
                if not more:  # each of five is under way all the time, but for what begins before and ends after it
                    total, longest = result["latency_mean_us"] * result["messages"], result["latency_max_us"]
                    self.assertAlmostEqual(total, 5e6 * result["seconds"], delta=5 * longest + 5e4)

    def test_a_pause_shows_in_an_open_loop(self):
        def hold(sock, number):
            count = 0

            def change(data):
                nonlocal count
                count += 1
                if count == 20:
                    server.pause(1)
                return data
            echo(sock, change)

        with Service(hold) as server:
            options = ("-c", "1", "-d", "3s", "--warmup", "0")
            closed = self.assertClean(steady(*options, server.text))
            opened = self.assertClean(steady(*options, "--rate", "100", server.text))
            # One message of many waits for the server; but 100 of 300 are due while it does not answer.
            self.assertGreaterEqual(closed["latency_max_us"], 990e3)
            self.assertGreater(opened["latency_p90_us"], 500e3)
            self.assertLess(closed["latency_p90_us"], opened["latency_p90_us"])

    def test_a_server_that_is_too_slow_for_the_rate(self):
        with Service(lambda sock, number: echo(sock, lambda data: server.pause(0.02) or data)) as server:
            done = bench("-c", "1", "--rate", "1000", "-d", "500ms", server.text)
            self.assertIn("the rate was not reached", done.result["verdict"])
            self.assertGreater(done.result["latency_p90_us"], 100e3)

    def test_a_room_that_does_not_tell_the_truth(self):
        """A room of the test's own, which changes one message, leaves one out, or tells one twice."""
        lies = {"change": lambda line: line[:-3] + b"#" + line[-2:], "leave out": lambda line: b"",
                "repeat": lambda line: line * 2, "nothing": lambda line: line}

        def room(sock, number):
            name = text_address(sock.getpeername()).encode()
            data = b""
            while piece := sock.recv(65536):
                *messages, data = (data + piece).split(b"}")
                for message in messages:
                    text = json.loads(message + b"}")["message"].encode()
                    sock.sendall(name + ACK_ANSWER)
                    line = name + TOLD + text + b"\n"
                    for other in list(server.sockets):
                        if other is not sock:
                            liar = text.startswith(b"000000000003") and other is server.sockets[-1]
                            other.sendall(lies[lie](line) if liar else line)

        for lie in lies:
            with Service(room) as server:
                done = bench("-m", "fanout", "-c", "3", "-d", "1s", "--depth", "4", server.text)
                self.assertIsNotNone(done.result, done.describe())
                self.assertEqual((done.code, done.result["wrong"]), (0, 0) if lie == "nothing" else (1, 1), lie)

    def test_no_room_for_a_fanout(self):
        with serve("echo") as server:
            done = bench("-m", "fanout", *SHORT, "-c", "2", text_address(server.address()))
            self.assertEqual((done.code, done.result), (1, None))
            self.assertIn("does not answer as 'coracle serve broadcast'", done.err)

    def test_nobody_there(self):
        for mode in ("echo", "line", "connect", "idle", "fanout"):
            done = run_coracle("bench", "-m", mode, "-c", "3", closed_port())
            self.assertEqual((done.code, done.out), (69, ""), done.describe())
            self.assertRegex(done.err, r"\Acoracle bench: dial tcp 127.0.0.1:\d+: connect: connection refused\n\Z")


class Output(BenchCase):
    def setUp(self):
        self.server = serve("echo")
        self.addCleanup(self.server.stop)
        self.address = text_address(self.server.address())

    def test_text(self):
        done = run_coracle("bench", *SHORT, "--pid", str(self.server.pid), self.address)
        self.assertEqual(done.code, 0, done.describe())
        self.assertRegex(done.out, r"\Aecho tcp://127.0.0.1:\d+\n10 connections, 64 bytes, depth 1, 1 worker, ")
        self.assertRegex(done.out, r"latency +mean +p50 +p90 +p99 +p99.9 +p99.99 +max\n( +[0-9.]+(us|ms|s)){7}\n")
        self.assertRegex(done.out, r"\nmessages +\d+, \d+/s, ")
        self.assertRegex(done.out, r"\nerrors +0 \(0 failed to connect, 0 lost, 0 timed out\), wrong 0, starved 0\n")
        self.assertRegex(done.out, r"\nserver +\d+\.\d+ us of CPU time per message, \d+ % of \d+ cores?, peak RSS ")
        self.assertRegex(done.out, r"\ngenerator +\d+\.\d+ us of CPU time per message, \d+ % of 1 worker\n")

    def test_server_usage(self):
        # The kernel counts in ticks of 10 ms: long enough for some of them, whatever else runs.
        result = self.assertClean(steady(*SHORT, "-d", "1s", "--pid", str(self.server.pid), self.address))
        self.assertGreater(result["server_cpu_us"], 0.5)
        self.assertEqual(result["server_cores"], len(os.sched_getaffinity(0)))
        self.assertGreater(result["server_peak_rss_bytes"], 1 << 20)
        self.assertGreater(result["server_cpu_share"], 0)
        self.assertIsNone(self.assertClean(steady(*SHORT, self.address))["server_cpu_us"])

    def test_csv_has_the_figures_of_json(self):
        named = self.assertClean(steady(*SHORT, self.address))
        done = run_coracle("bench", "-f", "csv", *SHORT, self.address)
        head, row = csv.reader(io.StringIO(done.out))
        self.assertEqual(len(head), len(row))
        self.assertEqual(set(head), set(named) - {"network", "error", "verdict", "interrupted"})
        values = dict(zip(head, row))
        self.assertEqual((values["mode"], values["connections"], values["server_cpu_us"]), ("echo", "10", ""))

    def test_hdr(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.hdr")
            done = run_coracle("bench", "-f", "hdr", "-o", path, *SHORT, self.address)
            self.assertEqual(done.code, 0, done.describe())
            self.assertIn("\nmessages", done.out)
            with open(path, encoding="ascii") as file:
                lines = file.read().split("\n")
        self.assertEqual(lines[0].split(), ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"])
        self.assertEqual((lines[1], lines[-1]), ("", ""))
        rows = [list(map(float, line.split())) for line in lines[2:-4]]
        for before, after in zip(rows, rows[1:]):
            self.assertLessEqual(before[0], after[0])
            self.assertLess(before[1], after[1])
            self.assertLessEqual(before[2], after[2])
        self.assertEqual(rows[0][1], 0)
        self.assertEqual((len(rows[-1]), rows[-1][1]), (3, 1))
        for row in rows[:-1]:
            self.assertAlmostEqual(row[3], 1 / (1 - row[1]), delta=0.01 + row[3] / 100)
            self.assertGreaterEqual(row[2] + 1e-6, row[1] * rows[-1][2])
        self.assertRegex(lines[-4], r"^#\[Mean    = +[0-9.]+, StdDeviation   = +[0-9.]+\]$")
        self.assertRegex(lines[-3], r"^#\[Max     = +%.3f, Total count    = +%d\]$" % (rows[-1][0], rows[-1][2]))
        self.assertRegex(lines[-2], r"^#\[Buckets = +\d+, SubBuckets     = +\d+\]$")

    def test_output_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            done = run_coracle("bench", "-f", "json", "-o", path, "--quiet", *SHORT, self.address)
            self.assertEqual((done.code, done.out), (0, ""), done.describe())
            with open(path, encoding="utf-8") as file:
                self.assertEqual(json.load(file)["mode"], "echo")
            done = run_coracle("bench", "-o", os.path.join(folder, "no", "such"), *SHORT, self.address)
            self.assertEqual((done.code, done.out), (1, ""))
            self.assertIn("no such file or directory", done.err)
        done = run_coracle("bench", "-o", "/dev/full", *SHORT, self.address)
        self.assertEqual(done.code, 1, done.describe())

    def test_progress_is_for_terminals(self):
        argv = [BIN, "bench", "--rate", "1000", "--duration", "2500ms", "--warmup", "0", self.address]
        for more, expected in ((), True), (("--quiet",), False):
            control, terminal = pty.openpty()
            program = subprocess.Popen(argv + list(more), stdout=subprocess.PIPE, stderr=terminal)
            os.close(terminal)
            shown = b""
            with contextlib.suppress(OSError):  # EIO when the other end is closed
                while data := os.read(control, 4096):
                    shown += data
            os.close(control)
            out, _ = program.communicate(timeout=20)
            self.assertEqual((program.returncode, b"\nmessages" in out), (0, True))
            self.assertEqual(b" messages " in shown and b"/s" in shown, expected, shown)

    def test_assert(self):
        done = steady(*SHORT, "--assert", "p99<1m, rate>1,max<=1h,mean>0,starved=0", self.address)
        self.assertClean(done)
        done = bench(*SHORT, "--assert", "p50<1ns,rate>=1G,p99.9>1ns", self.address)
        self.assertEqual(done.code, 1)
        self.assertRegex(done.err, r"\Acoracle bench: failed: p50<1ns \(p50 is [0-9.]+us\)\n"
                                   r"coracle bench: failed: rate>=1G \(rate is \d+\)\n\Z")


class Limits(BenchCase):
    def limited(self, soft, hard, *argv):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return steady(*argv, preexec=limit)

    @each_server("echo")
    def test_descriptors(self, server):
        address = text_address(server.address())
        self.assertClean(self.limited(64, 1024, "-c", "100", "-d", "300ms", address))
        done = self.limited(64, 128, "-c", "100", "-d", "300ms", address)
        self.assertEqual((done.code, done.out), (75, ""))
        self.assertRegex(done.err, r"100 connections need \d+ descriptors and the limit is 128: raise it \('ulimit ")

    def test_interrupt_gives_the_results_so_far(self):
        answered = threading.Event()

        def handle(sock, number):
            echo(sock, lambda data: answered.set() or data)

        with Service(handle) as server, \
                coracle("bench", "-d", "10m", "--warmup", "0", "-c", "2", server.text) as program:
            wait_until(answered.is_set, "a message")
            wait_until(lambda: len(server.sockets) == 2, "both connections")
            server.pause(0.2)
            program.signal(signal.SIGINT)
            self.assertEqual(program.wait(), 0, program.describe())
            self.assertIn("(interrupted)", program.out)
            self.assertIn("wrong 0", program.out)

    def test_nohup(self):
        """The terminal's hang-up ends a run with what there is, unless whoever started it has it ignored."""
        for action, told in (signal.SIG_DFL, True), (signal.SIG_IGN, False):
            with self.subTest(told=told), Service(lambda sock, number: echo(sock)) as server, Program(
                    [BIN, "bench", "-d", "1s", "--warmup", "0", "-c", "2", server.text],
                    preexec=functools.partial(signal.signal, signal.SIGHUP, action)) as program:
                wait_until(lambda: len(server.sockets) == 2, "both connections")
                program.signal(signal.SIGHUP)
                ended = program.wait() == 128 + signal.SIGHUP or "(interrupted)" in program.out
                self.assertEqual(ended, told, program.describe())

    def test_interrupt_before_the_first_result(self):
        with Service(lambda sock, number: echo(sock)) as server, \
                coracle("bench", "--warmup", "10m", "-c", "2", server.text) as program:
            wait_until(lambda: len(server.sockets) == 2, "both connections")
            program.signal(signal.SIGTERM)
            self.assertEqual(program.wait(), 128 + signal.SIGTERM, program.describe())
            self.assertEqual(program.out, "")

    def test_mistakes(self):
        for argv, text in (
                ([], "no ADDRESS"), (["-m", "ehco"], "echo"), (["--conections", "3"], "'--connections'"),
                (["--rst"], "--mode connect"), (["--line", "x"], "--mode line"), (["--stalled", "1"], "--mode fanout"),
                (["-m", "fanout", "-c", "2", "--stalled", "2"], "at least one has to read"),
                (["-m", "fanout", "-s", "11"], "at least 12"), (["-m", "line", "-s", "1MiB"], "at most"),
                (["-m", "line", "--line", "a\nb"], "one line"), (["-d", "0"], "more than 0"),
                (["-r", "fast"], "'fast' is not a number"), (["-r", "0"], "'0' is not a number"),
                (["--pid", str(1 << 22)], "no process"), (["-c", "0"], "a number from 1"),
                (["--assert", "p98<5ms"], "expected a metric: p50 ")):
            done = run_coracle("bench", *argv, *(["127.0.0.1:1"] if argv else []))
            self.assertEqual((done.code, done.out), (2, ""), done.describe())
            self.assertIn(text, done.err)

    def test_a_mistake_in_assert_is_pointed_at(self):
        done = run_coracle("bench", "--assert", "errors=0,p99<5", "127.0.0.1:1")
        self.assertEqual(done.code, 2)
        lines = done.err.split("\n")
        self.assertIn("expected a duration", lines[0])
        self.assertEqual(lines[1:], ["  errors=0,p99<5", "  " + " " * 13 + "^", ""])

    def test_help(self):
        done = run_coracle("bench", "--help")
        self.assertEqual((done.code, done.err), (0, ""))
        self.assertEqual(done.out, run_coracle("help", "bench").out)
        self.assertLessEqual(max(map(len, done.out.split("\n"))), 120)
        for word in ("echo", "line", "connect", "fanout", "idle", "--rate", "--assert", "p99.99", "ADDRESS"):
            self.assertIn(word, done.out)


if __name__ == "__main__":
    main()
