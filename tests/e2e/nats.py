# SPDX-License-Identifier: MIT
"""NATS for tests: a server that is started, killed and started again on its port, and members of rooms beside it."""
import base64
import binascii
import contextlib
import json
import re
import selectors
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.request

from harness import (ACK_ANSWER, PATIENCE, TOLD, Peer, Program, close_all, free_port, need_json, need_tool,
                     run_coracle, serve, split_address, wait_until)

SAID = re.compile(rb"^\S+" + re.escape(TOLD) + rb"s(\d+) (\d+)$", re.M)
NODE_OPTIONS = ("--quiet", "--per-ip", "0", "--accept-rate", "0")


def need_nats():
    """Skips the test where the program or this machine has none."""
    need_json()
    need_tool("nats-server")
    if "bus: off" in run_coracle("--version").out:
        raise unittest.SkipTest("built without libnats")


class Nats:
    """A NATS server; `config` is the text of its file. Its port stays the same over all its lives."""

    def __init__(self, config="", host="127.0.0.1", before=()):
        need_nats()
        self.host, self.port, self.before, self.program = host, free_port(), before, None
        self.folder = tempfile.TemporaryDirectory(prefix="nats-")
        self.write(config)

    def write(self, config):
        with open(self.folder.name + "/nats.conf", "w", encoding="utf-8") as file:
            file.write('host: "%s"\nport: %d\nmax_payload: 1048576\n%s\n' % (self.host, self.port, config))

    def start(self):
        self.program = Program([*self.before, "nats-server", "-c", self.folder.name + "/nats.conf"])
        self.program.wait_text("Server is ready", name="err")
        return self

    def kill(self, number=signal.SIGKILL):
        self.program.signal(number)
        self.program.wait()
        self.program.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.program.alive():
            self.program.signal(signal.SIGCONT)
        self.program.stop()
        self.folder.cleanup()

    def url(self, scheme="nats"):
        return "%s://%s:%d" % (scheme, self.host, self.port)


class Halting:
    """A server of NATS that asks for TLS and then stops in the middle of the handshake."""

    def __init__(self):
        need_nats()
        self.listener, self.clients, self.halted = socket.create_server(("127.0.0.1", 0)), [], threading.Event()
        self.url = "nats://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.clients.append(client)
                with contextlib.suppress(ConnectionError):  # it has given up by now
                    client.sendall(b'INFO {"server_id":"x","max_payload":1048576,"tls_required":true}\r\n')
                    if client.recv(1):
                        self.halted.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        close_all(self.listener, *self.clients)
        self.thread.join(PATIENCE)


def node(url, *options, workers=1, poller="epoll", address="127.0.0.1:0", admin="127.0.0.1:0", rooms=(), **more):
    """A node of the room, and perhaps of others: "NAME=ADDRESS", or "NAME" for any port."""
    others = ["broadcast/" + room for room in rooms]
    server = serve("broadcast=" + address, *others, workers=workers, options=(
        *NODE_OPTIONS, "--admin", admin, "--poller", poller, "--bus", url, *options), **more)
    server.wait_text("listening admin")
    network, place = re.search(r"^listening admin (\S+) (\S+)$", server.out, re.M).groups()
    server.addresses["admin"] = place if network == "unix" else split_address(place)
    return server


def subscriptions(port):
    """Of each connection to a server of NATS with http at that port."""
    with urllib.request.urlopen("http://127.0.0.1:%d/connz" % port, timeout=PATIENCE) as answer:
        return [one["subscriptions"] for one in json.load(answer)["connections"]]


def ask(server, path):
    """Asks the status server; gives status and body."""
    with Peer(server.address("admin")) as peer:
        peer.send("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
        head, _, body = peer.gone().partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def bus_of(server):
    """What a node says of its bus."""
    return json.loads(ask(server, "/status?limit=0")[1])["bus"]


class Listener(threading.Thread):
    """Reads many members at once and judges what each hears: of each sender, in order and nothing twice."""

    def __init__(self, peers):
        super().__init__(daemon=True)
        self.peers = peers
        self.heard = [{} for _ in peers]  # by sender: the last number, and how many
        self.acknowledged = [0] * len(peers)
        self.wrong = []
        self.over = threading.Event()
        self.start()

    def run(self):
        rest = [b""] * len(self.peers)
        with selectors.DefaultSelector() as selector:
            for index, peer in enumerate(self.peers):
                selector.register(peer.sock, selectors.EVENT_READ, index)
            while not self.over.is_set():
                for key, _ in selector.select(0.05):
                    data = key.fileobj.recv(1 << 16)
                    if not data:
                        self.wrong.append("member %d was cut" % key.data)
                        selector.unregister(key.fileobj)
                        continue
                    text, end, rest[key.data] = (rest[key.data] + data).rpartition(b"\n")
                    if end:
                        self.take(key.data, text + end)

    def take(self, index, text):
        """Takes whole lines: all of them are acknowledgements or say "sSENDER NUMBER"."""
        told = SAID.findall(text)
        own = text.count(ACK_ANSWER)
        self.acknowledged[index] += own
        if len(told) + own != text.count(b"\n"):
            self.wrong.append("member %d heard %r" % (index, text[:80]))
        heard = self.heard[index]
        for sender, number in told:
            last, count = heard.get(sender, (-1, 0))
            if int(number) <= last:
                self.wrong.append("member %d heard %s of sender %s after %d" % (index, number, sender, last))
            heard[sender] = (int(number), count + 1)

    def count(self, index, senders=None):
        """How many messages a member has heard, of these senders or of all."""
        return sum(count for sender, (_, count) in list(self.heard[index].items())
                   if senders is None or int(sender) in senders)

    def total(self):
        return sum(self.count(index) for index in range(len(self.peers)))

    def stop(self):
        self.over.set()
        self.join(10)


def message(sender, number):
    return b'{"message":"s%d %d"}' % (sender, number)


def all_connected(servers, nodes=None):
    """Waits until each node hears all others."""
    for server in servers:
        wait_until(lambda server=server: bus_of(server)["state"] == "connected" and
                   bus_of(server)["nodes"] == (nodes or len(servers)),
                   lambda server=server: "all nodes; %s" % bus_of(server))


class Nkey:
    """A key as NATS has them: Ed25519, in words of base32 that begin with their kind. openssl has made it and signs."""
    KINDS = {"operator": 14 << 3, "account": 0, "user": 20 << 3}

    def __init__(self, folder, kind, name=None):
        need_tool("openssl")
        self.path, self.kind = "%s/%s.pem" % (folder, name or kind), self.KINDS[kind]
        self.openssl("genpkey", "-algorithm", "ed25519", "-out", self.path)
        self.public = self.word([self.kind], self.openssl("pkey", "-in", self.path, "-pubout", "-outform", "DER")[-32:])
        self.seed = self.word([18 << 3 | self.kind >> 5, (self.kind & 31) << 3],
                              self.openssl("pkey", "-in", self.path, "-outform", "DER")[-32:])

    @staticmethod
    def openssl(*words):
        return subprocess.run(("openssl", *words), check=True, capture_output=True, timeout=20).stdout

    @staticmethod
    def word(kind, key):
        raw = bytes(kind) + key
        return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")

    def sign(self, text):
        with tempfile.NamedTemporaryFile() as file:
            file.write(text)
            file.flush()
            return self.openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.path, "-in", file.name)

    def token(self, subject, kind, **claims):
        """A JWT by which this key speaks for the subject."""
        def part(text):
            return base64.urlsafe_b64encode(text).rstrip(b"=")
        body = {"jti": "x", "iat": int(time.time()), "iss": self.public, "sub": subject, "name": kind,
                "nats": {"type": kind, "version": 2, **claims}}
        text = part(b'{"typ":"JWT","alg":"ed25519-nkey"}') + b"." + part(json.dumps(body).encode())
        return (text + b"." + part(self.sign(text))).decode()


def creds_text(token, seed):
    """What NATS calls a credentials file."""
    return ("-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n"
            "-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n" % (token, seed))


def make_certificates(folder, *names):
    """In `folder`: ca.pem, server.pem and node.pem by it, other.pem (a stranger), and their keys. For these addresses,
    127.0.0.1 unless given."""
    names = ",".join("IP:" + name for name in names or ("127.0.0.1",))

    def openssl(*words):
        subprocess.run(("openssl", *words), check=True, capture_output=True, cwd=folder, timeout=20)
    need_tool("openssl")
    for ca in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                "-subj", "/CN=" + ca, "-keyout", ca + ".key", "-out", ca + ".pem")
    for who in ("server", "node"):
        with open("%s/%s.ext" % (folder, who), "w", encoding="ascii") as file:
            file.write("subjectAltName=%s\n" % names)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + who,
                "-keyout", who + ".key", "-out", who + ".csr")
        openssl("x509", "-req", "-in", who + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                "30", "-extfile", who + ".ext", "-out", who + ".pem")
