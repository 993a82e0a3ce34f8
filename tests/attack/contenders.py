# SPDX-License-Identifier: MIT
"""The servers that rivals.py attacks: how each is started, and what a healthy client says to it and gets."""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from harness import BIN, free_port, wait_until

SMALL = b"healthy\n"
HAPROXY = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 50s
  timeout server 50s
{log}
frontend all
  bind 127.0.0.1:{port}
  {limit}
  default_backend echo
backend echo
  server ours 127.0.0.1:{other}
"""


class Rival:
    """A server: how it is started with a limit of clients or without, what a healthy client says and gets."""
    name = tool = ""
    ask, answer = SMALL, SMALL
    room = asks = shows = False  # tells others; asks back; writes what clients send to its own output

    def __init__(self, folder):
        self.folder, self.port, self.others = folder, free_port(), []

    @classmethod
    def installed(cls):
        return cls.tool == BIN or shutil.which(cls.tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin")

    def command(self, limit=None):
        raise NotImplementedError

    def version(self):
        done = subprocess.run((self.tool, "--version"), capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL)
        return (done.stdout or done.stderr).splitlines()[0].strip()

    def start(self, limit=None):
        self.logs = open(self.folder + "/log", "wb+")
        self.argv = self.command(limit)
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.logs, stderr=self.logs,
                                        start_new_session=True, cwd=self.folder)
        wait_until(self.accepts, lambda: "%s: %s" % (self.argv, self.log()[-500:]))
        return self

    def accepts(self):
        if self.process.poll() is not None:
            raise AssertionError("%s has ended: %s" % (self.argv, self.log()))
        with contextlib.suppress(OSError), self.connect():
            return True
        return False

    def log(self):
        with open(self.folder + "/log", "rb") as file:
            return file.read()

    def connect(self, timeout=5.0, buffer=None):
        sock = socket.socket()
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.settimeout(timeout)
        try:
            sock.connect(("127.0.0.1", self.port))
        except OSError:
            sock.close()
            raise
        return sock

    def greet(self, sock):
        """What has to be read before an answer."""

    def healthy(self, sock):
        """A question and its answer. Raises OSError if there is none."""
        sock.sendall(self.ask)
        got = b""
        while len(got) < len(self.answer):
            data = sock.recv(65536)
            if not data:
                raise ConnectionError("closed: %r" % got[:60])
            got += data
            got = got.replace(b"PING\r\n", b"") if self.asks else got
        if got != self.answer:
            raise ConnectionError("told %r" % got[:60])

    def stop(self):
        for process in (self.process, *self.others):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.logs.close()

    def memory(self):
        """KiB of it and all processes that it has started: what is private to them, and what they share by shares."""
        total = 0
        for pid in family(self.process.pid):
            with contextlib.suppress(OSError), open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as file:
                total += int(re.search(r"\nPss: +(\d+)", file.read()).group(1))
        return total


class Ours(Rival):
    name, tool, service = "coracle echo", BIN, "echo"

    def command(self, limit=None):
        more = ("--max-conns", str(limit)) if limit else ()
        return [BIN, "serve", *more, "%s=127.0.0.1:%d" % (self.service, self.port)]


class OurLines(Ours):
    """The service that has a place for words: whoever is refused is told why."""
    name, service, ask = "coracle random", "random", b"\n"

    def healthy(self, sock):
        sock.sendall(self.ask)
        got = sock.recv(100)
        if not re.fullmatch(rb"\d+\n", got):
            raise ConnectionError("told %r" % got[:60] if got else "closed: b''")


class OurRoom(Ours):
    name, service, room = "coracle broadcast", "broadcast", True

    def frame(self, payload):
        return b'{"message":"' + payload + b'"}'

    def healthy(self, sock):
        sock.sendall(self.frame(b"healthy"))
        got = b""
        while not got.endswith(" 已经收到信息\n".encode()):
            data = sock.recv(65536)
            if not data:
                raise ConnectionError("closed: %r" % got[:60])
            got += data

    def told(self, payload, speaker):
        return speaker + " 地址发送了请求消息：".encode() + payload + b"\n"


class OurPrint(Ours):
    name, service, shows = "coracle print", "print", True


class NcatPrint(Rival):
    name, tool, shows = "ncat -k", "ncat", True

    def command(self, limit=None):
        return ["ncat", "-v", "-l", "-k", "127.0.0.1", str(self.port)]


class Ncat(Rival):
    name, tool = "ncat -k -e cat", "ncat"

    def command(self, limit=None):
        more = ("-m", str(limit)) if limit else ()
        return ["ncat", "-v", "-l", "-k", *more, "-e", "/bin/cat", "127.0.0.1", str(self.port)]


class Broker(Rival):
    name, tool, room = "ncat --broker", "ncat", True

    def command(self, limit=None):
        more = ("-m", str(limit)) if limit else ()
        return ["ncat", "-v", "-l", "--broker", *more, "127.0.0.1", str(self.port)]

    def healthy(self, sock):
        """Another one says something, and this one hears it."""
        text, got = b"healthy %f\n" % time.monotonic(), b""
        with self.connect(2.0) as other:
            other.sendall(text)
            while text not in got:
                data = sock.recv(65536)
                if not data:
                    raise ConnectionError("closed: %r" % got[:60])
                got += data

    def frame(self, payload):
        return payload

    def told(self, payload, speaker):
        return payload


class Socat(Rival):
    name, tool = "socat fork EXEC:cat", "socat"

    def command(self, limit=None):
        more = ",max-children=%d" % limit if limit else ""
        return ["socat", "-d", "-d", "TCP-LISTEN:%d,bind=127.0.0.1,fork,reuseaddr%s" % (self.port, more), "EXEC:cat"]

    def version(self):
        done = subprocess.run(("socat", "-V"), capture_output=True, text=True, check=False)
        return re.search(r"socat version \S+", done.stdout).group(0)


class Tcpserver(Rival):
    name, tool = "tcpserver cat", "tcpserver"

    def command(self, limit=None):
        more = ("-c", str(limit)) if limit else ()
        return ["tcpserver", "-v", "-H", "-R", "-l0", *more, "127.0.0.1", str(self.port), "cat"]

    def version(self):
        done = subprocess.run(("dpkg-query", "-W", "-f", "${Version}", "ucspi-tcp"), capture_output=True, text=True,
                              check=False)
        return "ucspi-tcp " + done.stdout


class Nats(Rival):
    name, tool, ask, answer, room, asks = "nats-server", "nats-server", b"PING\r\n", b"PONG\r\n", True, True

    def command(self, limit=None):
        with open(self.folder + "/nats.conf", "w", encoding="ascii") as file:
            file.write("max_connections: %d\n" % limit if limit else "")
        return ["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-c", self.folder + "/nats.conf"]

    def greet(self, sock):
        """INFO comes first."""
        got = b""
        while not got.endswith(b"\r\n"):
            data = sock.recv(65536)
            if not data:
                raise ConnectionError("closed")
            got += data
        if not got.startswith(b"INFO"):
            raise ConnectionError("told %r" % got[:60])
        sock.sendall(b'CONNECT {"verbose":false,"echo":false}\r\n')

    def join(self, sock):
        sock.sendall(b"SUB c 1\r\n")

    def frame(self, payload):
        return b"PUB c %d\r\n%s\r\n" % (len(payload), payload)

    def told(self, payload, speaker):
        return b"MSG c 1 %d\r\n%s\r\n" % (len(payload), payload)


class Redis(Rival):
    name, tool, ask, answer, room = "redis-server", "redis-server", b"PING\r\n", b"+PONG\r\n", True

    def command(self, limit=None):
        more = ("--maxclients", str(limit)) if limit else ()
        return ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", *more]

    def join(self, sock):
        sock.sendall(b"SUBSCRIBE c\r\n")
        sock.recv(1000)

    def frame(self, payload):
        return b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$%d\r\n%s\r\n" % (len(payload), payload)

    def told(self, payload, speaker):
        return b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%s\r\n" % (len(payload), payload)


class Haproxy(Rival):
    name, tool = "haproxy (tcp)", "haproxy"

    def command(self, limit=None):
        echo = Ours(self.folder)
        self.others = [subprocess.Popen(echo.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        start_new_session=True)]
        wait_until(echo_accepts(echo), "our echo for haproxy")
        with open(self.folder + "/haproxy.cfg", "w", encoding="ascii") as file:
            file.write(HAPROXY.format(port=self.port, other=echo.port, limit="maxconn %d" % limit if limit else "",
                                      log="  log stdout format raw daemon\n  option tcplog"))
        return [self.command_path(), "-db", "-f", self.folder + "/haproxy.cfg"]

    def version(self):
        done = subprocess.run((self.command_path(), "-v"), capture_output=True, text=True, check=False)
        return done.stdout.split(" - ")[0]

    @staticmethod
    def command_path():
        return shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")


RIVALS = (Ours, OurLines, OurRoom, OurPrint, Ncat, NcatPrint, Broker, Socat, Tcpserver, Nats, Redis, Haproxy)


def echo_accepts(echo):
    def accepts():
        with contextlib.suppress(OSError), echo.connect():
            return True
        return False
    return accepts


def family(pid):
    """A process and those that it has started, all the way down."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open("/proc/%s/stat" % entry, "rb") as file:
                parents.setdefault(int(file.read().rpartition(b")")[2].split()[1]), []).append(int(entry))
    found, new = [pid], [pid]
    while new:
        new = [child for parent in new for child in parents.get(parent, ())]
        found += new
    return found
