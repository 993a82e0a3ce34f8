# SPDX-License-Identifier: MIT
"""A load of short connections to an echo service, on a process of its own: load.py HOST PORT RATE

Each client connects, sends, hears its echo and ends. Until standard input ends, then one line of JSON: how many were
`done`, and what happened to the others. Open loop: clients start at their time, however long the ones before took.
"""
import json
import select
import socket
import struct
import sys
import time

SOURCES = 64  # addresses to come from, so that ports do not run out
PATIENCE = 20.0


def client(address, number, counts):
    """One connection; counts how it went."""
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", number % 2, 0))  # every other one resets
    step = "refused"
    try:
        sock.bind(("127.0.2.%d" % (1 + number % SOURCES), 0))
        sock.connect(address)
        step = "reset"
        text = b"%d\n" % number
        sock.sendall(text)
        answer = b""
        while len(answer) < len(text):
            data = sock.recv(100)
            if not data:
                break
            answer += data
        counts["done" if answer == text else "cut"] += 1
    except TimeoutError:
        counts["late"] += 1
    except OSError as error:
        counts[step] += 1
        counts["error"] = str(error)
    finally:
        sock.close()


def main(host, port, rate):
    counts = {"done": 0, "refused": 0, "reset": 0, "cut": 0, "late": 0}
    begin, number = time.monotonic(), 0
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        client((host, int(port)), number, counts)
        number += 1
        ahead = begin + number / float(rate) - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)  # pacing: the rate is that of clients that start, however many have ended
    counts["seconds"] = time.monotonic() - begin
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
