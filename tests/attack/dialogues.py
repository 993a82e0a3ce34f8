# SPDX-License-Identifier: MIT
"""What a client and each service say to each other, in full: attacks break off after each byte of it, or repeat it."""
from harness import ACK_ANSWER, GREETING, REPLY, TOLD, message

# Service: what the client sends, and what it gets if it sends all of it. `%s` is the client's own address.
DIALOGUES = {
    "ack": (b"hello", REPLY),
    "print": (b"hello\n", b""),
    "greet": (b"hello from a client\n", GREETING),
    "echo": (b"hello, hello", b"hello, hello"),
    "random": (b"\n\nSTOP\n", None),
    "broadcast": (message("one") + message("two") + b"\n", b"%s" + ACK_ANSWER + b"%s" + ACK_ANSWER),
}


def whole(case, server, service):
    """Has the whole dialogue, and checks each answer. A room may first tell what a client said that has just left."""
    words, answer = DIALOGUES[service]
    with server.connect(service) as peer:
        name = peer.name.encode()
        peer.send(words)
        peer.half_close()
        told = peer.read_all()
    if service == "broadcast":
        told = b"".join(line for line in told.splitlines(True) if TOLD not in line)
    if answer is None:
        case.assertRegex(told, rb"\A(\d+\n){2}\Z")
    else:
        case.assertEqual(told, answer.replace(b"%s", name), service)
