# SPDX-License-Identifier: MIT
"""The servers that are compared, and how they are started: pinned to one CPU, on a port the kernel picks."""
import functools
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = str(CPUS[0]), str(CPUS[1 % len(CPUS)])
BOTH_CPUS = SERVER_CPU + "," + LOAD_CPU
START_SECONDS = 20  # until a server that should have started counts as failed
# No server here uses more than one CPU: what is compared is the work per message, not how many CPUs are at hand.
ENVIRONMENT = dict(os.environ, GOMAXPROCS="1", COR_WORKERS="1")
PORT = "PORT"  # in a command: a free port goes here, for servers that do not tell which one they got
LABELS = {
    "raw": "raw epoll", "raw_uring": "raw io_uring", "raw_c2c": "plain C", "coracle": "coracle epoll",
    "coracle_uring": "coracle io_uring", "coracle_logged": "coracle epoll", "coracle_logged_uring": "coracle io_uring",
    "room": "coracle epoll", "room_uring": "coracle io_uring", "go": "Go", "go_logged": "Go", "go_cores": "Go",
    "go_spawn": "Go", "go_room": "Go tutorial", "nats": "nats-server", "raw_udp": "raw recvmmsg, sendmmsg",
    "udp": "coracle epoll", "udp_uring": "coracle io_uring", "go_udp": "Go",
}


class Missing(Exception):
    """A server that cannot be compared with here, and why."""


def need_two_cpus():
    if len(CPUS) < 2:
        raise SystemExit("two CPUs are needed: one for the server, one for the load generator")


def raise_file_limit():
    """Allows as many open files as the machine lets us; children inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pinned(cpus, argv):
    return ["taskset", "-c", cpus] + argv


@functools.lru_cache(maxsize=None)
def without_limits(program):
    """The peers have no limits on who connects, how often, and how long it is silent; old builds had none either."""
    if not os.path.exists(program):
        return []
    told = subprocess.run([program, "serve", "--help"], capture_output=True, text=True, timeout=20, check=False).stdout
    return ["--no-limits"] if "--no-limits" in told else []


def coracle(build, poller, service, level="error", network=""):
    program = os.path.join(build, "coracle")
    return [program, "serve", "--quiet", "--log-level", level, "--poller", poller, *without_limits(program),
            service + "=" + network + "127.0.0.1:0"]


def known(build):
    """Every server and every peer of a benchmark: name -> command. Those of Go are named by their source."""
    tool = lambda name: os.path.join(build, "bench", name)  # noqa: E731
    return {
        "raw": [tool("raw_echo_epoll")],
        "raw_uring": [tool("raw_echo_uring")],
        "coracle": coracle(build, "epoll", "echo"),
        "coracle_uring": coracle(build, "io_uring", "echo"),
        "coracle_logged": coracle(build, "epoll", "echo", "info"),
        "coracle_logged_uring": coracle(build, "io_uring", "echo", "info"),
        "go": ["go/echo.go"],
        "go_logged": ["go/echo.go", "-log"],
        "raw_udp": [tool("raw_echo_udp")],
        "udp": coracle(build, "epoll", "echo", network="udp4://"),
        "udp_uring": coracle(build, "io_uring", "echo", network="udp4://"),
        "go_udp": ["go/echo_udp.go"],
        "go_cores": ["go/cores.go"],
        "go_spawn": ["go/spawn.go"],
        "raw_c2c": [tool("raw_c2c")],
        "libuv": [tool("peer_echo_uv")],
        "libevent": [tool("peer_echo_event")],
        "room": coracle(build, "epoll", "broadcast"),
        "room_uring": coracle(build, "io_uring", "broadcast"),
        "go_room": ["go/room.go"],
        "nats": ["nats-server", "--addr", "127.0.0.1", "--port", PORT],
        "redis": ["redis-server", "--bind", "127.0.0.1", "--port", PORT, "--save", "", "--appendonly", "no"],
    }


def build_go(source, folder):
    """Builds one of Go's programs and gives its path. What the compiler keeps for the next time is in the folder."""
    if not shutil.which("go"):
        raise Missing("go is not installed")
    binary = os.path.join(folder, "go_" + os.path.basename(source)[:-len(".go")])
    env = dict(os.environ, GOCACHE=os.path.join(folder, "go-cache"), GO111MODULE="off")
    subprocess.run(["go", "build", "-o", binary, os.path.join(HERE, source)], env=env, check=True)
    return binary


def command(name, build, folder):
    """The command of one server, built if it is Go's."""
    if name not in known(build):
        raise SystemExit("unknown server %s; there are: %s" % (name, " ".join(known(build))))
    argv = known(build)[name]
    if argv[0].endswith(".go"):
        return [build_go(argv[0], folder)] + argv[1:]
    if not shutil.which(argv[0]):
        raise Missing("%s is not there" % os.path.basename(argv[0]))
    return argv


def commands(build, extra, wanted, folder):
    """The servers to compare, in order: name -> command. What is not installed is left out, and said."""
    chosen = {}
    for name in wanted:
        try:
            chosen[name] = command(name, build, folder)
        except Missing as reason:
            print("%s is left out: %s" % (name, reason), file=sys.stderr)
    for text in extra:
        name, _, rest = text.partition("=")
        chosen[name] = rest.split()
    return chosen


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


class Server:
    """A running server. Use it in a `with`: it is stopped at the end."""

    def __init__(self, argv, cpus=SERVER_CPU, wrapper=(), listeners=1):
        """`wrapper` is a command that runs the server as its child, such as strace. With several listeners `address`
        has all of their addresses, with commas between them."""
        # A file, not a pipe: nobody reads what a server says while it is measured.
        self.output = tempfile.TemporaryFile("w+")
        port = free_port() if PORT in argv else None
        argv = [str(port) if word == PORT else word for word in argv]
        self.process = subprocess.Popen(
            list(wrapper) + pinned(cpus, argv), stdout=subprocess.PIPE if port is None else self.output,
            stderr=self.output, env=ENVIRONMENT, text=True)
        try:
            self.address = self.announced(listeners) if port is None else self.answering(port)
            self.pid = self.child() if wrapper else self.process.pid
        except BaseException:
            self.stop()
            raise
        if self.address is None:
            text = self.said()
            self.stop()
            raise Missing("it did not start: %s" % text)

    def announced(self, listeners):
        """The addresses in the lines `listening SERVICE NETWORK ADDRESS`; None if the server ends without them."""
        found = []
        for line in self.process.stdout:
            if line.startswith("listening "):
                found.append(line.split()[3])
            if len(found) == listeners:
                return ",".join(found)
        return None

    def answering(self, port):
        """Waits until the server accepts connections."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return "127.0.0.1:%d" % port
            except ConnectionRefusedError:
                time.sleep(0.02)
        return None

    def child(self):
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid), encoding="ascii") as file:
            return int(file.read().split()[0])

    def said(self):
        self.output.seek(0)
        return self.output.read().strip()[-500:]

    def cpu_ticks(self):
        with open("/proc/%d/stat" % self.pid, encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def status_bytes(self, name):
        """A figure of /proc/PID/status, such as VmHWM: the most memory that was resident at a time."""
        with open("/proc/%d/status" % self.pid, encoding="ascii") as file:
            for line in file:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) * 1024
        raise KeyError(name)

    def private_bytes(self):
        """Memory that belongs to this process alone."""
        total = 0
        with open("/proc/%d/smaps_rollup" % self.pid, encoding="ascii") as file:
            for line in file:
                if line.startswith(("Private_Clean:", "Private_Dirty:")):
                    total += int(line.split()[1]) * 1024
        return total

    def stop(self):
        """Ends the server; under a wrapper its child, so that the wrapper can say what it has seen."""
        pid = getattr(self, "pid", self.process.pid)
        if self.process.poll() is None:
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGCONT)  # a generator that died may have left it stopped
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.kill(pid, signal.SIGKILL)
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.output.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def about():
    """One line about the machine."""
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    kernel = os.uname()
    return "%s, %d CPUs, %s %s %s" % (model, os.cpu_count(), kernel.sysname, kernel.release, kernel.machine)
