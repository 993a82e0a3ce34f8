# SPDX-License-Identifier: MIT
"""What the kernel keeps for connections: its object caches (/proc/slabinfo, root only) and socket buffers."""
import select

PAGE = 4096
LOOKS, PAUSE = 20, 0.3  # how often, and every so many seconds, it is looked whether the kernel is still busy freeing


class Snapshot:
    """The kernel's memory at one moment."""

    def __init__(self):
        self.caches = {}  # name -> objects in use, bytes of one
        try:
            with open("/proc/slabinfo", encoding="ascii") as file:
                rows = [line.split() for line in file if not line.startswith(("slabinfo", "#"))]
            self.caches = {row[0]: (int(row[1]), int(row[3])) for row in rows}
        except PermissionError:
            pass
        with open("/proc/net/sockstat", encoding="ascii") as file:
            words = next(line for line in file if line.startswith("TCP:")).split()
        self.buffers = int(words[words.index("mem") + 1]) * PAGE

    def caches_since(self, before, count):
        """What was added for each of `count` connections: cache -> objects, bytes of one. Other things add less."""
        added = {}
        for name, (objects, size) in self.caches.items():
            each = (objects - before.caches.get(name, (0, 0))[0]) / count
            if each >= 0.5:
                added[name] = (each, size)
        return added

    def bytes_since(self, before, count):
        """Bytes for each of `count` connections, both ends; others that close sockets meanwhile spoil it."""
        objects = sum(each * size for each, size in self.caches_since(before, count).values())
        return objects + max(0, self.buffers - before.buffers) / count


def settled():
    """A snapshot when sockets that were closed before are really gone: the kernel frees them late."""
    now = Snapshot()
    for _ in range(LOOKS):
        before = now
        select.select([], [], [], PAUSE)
        now = Snapshot()
        if abs(now.caches.get("TCP", (0, 0))[0] - before.caches.get("TCP", (0, 0))[0]) < 50:
            break
    return now
