# SPDX-License-Identifier: MIT
"""A name server that plays every bad server there is, a script per name; by dnslib, thus not by our own idea of DNS.

usage: nameserver.py ADDRESS SLOW_SECONDS    serves UDP and TCP on port 53, prints `ready`, until stdin ends
"""
import os
import socket
import sys
import threading
import time

from dnslib import AAAA, A, CNAME, QTYPE, RCODE, RR, DNSHeader, DNSQuestion, DNSRecord

ADDRESS, SLOW = sys.argv[1], float(sys.argv[2])
MANY = 1000


def answered(query, *records):
    reply = query.reply()
    for record in records:
        reply.add_answer(record)
    return reply


def address(query, value="192.0.2.1"):
    """The reply with one IPv4 address; without one to the question for IPv6."""
    if query.q.qtype != QTYPE.A:
        return answered(query)
    return answered(query, RR(query.q.qname, QTYPE.A, ttl=1, rdata=A(value)))


def failed(query, code):
    reply = query.reply()
    reply.header.rcode = code
    return reply


def wrong_id(query):
    reply = address(query, "192.0.2.66")
    reply.header.id = query.header.id ^ 0x5555
    return reply


def wrong_question(query):
    other = DNSRecord(DNSHeader(id=query.header.id, qr=1, ra=1), q=DNSQuestion("other.test", query.q.qtype))
    other.add_answer(RR("other.test", QTYPE.A, ttl=1, rdata=A("192.0.2.66")))
    return other


def many(query, over_tcp):
    if not over_tcp:
        reply = query.reply()
        reply.header.tc = 1
        return reply
    if query.q.qtype != QTYPE.A:
        return answered(query)
    return answered(query, *(RR(query.q.qname, QTYPE.A, ttl=1, rdata=A("198.18.%d.%d" % (i >> 8, i & 255)))
                             for i in range(MANY)))


def loop(query):
    return answered(query, RR("loop.test", QTYPE.CNAME, ttl=1, rdata=CNAME("pool.test")),
                    RR("pool.test", QTYPE.CNAME, ttl=1, rdata=CNAME("loop.test")))


def only6(query):
    if query.q.qtype != QTYPE.AAAA:
        return answered(query)
    return answered(query, RR(query.q.qname, QTYPE.AAAA, ttl=1, rdata=AAAA("2001:db8::1")))


def late(query):
    time.sleep(SLOW)  # pacing: being late is what it plays
    return address(query)


def replies(query, over_tcp):
    """All that goes back for a query, in its order: records, or bytes."""
    kind = str(query.q.qname).split(".", maxsplit=1)[0]
    return {
        "silent": lambda: (),
        "servfail": lambda: (failed(query, RCODE.SERVFAIL),),
        "refused": lambda: (failed(query, RCODE.REFUSED),),
        "garbage": lambda: (os.urandom(40), query.pack()[:11], b"", address(query)),
        "wrongid": lambda: (wrong_id(query), address(query)),
        "wrongname": lambda: (wrong_question(query), address(query)),
        "many": lambda: (many(query, over_tcp),),
        "loop": lambda: (loop(query),),
        "only6": lambda: (only6(query),),
        "slow": lambda: (late(query),),
        "good": lambda: (address(query),),
    }.get(kind, lambda: (failed(query, RCODE.NXDOMAIN),))()


def packed(reply):
    return reply.pack() if isinstance(reply, DNSRecord) else reply


def answer_packet(sock, packet, peer):
    for reply in replies(DNSRecord.parse(packet), False):
        sock.sendto(packed(reply), peer)


def answer_stream(conn):
    with conn:
        while len(head := conn.recv(2, socket.MSG_WAITALL)) == 2:
            packet = conn.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
            for reply in replies(DNSRecord.parse(packet), True):
                data = packed(reply)
                conn.sendall(len(data).to_bytes(2, "big") + data)


def start(function, *args):
    threading.Thread(target=function, args=args, daemon=True).start()


def serve_packets(sock):
    while True:
        start(answer_packet, sock, *sock.recvfrom(4096))


def serve_streams(listener):
    while True:
        start(answer_stream, listener.accept()[0])


packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
packets.bind((ADDRESS, 53))
start(serve_packets, packets)
start(serve_streams, socket.create_server((ADDRESS, 53)))
print("ready", flush=True)
sys.stdin.read()
