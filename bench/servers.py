# SPDX-License-Identifier: MIT
"""The servers that are compared, and how they are started: pinned to one CPU, on a port the kernel picks."""
import os
import resource
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER_CPU, LOAD_CPU = "0", "1"
# No server here uses more than one CPU: what is compared is the work per message, not how many CPUs are at hand.
ENVIRONMENT = dict(os.environ, GOMAXPROCS="1", COR_WORKERS="1")


def raise_file_limit():
    """Allows as many open files as the machine lets us; children inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pinned(cpu, command):
    return ["taskset", "-c", cpu] + command


def build_go(folder):
    """Builds Go's server; None without Go."""
    if not shutil.which("go"):
        return None
    binary = os.path.join(folder, "echo_go")
    env = dict(os.environ, GOCACHE=os.path.join(folder, "cache"), GO111MODULE="off")
    subprocess.run(["go", "build", "-o", binary, os.path.join(HERE, "go", "echo.go")], env=env, check=True)
    return binary


def commands(build, extra, wanted, folder):
    """The servers to compare, in order: name -> command."""
    known = {
        "raw": [os.path.join(build, "bench", "raw_echo_epoll")],
        "coracle": [os.path.join(build, "coracle"), "serve", "--quiet", "--log-level", "error", "echo=127.0.0.1:0"],
    }
    if "go" in wanted:
        binary = build_go(folder)
        if binary:
            known["go"] = [binary]
        else:
            print("go is not installed: left out", file=sys.stderr)
            wanted = [name for name in wanted if name != "go"]
    chosen = {}
    for name in wanted:
        if name not in known:
            raise SystemExit("unknown server %s; there are: raw coracle go" % name)
        chosen[name] = known[name]
    for text in extra:
        name, _, command = text.partition("=")
        chosen[name] = command.split()
    return chosen


class Server:
    """A running server. Use it in a `with`: it is stopped at the end."""

    def __init__(self, command):
        # A file, not a pipe: nobody reads what a server says while it is measured.
        self.output = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(pinned(SERVER_CPU, command), stdout=subprocess.PIPE, stderr=self.output,
                                        env=ENVIRONMENT, text=True)
        self.pid = self.process.pid
        self.address = None
        for line in self.process.stdout:
            if line.startswith("listening "):
                self.address = line.split()[3]
                break
        if self.address is None:
            self.process.wait()
            self.output.seek(0)
            raise SystemExit("%s did not start:\n%s" % (" ".join(command), self.output.read()))

    def cpu_ticks(self):
        with open("/proc/%d/stat" % self.pid, encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def private_bytes(self):
        """Memory that belongs to this process alone."""
        total = 0
        with open("/proc/%d/smaps_rollup" % self.pid, encoding="ascii") as file:
            for line in file:
                if line.startswith(("Private_Clean:", "Private_Dirty:")):
                    total += int(line.split()[1]) * 1024
        return total

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.output.close()


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
