# SPDX-License-Identifier: MIT
"""An echo server that does nothing else, on a process of its own: says its port and serves until standard input ends.

What a healthy client sees of this one during an attack on another is what the machine and the test itself take.
"""
import select
import socket
import sys


def echo(peer):
    """False at its end."""
    try:
        data = peer.recv(4096)
        peer.sendall(data)
    except OSError:
        return False
    return data != b""


def main():
    peers = {}
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, select.epoll() as ready:
        ready.register(sys.stdin, select.EPOLLIN)
        ready.register(listener, select.EPOLLIN)
        print(listener.getsockname()[1], flush=True)
        while True:
            for number, _ in ready.poll():
                if number == sys.stdin.fileno():
                    return
                if number == listener.fileno():
                    peer, _ = listener.accept()
                    peers[peer.fileno()] = peer
                    ready.register(peer, select.EPOLLIN)
                elif not echo(peers[number]):
                    ready.unregister(number)
                    peers.pop(number).close()


if __name__ == "__main__":
    main()
