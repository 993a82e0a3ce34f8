# SPDX-License-Identifier: MIT
# test: timeout=300
"""Values of addresses against Go's net: what is taken, how it prints, what it is, for texts right and almost right."""
import ctypes
import os
import random
import re
import subprocess

from harness import BIN, Case, main

from go_programs import go_path

TEXTS = 30000


class Ip(ctypes.Structure):
    _fields_ = [("family", ctypes.c_uint8), ("bytes", ctypes.c_uint8 * 16)]


class Prefix(ctypes.Structure):
    _fields_ = [("ip", Ip), ("bits", ctypes.c_uint8)]


class Mac(ctypes.Structure):
    _fields_ = [("size_bytes", ctypes.c_uint8), ("bytes", ctypes.c_uint8 * 20)]


class Library:
    """The calls of coracle/addr.h, with the answers that address_values.go gives."""

    def __init__(self, path):
        self.calls = ctypes.CDLL(path)
        self.calls.cor_prefix_masked.restype = Prefix

    def parsed(self, kind, value, text):
        return getattr(self.calls, "cor_%s_parse" % kind)(ctypes.byref(value), text.encode()) == 0

    def printed(self, kind, value):
        text = ctypes.create_string_buffer(128)
        getattr(self.calls, "cor_%s_text" % kind)(value, text, ctypes.c_size_t(128))
        return text.value.decode()

    def answer(self, kind, text):
        value = {"ip": Ip, "prefix": Prefix, "mac": Mac}[kind]()
        if not self.parsed(kind, value, text):
            return "invalid"
        if kind == "ip":
            return "%s %d" % (self.printed(kind, value), self.calls.cor_ip_traits(value))
        return self.printed(kind, self.calls.cor_prefix_masked(value) if kind == "prefix" else value)


def ipv4(rand):
    edge = rand.choice([None, "10.", "127.", "169.254.", "172.16.", "192.168.", "224.0.0.", "255.255.255."])
    parts = [str(rand.choice([0, 1, 9, 255, rand.randrange(256)])) for _ in range(4)]
    return edge + ".".join(parts[edge.count("."):]) if edge else ".".join(parts)


def ipv6(rand):
    groups = ["%x" % rand.choice([0, 0, 0, 1, 0xffff, rand.randrange(65536)]) for _ in range(8)]
    groups[0] = rand.choice([groups[0], "fe80", "fc00", "ff02", "ff01", "0"])
    if rand.random() < 0.2:
        return "::ffff:" + ipv4(rand)
    if rand.random() < 0.2:
        groups[6:] = [ipv4(rand)]
    if rand.random() < 0.6:
        first = rand.randrange(len(groups))
        groups[first:rand.randint(first, len(groups))] = [""]
    text = ":".join(groups) or ":"
    return (":" if text.startswith(":") else "") + text + (":" if text.endswith(":") and text != ":" else "")


def mac(rand):
    pairs = ["%02x" % rand.randrange(256) for _ in range(rand.choice([5, 6, 6, 8, 8, 20]))]
    if rand.random() < 0.3:
        return ".".join(a + b for a, b in zip(pairs[::2], pairs[1::2]))
    return rand.choice(":-").join(pairs)


def almost(rand, text):
    """The text with one character of it lost, doubled or another."""
    place = rand.randrange(len(text))
    return text[:place] + rand.choice(["", text[place] * 2, rand.choice("0123f:.-+% /gG")]) + text[place + 1:]


def question(rand):
    kind = rand.choice(["ip", "prefix", "mac"])
    text = mac(rand) if kind == "mac" else rand.choice([ipv4, ipv6])(rand)
    if kind == "prefix":
        text += "/%s" % rand.choice([0, 8, 24, 32, 33, 64, 96, 97, 128, 129, rand.randrange(130)])
    if rand.random() < 0.1:
        text = text.upper()
    return kind, almost(rand, text) if rand.random() < 0.4 else text


def differs_on_purpose(kind, text):
    """Go up to 1.23 takes more than four digits in a group if the value fits; later ones do not, nor do we."""
    return kind != "mac" and re.search("[0-9a-fA-F]{5}", text)


class Values(Case):
    def test_as_go(self):
        if os.environ.get("COR_SANITIZE") or os.environ.get("COR_EMULATED"):
            self.skipTest("a library with sanitizers or of another CPU cannot be loaded into Python")
        seed = random.randrange(2 ** 32)
        rand = random.Random(seed)
        asked = [pair for pair in (question(rand) for _ in range(TEXTS)) if not differs_on_purpose(*pair)]
        lines = "".join("%s %s\n" % pair for pair in asked)
        gos = subprocess.run([go_path("address_values")], input=lines, capture_output=True, text=True, timeout=60,
                             check=True).stdout.splitlines()
        self.assertEqual(len(gos), len(asked))
        library = Library(os.path.join(os.path.dirname(BIN), "libcoracle.so"))
        taken = 0
        for (kind, text), expected in zip(asked, gos):
            self.assertEqual(library.answer(kind, text), expected, "%s %r, seed %d" % (kind, text, seed))
            taken += expected != "invalid"
        self.assertTrue(TEXTS / 4 < taken < TEXTS * 9 / 10, taken)


if __name__ == "__main__":
    main()
