# SPDX-License-Identifier: MIT
"""A WebSocket client for tests, by hand: it may send what no library would, and shows each frame as it came."""
import contextlib
import os
import re
import struct
import unittest

import harness
from harness import Peer

TEXT, BINARY, CLOSE, PING, PONG, CONT = 0x1, 0x2, 0x8, 0x9, 0xa, 0x0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455, and what answers it
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def need_websocket():
    """Skips the test if the program was built without libwslay."""
    if "websocket: on" not in harness._version():
        raise unittest.SkipTest("built without libwslay or nettle: no ws:// addresses")


def request(address, path="/", method="GET", version="HTTP/1.1", **fields):
    """A request for an upgrade; a field given as None is left out, a list is several. `_` in names is `-`."""
    all_fields = {"Host": "%s:%d" % address, "Upgrade": "websocket", "Connection": "Upgrade",
                  "Sec_WebSocket_Key": KEY, "Sec_WebSocket_Version": "13"}
    all_fields.update(fields)
    lines = ["%s %s %s" % (method, path, version)]
    for name, value in all_fields.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                lines.append("%s: %s" % (name.replace("_", "-"), one))
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(opcode, payload=b"", fin=True, rsv=0, mask=True, length=None):
    """A frame as a client sends it. `length`: the bytes of its length, instead of as few as do."""
    payload = payload if isinstance(payload, bytes) else payload.encode()
    size = len(payload)
    length = (0 if size < 126 else 2 if size < 65536 else 8) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode,
                  (0x80 if mask else 0) | (size if length == 0 else 126 if length == 2 else 127)])
    head += size.to_bytes(length, "big") if length else b""
    if not mask:
        return head + payload
    key = os.urandom(4)
    stream = (key * (size // 4 + 1))[:size]
    return head + key + (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


def close(code, text=b""):
    return frame(CLOSE, struct.pack(">H", code) + text)


def answered(peer):
    """The status of an HTTP answer, its fields and its body; the connection ends with it."""
    head, _, body = peer.read_all().partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert int(fields["Content-Length"]) == len(body), (fields, body)
    return int(re.fullmatch(r"HTTP/1\.1 (\d+) .*", lines[0]).group(1)), fields, body.decode()


class WebPeer(Peer):
    """A client that has been upgraded."""

    def __init__(self, address, early=b"", fields=None, **more):
        super().__init__(address, **more)
        self.send(request(address, **(fields or {})) + early)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            got = self.read(1)
            assert got, head
            head += got
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert ("Sec-WebSocket-Accept: " + ACCEPT).encode() in head, head

    def frame(self):
        """The next frame: (opcode, payload); (None, what is left) at the end of the stream."""
        head = self.read(2)
        if len(head) < 2:
            return None, head
        assert head[0] & 0x70 == 0 and head[0] & 0x80 and head[1] < 128, head  # whole, no extension, no mask
        size = head[1]
        if size > 125:
            bytes_ = self.read(2 if size == 126 else 8)
            size = int.from_bytes(bytes_, "big")
            assert size > (125 if len(bytes_) == 2 else 65535), bytes_
        return head[0] & 15, self.read(size)

    def say(self, text, **more):
        self.send(frame(TEXT, text, **more))

    def hear(self):
        """The text of the next frame, which is one."""
        opcode, payload = self.frame()
        assert opcode == TEXT, (opcode, payload)
        return payload.decode()

    def closed(self):
        """Waits for the close frame and the end after it, and answers; gives its code and text, or (None, "")."""
        opcode, payload = self.frame()
        assert opcode == CLOSE, (opcode, payload)
        with contextlib.suppress(OSError):  # its end may be here already
            self.send(frame(CLOSE, payload[:2]))
            self.half_close()
        assert self.gone() == b""
        return (struct.unpack(">H", payload[:2])[0], payload[2:].decode()) if payload else (None, "")
