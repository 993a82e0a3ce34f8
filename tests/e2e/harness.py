# SPDX-License-Identifier: MIT
"""What all end-to-end tests share: starting programs, waiting for things, raw sockets, counting resources.

Nothing here waits for a fixed time: every wait is for a condition, with a deadline, and fails with what was seen.
Programs are started by path and stopped by their own process id. Ports come from the kernel (port 0).
"""
import contextlib
import functools
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

SOURCE = os.environ.get("COR_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("COR_BIN") or os.path.join(SOURCE, "build", "release", "coracle")
EXAMPLES = os.environ.get("COR_EXAMPLES") or os.path.join(SOURCE, "build", "release", "examples")
FULL = os.environ.get("COR_E2E_FULL") == "1"
WORKERS = (2,) if os.environ.get("COR_SANITIZE") else (1, 2)  # a sanitizer looks at memory; the orders are release's
PATIENCE = 20.0  # seconds until a wait is a failure; generous, because builds with sanitizers run these tests too

SERVICES = ("ack", "print", "greet", "broadcast", "echo", "random")
REPLY = "Sua mensagem foi recebida com sucesso".encode()
GREETING = b"Let's GO!\n"
ACK_ANSWER = ": 已经收到信息\n".encode()
TOLD = " 地址发送了请求消息：".encode()

# Whoever started this, as a job in the background for instance, may have had signals ignored; children inherit that.
for _number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD):
    signal.signal(_number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.pthread_sigmask(signal.SIG_SETMASK, ())


def wait_until(condition, what="condition", seconds=PATIENCE):
    """Calls condition() until it gives something true, and returns that; fails after the deadline."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("waited %.0f s in vain for %s" % (seconds, what() if callable(what) else what))
        pause.wait(0.005)


def gone(pid):
    """Whether a process that is no child of ours has ended."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def need_tool(name):
    """Gives the path of an installed tool, or skips the test and says why."""
    path = shutil.which(name)
    if not path:
        raise unittest.SkipTest("%s is not installed" % name)
    return path


@functools.lru_cache(maxsize=None)
def _version():
    return subprocess.run([BIN, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout


def need_json():
    """Skips the test if the program was built without json-c."""
    if "json: off" in _version():
        raise unittest.SkipTest("built without json-c: no broadcast service")


def need_admin():
    """Skips the test if the program was built without libmicrohttpd."""
    if "admin: off" in _version():
        raise unittest.SkipTest("built without libmicrohttpd: no status over HTTP")


class Program:
    """A child process whose output is collected as it comes. Use it in a `with`: it is stopped at the end."""

    def __init__(self, argv, env=None, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec=None, cwd=None, fds=()):
        full_env = dict(os.environ, **(env or {}))
        self.argv = argv
        self.started = time.monotonic()
        self.process = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=full_env,
                                        preexec_fn=preexec, cwd=cwd, bufsize=0, pass_fds=fds)
        self.pid = self.process.pid
        self._bytes = {"out": bytearray(), "err": bytearray()}
        self._news = threading.Condition()
        self._threads = []
        for name, pipe in (("out", self.process.stdout), ("err", self.process.stderr)):
            if pipe is not None:
                thread = threading.Thread(target=self._collect, args=(name, pipe), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _collect(self, name, pipe):
        while True:
            try:
                data = pipe.read(65536)
            except (OSError, ValueError):
                data = b""
            with self._news:
                if data:
                    self._bytes[name] += data
                self._news.notify_all()
            if not data:
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def raw(self, name="out"):
        with self._news:
            return bytes(self._bytes[name])

    @property
    def out(self):
        return self.raw("out").decode("utf-8", "backslashreplace")

    @property
    def err(self):
        return self.raw("err").decode("utf-8", "backslashreplace")

    def describe(self):
        return "%s\n--- stdout\n%s\n--- stderr\n%s\n--- returncode %s" % (
            " ".join(map(str, self.argv)), self.out[-3000:], self.err[-3000:], self.process.poll())

    def told(self, event):
        """How often the log has told of an event, by its reason (or ""), with those that were left out."""
        counts = {}
        for name, rest in re.findall(r"event=(\w+)( .*)?", self.err):
            reason = re.search(r" reason=(\S+)|$", rest).group(1) or ""
            if name == event or (name == "suppressed" and " of=%s " % event in rest):
                lines = int(re.search(r" lines=(\d+)", rest).group(1)) if name == "suppressed" else 1
                counts[reason] = counts.get(reason, 0) + lines
        return counts

    def wait_text(self, text, count=1, name="out", seconds=PATIENCE):
        """Waits until `text` (str, bytes or compiled str pattern) has appeared `count` times."""
        def seen():
            if isinstance(text, re.Pattern):
                found = len(text.findall(self.out if name == "out" else self.err))
            else:
                found = self.raw(name).count(text if isinstance(text, bytes) else text.encode())
            return found >= count
        deadline = time.monotonic() + seconds
        with self._news:
            while not seen():
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not any(t.is_alive() for t in self._threads)):
                    raise AssertionError("no %r (%d times) from %s" % (text, count, self.describe()))
                self._news.wait(min(left, 0.2))

    def send(self, data):
        self.process.stdin.write(data if isinstance(data, bytes) else data.encode())
        self.process.stdin.flush()

    def close_stdin(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def signal(self, number):
        os.kill(self.pid, number)

    def alive(self):
        return self.process.poll() is None

    def wait(self, seconds=PATIENCE):
        """Waits for the end of the process and of its output; gives the return code (negative: by a signal)."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("still running after %.0f s: %s" % (seconds, self.describe())) from None
        for thread in self._threads:
            thread.join(seconds)
        return code

    def stop(self):
        """Ends the process: politely, then not. Gives the return code."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        for thread in self._threads:
            thread.join(5)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return self.process.returncode

    # --- resources

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def smaps(self, field):
        """One field of smaps_rollup in KiB: Rss, Pss, Private_Dirty, ..."""
        with open("/proc/%d/smaps_rollup" % self.pid, encoding="ascii") as rollup:
            for line in rollup:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        raise AssertionError("no field %s in smaps_rollup" % field)

    def private_kib(self):
        """What it alone has written to. Clean pages are files', private or not as other processes map them or end."""
        return self.smaps("Private_Dirty")

    def is_sanitized(self):
        """Whether memory cannot be judged: a sanitizer's shadow reserves terabytes of addresses."""
        with open("/proc/%d/status" % self.pid, encoding="ascii") as status:
            return int(re.search(r"VmSize:\s+(\d+) kB", status.read()).group(1)) > 1 << 30

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.pid, encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_fds(self, count, seconds=PATIENCE):
        wait_until(lambda: self.fds() <= count, lambda: "%d descriptors, now %d of %s" % (
            count, self.fds(), self.describe()), seconds)

    def listening_ports(self, network="tcp"):
        """The ports that the process listens on, or has bound for udp, from /proc: for programs that do not say it."""
        inodes = set()
        for entry in os.listdir("/proc/%d/fd" % self.pid):
            with contextlib.suppress(OSError):
                target = os.readlink("/proc/%d/fd/%s" % (self.pid, entry))
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
        ports = []
        state = {"tcp": "0A", "udp": "07"}[network]
        for table in (network, network + "6"):
            with open("/proc/net/" + table, encoding="ascii") as rows:
                for row in list(rows)[1:]:
                    columns = row.split()
                    if columns[3] == state and columns[9] in inodes:
                        ports.append(int(columns[1].rpartition(":")[2], 16))
        return ports


# --- the program and the examples

def split_address(address):
    """Splits "host:port" for connecting to it: a wildcard host means this one."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host), int(port)


class Server(Program):
    """A program with listeners: `addresses` maps service to (host, port) or unix path, `entries` "SERVICE NETWORK"."""
    addresses, entries = None, {}

    def address(self, service=None):
        return self.entries.get(service) or self.addresses[service or next(iter(self.addresses))]

    def connect(self, service=None, **options):
        return Peer(self.address(service), **options)

    def take_over(self):
        """A successor takes over (SIGUSR2); from now on this is about that one."""
        self.signal(signal.SIGUSR2)
        self.wait_text("event=taken_over ", count=self.err.count("event=taken_over ") + 1, name="err", seconds=60)
        self.pid = int(re.findall(r"event=taken_over pid=(\d+)", self.err)[-1])

    def alive(self):
        return super().alive() if self.pid == self.process.pid else not gone(self.pid)

    def stop(self):
        for pid in map(int, re.findall(r"event=restarting pid=(\d+)", self.err)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return super().stop()


def settled_fds(server, service=None):
    """Counts the server's descriptors when it is at rest: after a first client has come and gone, two equal looks."""
    looks = [0, 0]

    def at_rest():
        looks.append(server.fds())
        return looks[-1] == looks[-2] == looks[-3] and looks[-1]
    with server.connect(service) as peer:
        peer.half_close()
        peer.gone()
    return wait_until(at_rest, "the number of descriptors to settle")


def serve(*services, workers=1, options=(), env=None, before=(), program=(), binary=BIN, **more):
    """Starts `coracle serve` for services given as "echo" or "echo=ADDRESS" (default: port 0 of the loopback).
    `before`: words of a command line that becomes the server; `program`: what exec runs; `binary`: another build."""
    if any(service.startswith("broadcast") for service in services):
        need_json()
    if "--admin" in options:
        need_admin()
    argv = [*before, binary, "serve", "--workers", str(workers), *options]
    for service in services:
        argv.append(service if "=" in service else service + "=127.0.0.1:0")
    if program:
        argv += ["--", *program]
    server = Server(argv, env=env, **more)
    try:
        server.wait_text(re.compile(r"^listening \S+ \S+ \S+$", re.M), count=len(services) or len(SERVICES))
    except BaseException:
        server.stop()
        raise
    server.served = time.monotonic()
    server.addresses, server.entries = {}, {}
    for name, network, address in re.findall(r"^listening (\S+) (\S+) (\S+)$", server.out, re.M):
        where = address if network.startswith("unix") else split_address(address)
        server.addresses[name] = server.entries[name + " " + network] = where
    return server


def coracle(*argv, **more):
    return Program([BIN, *argv], **more)


def run_coracle(*argv, stdin=b"", seconds=PATIENCE, **more):
    """Runs coracle to its end with this input; gives the finished Program with `code`."""
    return finish(coracle(*argv, **more), stdin, seconds)


def finish(program, stdin=b"", seconds=PATIENCE):
    with program:
        with contextlib.suppress(BrokenPipeError):
            if stdin:
                program.send(stdin)
        program.close_stdin()
        program.code = program.wait(seconds)
    return program


def example_path(name):
    path = os.path.join(EXAMPLES, "example_" + name)
    if not os.path.exists(path):
        raise unittest.SkipTest("%s was not built" % path)
    return path


def example(name, *argv, **more):
    return Program([example_path(name), *argv], **more)


def example_server(name, *argv, workers=1):
    """Starts an example that listens, and waits for its `listening ADDRESS` on stderr."""
    server = Server([example_path(name), *argv], env={"COR_WORKERS": str(workers)})
    pattern = re.compile(r"^(?:listening |Listening to:  )(\S+)$", re.M)
    try:
        server.wait_text(pattern, name="err")
    except BaseException:
        server.stop()
        raise
    server.addresses = {name: split_address(pattern.search(server.err).group(1))}
    return server


def text_address(address):
    host, port = address
    return "[%s]:%d" % (host, port) if ":" in host else "%s:%d" % (host, port)


# --- raw sockets

class Peer:
    """A socket for tests: exact reads with a deadline, half-close, reset. Use it in a `with`."""

    def __init__(self, address, timeout=PATIENCE, source=None, small_buffer=None, sock=None):
        if sock is None:
            if isinstance(address, str):
                sock = socket.socket(socket.AF_UNIX)
                address = "\0" + address[1:] if address.startswith("@") else address
            else:
                sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
                if small_buffer:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, small_buffer)
                if source:
                    sock.bind((source, 0))
            sock.settimeout(timeout)
            sock.connect(address)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def name(self):
        """The own address as the server sees it."""
        return text_address(self.sock.getsockname()[:2])

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def dribble(self, data):
        """Sends byte by byte, each in a segment of its own."""
        for i in range(len(data)):
            self.sock.sendall(data[i:i + 1])

    def _more(self):
        data = self.sock.recv(65536)
        self._rest += data
        return data

    def read(self, count):
        """Reads exactly `count` bytes (fewer at end of stream)."""
        while len(self._rest) < count and self._more():
            pass
        data, self._rest = self._rest[:count], self._rest[count:]
        return data

    def line(self):
        """Reads up to and including LF (or the rest at end of stream)."""
        while b"\n" not in self._rest and self._more():
            pass
        end = self._rest.find(b"\n") + 1 or len(self._rest)
        data, self._rest = self._rest[:end], self._rest[end:]
        return data

    def read_all(self):
        """Reads until end of stream; a reset is an error."""
        while self._more():
            pass
        data, self._rest = self._rest, b""
        return data

    def gone(self):
        """Waits until the server has ended the connection, by end of stream or reset; gives what came before."""
        data = b""
        try:
            data = self.read_all()
        except ConnectionError:
            pass
        return data

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


class Listener:
    """A listening socket of the test's own, to play the server for clients."""

    def __init__(self, family=socket.AF_INET, host="127.0.0.1"):
        self.sock = socket.socket(family)
        self.sock.settimeout(PATIENCE)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((host, 0))
        self.sock.listen(128)
        self.address = self.sock.getsockname()[:2]
        self.text = text_address(self.address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def accept(self):
        sock, _ = self.sock.accept()
        sock.settimeout(PATIENCE)
        return Peer(None, sock=sock)


def message(text, address="127.0.0.1:1"):
    """What a member of the broadcast room sends."""
    return json.dumps({"client_ip": address, "message": text}, separators=(",", ":"), ensure_ascii=False).encode()


def told(sender, text):
    """What the room tells the others."""
    return sender.name.encode() + TOLD + text.encode() + b"\n"


def join(case, server, count):
    """Connects members that the room knows: each has said something that was acknowledged and told to the others."""
    peers = []
    for _ in range(count):
        peer = server.connect()
        peer.send(message("here"))
        case.assertEqual(peer.line(), peer.name.encode() + ACK_ANSWER)
        for other in peers:
            case.assertEqual(other.line(), told(peer, "here"))
        peers.append(peer)
    return peers


def busy_client(server):
    """A client of the service random in the middle of a line: what it has sent of it has been read."""
    peer = server.connect("random")
    peer.send("whole\npart")  # one segment, so one read
    if not re.fullmatch(rb"\d+\n", peer.line()):
        raise AssertionError("no number from " + server.describe())
    return peer


def close_all(*peers):
    for peer in peers:
        peer.close()


def free_port():
    """A port of the loopback for a server that may end and start again. It is none of those that the kernel picks for
    whoever connects or asks for any: another one's, or a client's that tries to reach just this server."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as text:
        lowest = int(text.read().split()[0])
    for port in random.sample(range(lowest // 2, lowest), 100):
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port below %d" % lowest)


_bound = []


def closed_port():
    """An address of the loopback on which nobody listens, nor will: this process keeps it bound."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    _bound.append(sock)
    return "127.0.0.1:%d" % sock.getsockname()[1]


# --- the test case and the main of every file

class Case(unittest.TestCase):
    """A test case that shows long differences."""
    maxDiff = 4000

    def assertBase(self, server, base):
        """The server is alive and its descriptors are back at `base`."""
        self.assertTrue(server.alive(), server.describe())
        server.wait_fds(base)


def each_server(*services, options=(), **more):
    """Decorates a test method test(self, server): it runs once per number of workers, each time with a fresh
    `coracle serve` of these services, which must be alive afterwards and end with 0 on SIGTERM."""
    def decorate(test):
        @functools.wraps(test)
        def run(self):
            for workers in WORKERS:
                with self.subTest(workers=workers), \
                        serve(*services, workers=workers, options=("--grace", "1s", *options), **more) as server:
                    test(self, server)
                    self.assertTrue(server.alive(), server.describe())
                    server.signal(signal.SIGTERM)
                    self.assertEqual(server.wait(), 0, server.describe())
        return run
    return decorate


def main():
    """Runs the file's tests; 77 if every one of them was skipped."""
    if not os.path.exists(BIN):
        print("%s does not exist: build first, or set COR_BIN" % BIN, file=sys.stderr)
        sys.exit(1)
    program = unittest.main(module="__main__", exit=False, verbosity=2, warnings="ignore")
    result = program.result
    for test, reason in result.skipped:
        print("skipped: %s: %s" % (test, reason))
    if not result.wasSuccessful():
        sys.exit(1)
    skipped = {test.id().split(" ")[0] for test, _ in result.skipped}  # without the subTest's part
    sys.exit(77 if skipped and len(skipped) >= result.testsRun else 0)
