# SPDX-License-Identifier: MIT
"""coracle bench --mode packet: what is sent, what is counted of what comes back, and when there is nothing to count."""
import json
import os
import socket
import threading

from harness import Case, each_server, main, run_coracle, text_address

# In which every socket is served even on a busy machine.
DURATION = "1s" if os.environ.get("COR_SANITIZE") else "300ms"


class PacketService:
    """An echo of datagrams: answers(number, data) says what comes back, as a list. Greetings are always answered."""

    def __init__(self, answers):
        self.answers = answers
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.text = "udp://127.0.0.1:%d" % self.sock.getsockname()[1]
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            data, sender = self.sock.recvfrom(65536)
            if data == b"end":
                return
            number = int.from_bytes(data[:8], "little")
            for answer in [data] if number == 2 ** 64 - 1 else self.answers(number, data):
                self.sock.sendto(answer, sender)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with socket.socket(type=socket.SOCK_DGRAM) as last:
            last.sendto(b"end", self.sock.getsockname())
        self.thread.join(10)
        self.sock.close()


class Packet(Case):
    """Datagrams: what comes back, what does not, what comes late and what twice."""

    def measure(self, address, *options, code=0):
        """Tries again, three times at most, if the machine stood still and some were not served in time."""
        for _ in range(4):
            done = run_coracle("bench", "--mode", "packet", "-c", "3", "--warmup", "0", "--duration", DURATION,
                               "--format", "json", *options, address, seconds=60)
            told = json.loads(done.out)
            if told["starved"] == 0:
                break
        self.assertEqual(done.code, code, done.describe())
        return told, done

    @each_server("echo=udp://127.0.0.1:0", options=("--quiet",))
    def test_nothing_amiss(self, server):
        address = "udp://" + text_address(server.address())
        # One of the largest at a time: a slow server's socket has no room for three.
        for options in ((), ("--depth", "20"), ("--size", "12"), ("--size", "65507", "-c", "1"), ("--rate", "500")):
            told, done = self.measure(address, "--timeout", "20s", "--assert", "lost=0,reordered=0,duplicates=0",
                                      "--pid", str(server.pid), *options)
            self.assertGreater(told["messages"], 0, done.describe())
            self.assertEqual((told["lost"], told["errors"], told["wrong"], told["starved"]), (0, 0, 0, 0))
            self.assertGreater(told["latency_p50_us"], 0)

    def test_what_is_lost_late_and_doubled_is_counted(self):
        held = {}

        def answers(number, data):
            sender = data[8:12]
            if number in (3, 4):
                return []
            if number % 10 == 5:
                return [data, data]
            if number % 10 == 7:
                held[sender] = data
                return []
            return [data] + ([held.pop(sender)] if sender in held else [])
        with PacketService(answers) as service:
            told, done = self.measure(service.text, "--depth", "8", "--timeout", "3s")
        self.assertGreaterEqual(told["lost"], 6, done.describe())  # two of each socket
        self.assertGreaterEqual(told["duplicates"], 3)
        self.assertGreaterEqual(told["reordered"], 3)
        self.assertEqual((told["errors"], told["wrong"]), (0, 0))
        self.assertGreater(told["latency_max_us"], told["latency_p50_us"])

    def test_losses_can_be_asserted(self):
        with PacketService(lambda number, data: [] if number == 1 else [data]) as service:
            done = run_coracle("bench", "-m", "packet", "-c", "1", "--warmup", "0", "-d", DURATION, "-t", "3s",
                               "--depth", "4", "--assert", "lost=0", service.text)
        self.assertRegex(done.err, r"failed: lost=0 \(lost is [1-9]\d*\)")
        self.assertEqual(done.code, 1)
        self.assertRegex(done.out, r"(?m)^datagrams  [1-9]\d* lost \(\d+\.\d{3} %\), \d+ reordered, \d+ duplicates$")

    def test_wrong_answers(self):
        changes = (lambda data: data[:-1], lambda data: data + b"x", lambda data: data[:20] + b"!" + data[21:],
                   lambda data: data[:8] + b"\xff" + data[9:])
        with PacketService(lambda number, data: [changes[number](data) if number < 4 else data]) as service:
            told, done = self.measure(service.text, "--depth", "8", "--timeout", "3s", code=1)
        self.assertEqual(told["wrong"], 12, done.describe())  # four of each socket
        self.assertGreater(told["messages"], 0)

    def test_nobody_there(self):
        with socket.socket(type=socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % deaf.getsockname()[1]
            done = run_coracle("bench", "-m", "packet", "-t", "200ms", "udp://" + address)  # hears and says nothing
            self.assertIn("i/o timeout", done.err)
            self.assertEqual(done.code, 69, done.describe())
            deaf.connect(("127.0.0.1", 9))  # hears nobody else from now on
            done = run_coracle("bench", "-m", "packet", "udp://" + address)
            self.assertIn("connection refused", done.err)
            self.assertEqual(done.code, 69, done.describe())

    def test_command_line(self):
        for argv, text in ((("-m", "packet", "127.0.0.1:9"), "--mode packet needs datagrams"),
                           (("udp://127.0.0.1:9",), "datagrams need --mode packet"),
                           (("-m", "packet", "-s", "11", "udp://127.0.0.1:9"), "12 to 65507 bytes"),
                           (("-m", "packet", "-s", "65508", "udp://127.0.0.1:9"), "12 to 65507 bytes")):
            done = run_coracle("bench", *argv)
            self.assertIn(text, done.err)
            self.assertEqual(done.code, 2, done.describe())


if __name__ == "__main__":
    main()
