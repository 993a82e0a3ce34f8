# SPDX-License-Identifier: MIT
"""Attack A8: strangers make rooms, as many as they can and as fast as they can, and leave them. What there may be at a
time is bounded, members of other rooms notice nothing, and nothing is left of a room that nobody is in."""
import contextlib
import json

from harness import ACK_ANSWER, TOLD, Peer, close_all, need_json, wait_until

from websocket import WebPeer, answered, need_websocket, request

from ground import EACH, Ground, ask

WS = "broadcast=ws://127.0.0.1:0"
HELLO = '{"message":"hello"}'
ACK, SAYS = ACK_ANSWER.decode().rstrip("\n"), TOLD.decode()


class A8(Ground):
    """Rooms by the path of a URL, of strangers."""

    @classmethod
    def setUpClass(cls):
        need_json()
        need_websocket()

    def rooms(self, server):
        return json.loads(ask(server, "/status?limit=0")[1])["rooms"]

    def made(self, server):
        """How many rooms strangers have made, ever."""
        text = ask(server, "/metrics")[1]
        return int(text.partition("\ncoracle_rooms_opened_total ")[2].split("\n")[0])

    def refused(self, server, path):
        with Peer(server.address("broadcast")) as peer:
            peer.send(request(server.address("broadcast"), path=path))
            return answered(peer)[0]

    def test_as_many_as_they_can(self):
        most, more = self.size(500, 20), self.size(500, 20)
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers):
                with self.attacked(WS, poller=poller, workers=workers, options=(
                        "--rooms", str(most), "--history", "10", "--presence")) as server:
                    turned_away = 0
                    for _ in self.cycles(server):
                        self.crowd_in(server, most, more)
                        turned_away += more
                        wait_until(lambda: self.rooms(server)["count"] == 1, "the rooms to go")
                self.assertEqual(server.counters.get("max_rooms"), turned_away)

    def crowd_in(self, server, most, more):
        at = server.address("broadcast")
        with WebPeer(at) as one, WebPeer(at) as other:
            strangers = [WebPeer(at, fields={"path": "/room/stranger-%d" % number}) for number in range(most)]
            self.assertEqual([self.refused(server, "/room/more-%d" % number) for number in range(more)], [503] * more)
            wait_until(lambda: self.rooms(server)["members"] == most + 2, "all to be in")
            for peer in (one, *strangers):
                peer.say(HELLO)
                self.assertEqual(peer.hear(), peer.name + ACK)
            self.assertEqual(other.hear(), one.name + SAYS + "hello")
            strangers.pop().close()  # there is room again, soon
            wait_until(lambda: self.rooms(server)["made"] == most - 1, "a room to go")
            strangers.append(WebPeer(at, fields={"path": "/room/late"}))
            close_all(*strangers)

    def test_as_fast_as_they_can(self):
        """Each comes, says something and breaks off; every other one makes a room that was there before."""
        passing = self.size(20000, 300)
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), \
                    self.attacked(WS, poller=poller, workers=workers, options=(
                        "--no-limits", "--history", "10", "--presence")) as server:
                made = 0
                for _ in self.cycles(server):
                    with WebPeer(server.address("broadcast")) as member:
                        member.say('{"presence":true}')
                        self.assertEqual(json.loads(member.hear())["presence"]["members"], 1)
                        self.come_and_go(server, passing)
                        member.say(HELLO)
                        lines = iter(member.hear, member.name + ACK)
                        self.assertEqual([line for line in lines if not line.startswith('{"presence":')], [])
                    wait_until(lambda: self.rooms(server)["count"] == 1, "the rooms to go")
                    made = self.made(server) - made
                    self.assertGreaterEqual(made, passing // 2)
                    self.assertLessEqual(made, passing)

    def come_and_go(self, server, count):
        for number in range(count):
            name = "again" if number % 2 else "room-%d" % number
            peer = WebPeer(server.address("broadcast"), fields={"path": "/room/" + name})
            peer.say(HELLO)
            if number % 3 == 0:
                peer.hear()
            with contextlib.suppress(OSError):
                peer.reset() if number % 5 else peer.close()
