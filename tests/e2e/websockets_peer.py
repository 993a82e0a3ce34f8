# SPDX-License-Identifier: MIT
"""What a WebSocket entry is to another's client, Debian's python3-websockets: prints ok. Debian's python runs it."""
import asyncio
import json
import sys

import websockets

ACK, SAYS = ": 已经收到信息", " 地址发送了请求消息："
MEMBERS, EACH = 20, 50


def name_of(peer):
    return "%s:%d" % peer.local_address[:2]


async def in_pieces(text, size):
    for at in range(0, len(text), size):
        yield text[at:at + size]


async def one_alone(url):
    async with websockets.connect(url) as peer:
        for text in ("hola", "€" * 5000, "x" * 60000):
            whole = json.dumps({"message": text})
            await peer.send(whole)
            assert await peer.recv() == name_of(peer) + ACK
            await peer.send(in_pieces(whole, max(1, len(whole) // 7)))
            assert await peer.recv() == name_of(peer) + ACK
        for payload in (b"", b"x", b"\x00" * 125):
            await asyncio.wait_for(await peer.ping(payload), 20)
        await peer.pong(b"nobody asked")
        await peer.close(4001, "enough")
        assert peer.close_code == 4001, peer.close_code


async def ends_with(url, what, code):
    async with websockets.connect(url, max_size=None) as peer:
        await peer.send(what)
        try:
            while True:
                await peer.recv()
        except websockets.ConnectionClosed as end:
            assert end.rcvd.code == code, end


async def member(url, number, others, barrier):
    """Says EACH messages and hears everybody's, each one's in order."""
    async with websockets.connect(url) as peer:
        await barrier.wait()
        for i in range(EACH):
            await peer.send(json.dumps({"message": "%d %d" % (number, i)}))
        acknowledged, heard = 0, {}
        while acknowledged < EACH or sum(heard.values()) < EACH * others:
            line = await asyncio.wait_for(peer.recv(), 30)
            if line == name_of(peer) + ACK:
                acknowledged += 1
            else:
                who, said = line.split(SAYS)[1].split()
                assert int(said) == heard.get(who, 0), line
                heard[who] = int(said) + 1
        await barrier.wait()


class Barrier:
    """asyncio's own is of Python 3.11."""

    def __init__(self, count):
        self.count, self.come, self.turn = count, 0, asyncio.Event()

    async def wait(self):
        turn = self.turn
        self.come += 1
        if self.come == self.count:
            self.come, self.turn = 0, asyncio.Event()
            turn.set()
        await turn.wait()


async def main(url):
    await one_alone(url)
    await ends_with(url, b"binary", 1003)
    await ends_with(url, "x" * 70000, 1009)
    barrier = Barrier(MEMBERS)
    await asyncio.gather(*(member(url, i, MEMBERS - 1, barrier) for i in range(MEMBERS)))
    print("ok")


asyncio.run(main(sys.argv[1]))
