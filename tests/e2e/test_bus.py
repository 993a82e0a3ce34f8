# SPDX-License-Identifier: MIT
"""One room on many nodes, by a real server of NATS. What its failures do is in tests/attack/buses.py."""
import contextlib
import re
import signal
import tempfile

from harness import ACK_ANSWER, Case, close_all, free_port, main, run_coracle, serve, split_address, wait_until
from nats import (Listener, Nats, Nkey, all_connected, ask, bus_of, creds_text, make_certificates, message, need_nats,
                  node, subscriptions)

EACH = (("epoll", 1), ("epoll", 2), ("io_uring", 1), ("io_uring", 2))


def two_nodes(stack, members, workers, poller):
    """NATS with two nodes, so many members on each, and who listens to them all."""
    nats = stack.enter_context(Nats())
    servers = [stack.enter_context(node(nats.url(), workers=workers, poller=poller)) for _ in range(2)]
    all_connected(servers)
    peers = [server.connect("broadcast") for server in servers for _ in range(members)]
    listener = Listener(peers)
    wait_until(lambda: [bus_of(server)["members"] for server in servers] == [2 * members] * 2, "all members")
    return nats, servers, peers, listener


class Bus(Case):
    @classmethod
    def setUpClass(cls):
        need_nats()

    def test_two_nodes_are_one_room(self):
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), contextlib.ExitStack() as stack:
                _, servers, peers, listener = two_nodes(stack, 3, workers, poller)
                for number in range(200):
                    for sender in (0, 3):
                        peers[sender].send(message(sender, number))
                wait_until(lambda: listener.total() == 200 * 10 and sum(listener.acknowledged) == 400,
                           lambda: "%d of 2000 heard, %s" % (listener.total(), listener.wrong[:3]))
                close_all(*peers[:3])
                wait_until(lambda: bus_of(servers[1])["members"] == 3, "others to have left")
                listener.stop()
                self.assertEqual([error for error in listener.wrong if "cut" not in error], [])
                self.assertEqual(bus_of(servers[1])["received"], 200)
                close_all(*peers[3:])

    def test_nodes_come_and_go(self):
        """A third node joins and ends while messages are under way: the two hear each other as if it were not there,
        and all that it has acknowledged."""
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), contextlib.ExitStack() as stack:
                nats, servers, peers, listener = two_nodes(stack, 2, workers, poller)
                for life in range(3):
                    with node(nats.url(), workers=workers, poller=poller) as third, \
                            third.connect("broadcast") as visitor:
                        wait_until(lambda s=third: bus_of(s)["nodes"] >= 3, "the others")
                        for number in range(50):
                            visitor.send(message(10 + life, number))
                            peers[0].send(message(0, life * 50 + number))
                            peers[2].send(message(2, life * 50 + number))
                        acknowledged = 0
                        while acknowledged < 50:
                            acknowledged += visitor.line() == visitor.name.encode() + ACK_ANSWER
                        third.signal(signal.SIGTERM)
                        self.assertEqual(third.wait(), 0, third.describe())
                # 50 of each visitor by all four, 150 of each of the two by the three others
                wait_until(lambda: listener.total() == 3 * 50 * 4 + 2 * 150 * 3,
                           lambda: "%d heard, %s" % (listener.total(), listener.wrong[:3]))
                for server in servers:
                    self.assertEqual(sum(bus_of(server)["lost"].values()), 0, bus_of(server))
                listener.stop()
                self.assertEqual(listener.wrong, [])
                close_all(*peers)

    def test_rooms_share_a_connection(self):
        """Each node has one connection with a subscription for each room. The rooms are away together and come back
        together, whatever happens to NATS, and what they say is heard once, in that room."""
        names = ["r%d" % number for number in range(12)]
        for poller, workers in EACH:
            with self.subTest(poller=poller, workers=workers), contextlib.ExitStack() as stack:
                port = free_port()
                nats = stack.enter_context(Nats('http: "127.0.0.1:%d"' % port))
                servers = [stack.enter_context(node(nats.url(), workers=workers, poller=poller, rooms=names))
                           for _ in range(2)]
                all_connected(servers)
                wait_until(lambda: subscriptions(port) == [13, 13], lambda: "the rooms; %s" % subscriptions(port))
                peers = [server.connect("broadcast/" + name) for server in servers for name in names]
                listener = Listener(peers)
                wait_until(lambda: [bus_of(server)["members"] for server in servers] == [24, 24], "all members")
                said = [0]

                def say(count):
                    for _ in range(count):
                        for at, peer in enumerate(peers):
                            peer.send(message(at, said[0]))
                        said[0] += 1
                    wait_until(lambda: sum(listener.acknowledged) == said[0] * 24, "acknowledgements")

                def settle():
                    """What was said is heard by the other node, or missed while the bus was away."""
                    def heard(server):
                        bus = bus_of(server)
                        return bus["received"] + bus["lost"]["missed"]
                    wait_until(lambda: [heard(server) for server in servers] == [said[0] * 12] * 2,
                               lambda: "all of %d; %s" % (said[0], list(map(bus_of, servers))), seconds=60)
                    received = sum(bus_of(server)["received"] for server in servers)
                    wait_until(lambda: listener.total() == received, "members to hear it")
                say(20)
                settle()
                self.assertEqual(listener.total(), 20 * 24)
                nats.kill()
                for server in servers:
                    wait_until(lambda s=server: bus_of(s)["state"] == "degraded", "it to be away")
                say(5)
                nats.start()
                all_connected(servers)
                settle()
                nats.program.signal(signal.SIGSTOP)
                say(5)
                for server in servers:
                    wait_until(lambda s=server: bus_of(s)["state"] == "degraded", "it to be given up")
                say(5)
                nats.program.signal(signal.SIGCONT)
                all_connected(servers)
                settle()
                say(20)
                settle()
                wait_until(lambda: subscriptions(port) == [13, 13], lambda: "the rooms; %s" % subscriptions(port))
                listener.stop()
                self.assertEqual(listener.wrong, [])
                for at, heard in enumerate(listener.heard):
                    self.assertEqual(set(heard), {b"%d" % ((at + 12) % 24)})
                close_all(*peers)

    def test_rooms_of_other_subjects_hear_nothing(self):
        with Nats() as nats, node(nats.url()) as one, node(nats.url(), "--subject", "other") as two, \
                node(nats.url()) as three:
            all_connected((one, three))
            all_connected((two,))
            with one.connect("broadcast") as talker, two.connect("broadcast") as stranger, \
                    three.connect("broadcast") as member:
                listener, silent = Listener([member]), Listener([stranger])
                wait_until(lambda: bus_of(three)["members"] == 2, "members")
                talker.send(message(1, 1))
                wait_until(lambda: listener.total() == 1, "the room of that subject")
                self.assertEqual((silent.total(), silent.wrong), (0, []))
                listener.stop()
                silent.stop()

    def test_without_a_server_of_nats(self):
        """The room works, the status says so, and it ends at once."""
        nats = Nats()
        with node(nats.url(), "--log-level", "debug") as server:
            with server.connect("broadcast") as talker, server.connect("broadcast") as member:
                listener = Listener([member])
                wait_until(lambda: len(re.findall("event=bus_unreachable", server.err)) >= 3, "attempts")
                talker.send(message(1, 1))
                wait_until(lambda: listener.total() == 1, "the local member")
                status, text = ask(server, "/readyz")
                self.assertEqual(status, 200)
                self.assertRegex(text, r"\Aok\ndegraded: no bus for \d+ s\n\Z")
                self.assertEqual(bus_of(server)["state"], "degraded")
                self.assertIn("coracle_bus_connected 0\n", ask(server, "/metrics")[1])
                with nats:
                    all_connected((server,))
                    self.assertEqual(ask(server, "/readyz")[1], "ok\n")
                    self.assertIn("coracle_bus_connected 1\n", ask(server, "/metrics")[1])
                    self.assertEqual(server.err.count("level=warn event=bus_unreachable"), 1)
                listener.stop()

    def test_bad_command_lines(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, line in (("empty", "\n"), ("long", "user:" + "x" * 507 + "\n")):
                with open(folder + "/" + name, "w", encoding="ascii") as file:
                    file.write(line)
            for options, text in (
                    (("--bus", "nats://user:word@127.0.0.1"), "--bus-creds FILE"),
                    (("--bus", "nats://127.0.0.1", "--sandbox", "on"), "--sandbox and --bus cannot"),
                    (("--bus", "nats://127.0.0.1", "--subject", "a b"), "--subject: words"),
                    (("--bus", "nats://127.0.0.1", "--subject", "a.*"), "--subject: words"),
                    (("--bus", "nats://127.0.0.1:port"), "--bus: not a server"),
                    (("--bus", "nats://127.0.0.1,tls://[::1]:65536"), "--bus: not a server"),
                    (("--bus", "http://127.0.0.1"), "--bus: not a server"),
                    (("--bus", ","), "--bus: not a server"),
                    (("--bus", "nats://127.0.0.1", "--bus-ca", folder + "/none"), "--bus-ca: "),
                    *((("--bus", "nats://127.0.0.1", "--bus-creds", folder + name), folder + name + ": ")
                      for name in ("/none", "/empty", "/long"))):
                program = run_coracle("serve", *options, "broadcast=127.0.0.1:0")
                self.assertEqual(program.code, 78, program.describe())
                self.assertIn(text, program.err)
                self.assertEqual(program.err.count("\n"), 1)

    def test_tls_and_passwords(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            make_certificates(folder)
            with open(folder + "/creds", "w", encoding="ascii") as file:
                file.write("coracle:secret\n")
            nats = stack.enter_context(Nats(
                'authorization { user: coracle, password: secret }\n'
                'tls { cert_file: "%(at)s/server.pem", key_file: "%(at)s/server.key", ca_file: "%(at)s/ca.pem", '
                'verify: true }' % {"at": folder}))
            right = ("--bus-ca", folder + "/ca.pem", "--bus-cert", folder + "/node.pem", "--bus-key",
                     folder + "/node.key", "--bus-creds", folder + "/creds")
            servers = [stack.enter_context(node(nats.url("tls"), *right)) for _ in range(2)]
            all_connected(servers)
            with servers[0].connect("broadcast") as talker, servers[1].connect("broadcast") as member:
                listener = Listener([member])
                wait_until(lambda: bus_of(servers[1])["members"] == 2, "members")
                talker.send(message(1, 1))
                wait_until(lambda: listener.total() == 1, "the other node")
                listener.stop()
            for wrong in (right[2:], (*right[:1], folder + "/other.pem", *right[2:]), (*right[:2], *right[6:]),
                          right[:6]):
                server = stack.enter_context(node(nats.url("tls"), *wrong))
                server.wait_text("event=bus_unreachable", name="err")
                self.assertEqual(bus_of(server)["state"], "degraded")
                self.assertNotIn("secret", ask(server, "/status")[1])

    def test_a_credentials_file(self):
        """A user by a JWT of an account by a JWT of the operator, whom the server trusts; and users of whom that is not
        true."""
        unlimited = {key: -1 for key in ("subs", "data", "payload", "imports", "exports", "conn", "leaf")}
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            operator, account, user = (Nkey(folder, kind) for kind in ("operator", "account", "user"))
            other = Nkey(folder, "account", "other")
            right = account.token(user.public, "user", subs=-1, data=-1, payload=-1)
            mute = account.token(user.public, "user", subs=-1, data=-1, payload=-1, pub={"deny": ["coracle.room"]})
            strange = other.token(user.public, "user", subs=-1, data=-1, payload=-1)
            nats = stack.enter_context(Nats("operator: %s\nresolver: MEMORY\nresolver_preload: { %s: %s }" % (
                operator.token(operator.public, "operator"), account.public,
                operator.token(account.public, "account", limits=dict(unlimited, wildcards=True)))))

            def join(name, text):
                path = "%s/%s.creds" % (folder, name)
                with open(path, "w", encoding="ascii") as file:
                    file.write(text)
                return stack.enter_context(node(nats.url(), "--bus-creds", path))
            servers = [join("right", creds_text(right, user.seed)) for _ in range(2)]
            all_connected(servers)
            with servers[0].connect("broadcast") as talker, servers[1].connect("broadcast") as member:
                listener = Listener([member])
                wait_until(lambda: bus_of(servers[1])["members"] == 2, "members")
                talker.send(message(1, 1))
                wait_until(lambda: listener.total() == 1, "the other node")
                listener.stop()
            for name, text in (("strange", creds_text(strange, user.seed)), ("seed", creds_text(right, other.seed)),
                               ("mute", creds_text(mute, user.seed))):
                server = join(name, text)
                if name == "mute":  # it may listen, not talk: the others never hear of it
                    wait_until(lambda s=server: bus_of(s)["nodes"] == 3, "two others")
                    self.assertEqual([bus_of(one)["nodes"] for one in servers], [2, 2])
                else:
                    server.wait_text("event=bus_unreachable", name="err")
                    self.assertEqual(bus_of(server)["state"], "degraded")
                self.assertNotIn(user.seed, server.err + ask(server, "/status")[1])

    def test_its_metrics(self):
        with Nats() as nats, node(nats.url()) as server:
            all_connected((server,))
            text = ask(server, "/metrics")[1]
            for line in ("coracle_bus_connected 1", "coracle_bus_connects_total 1", "coracle_bus_nodes 1",
                         "coracle_bus_members 0", "coracle_bus_messages_sent_total 0",
                         "coracle_bus_messages_received_total 0", "coracle_bus_messages_repeated_total 0",
                         'coracle_bus_messages_lost_total{reason="backlog"} 0',
                         'coracle_bus_messages_lost_total{reason="too_long"} 0',
                         'coracle_bus_messages_lost_total{reason="missed"} 0',
                         'coracle_bus_frames_dropped_total{reason="slow_consumer"} 0',
                         'coracle_bus_frames_dropped_total{reason="malformed"} 0'):
                self.assertIn("\n" + line + "\n", text)
            self.assertRegex(ask(server, "/status?format=text")[1], r"\nbus connected for \d+ s, 1 node, 0 members, ")
        with serve("broadcast", options=("--admin", "127.0.0.1:0")) as server:
            server.wait_text("listening admin")
            server.addresses["admin"] = split_address(re.search("listening admin tcp (.*)", server.out).group(1))
            self.assertNotIn("coracle_bus", ask(server, "/metrics")[1])
            self.assertIsNone(bus_of(server))


if __name__ == "__main__":
    main()
