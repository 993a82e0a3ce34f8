# SPDX-License-Identifier: MIT
"""The guide's key-value server, driven by redis-cli and by hand, and the guide's program that runs hiredis in tasks."""
import signal
import subprocess

from harness import WORKERS, Case, Listener, closed_port, example, example_server, finish, main, need_tool


def kv_server(workers=1):
    return example_server("kv_server", "127.0.0.1:0", workers=workers)


def command(*parts):
    """A command as clients send it: an array of binary-safe strings."""
    parts = [part if isinstance(part, bytes) else part.encode() for part in parts]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def redis_cli(server, *argv, stdin=b""):
    done = subprocess.run([need_tool("redis-cli"), "-p", str(server.address()[1]), *argv], input=stdin,
                          capture_output=True, timeout=60, check=False)
    return done.stdout


class KeyValueServer(Case):
    def test_redis_cli(self):
        for workers in WORKERS:
            with self.subTest(workers=workers), kv_server(workers) as server:
                for asked, answer in (("ping", b"PONG\n"), ("set boat coracle", b"OK\n"), ("get boat", b"coracle\n"),
                                      ("set boat kayak", b"OK\n"), ("get boat", b"kayak\n"), ("get none", b"\n"),
                                      ("incr visits", b"1\n"), ("INCR visits", b"2\n"), ("get visits", b"2\n"),
                                      ("del boat", b"1\n"), ("del boat", b"0\n"), ("get boat", b"\n"),
                                      ("echo hello", b"hello\n"), ("set n -1", b"OK\n"), ("incr n", b"0\n")):
                    self.assertEqual(redis_cli(server, *asked.split()), answer, asked)
                self.assertEqual(redis_cli(server, "hmset", "a", "b"),
                                 b"ERR unknown command 'hmset' with 2 arguments\n\n")
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 0, server.describe())

    def test_pipelined(self):
        """redis-cli --pipe counts the answers: none is lost, kept back, or one too many."""
        with kv_server(2) as server:
            load = b"".join(command("SET", "key %d" % (i % 1000), "x" * (i % 300)) for i in range(20000))
            self.assertIn(b"errors: 0, replies: 20000\n", redis_cli(server, "--pipe", stdin=load))
            self.assertEqual(redis_cli(server, "get", "key 7"), b"x" * (19007 % 300) + b"\n")

    def test_any_bytes_and_any_pieces(self):
        value = bytes(range(256)) * 4000  # more than the writer's buffer, with CR LF and NUL in it
        with kv_server() as server, server.connect() as peer:
            peer.send(command("SET", b"\0\r\n", value) + command("GET", b"\0\r\n"))
            answer = b"+OK\r\n$%d\r\n%s\r\n" % (len(value), value)
            self.assertEqual(peer.read(len(answer)), answer)
            peer.dribble(command("SET", "", "") + b"get nothing\r\n\r\n*0\r\n" + command("GET", "") + b"ping\n")
            self.assertEqual(peer.read(5 + 5 + 6 + 7), b"+OK\r\n$-1\r\n$0\r\n\r\n+PONG\r\n")

    def test_inline(self):
        with kv_server() as server, server.connect() as peer:
            peer.send("set  a b \r\nget a\r\nEcho c\nset a\r\n")
            expected = (b"+OK\r\n$1\r\nb\r\n$1\r\nc\r\n-ERR unknown command 'set' with 1 arguments\r\n")
            self.assertEqual(peer.read(len(expected)), expected)

    def test_numbers(self):
        with kv_server() as server, server.connect() as peer:
            wrong = b"-ERR value is not an integer or out of range\r\n"
            for value in ("9223372036854775807", "", " 1", "+1", "1 ", "1.0", "-", "9" * 30, "-" + "9" * 30, "1\0"):
                peer.send(command("SET", "n", value) + command("INCR", "n") + command("GET", "n"))
                expected = b"+OK\r\n" + wrong + b"$%d\r\n%s\r\n" % (len(value), value.encode())
                self.assertEqual(peer.read(len(expected)), expected, value)
            peer.send(command("SET", "n", "9223372036854775806") + command("INCR", "n"))
            self.assertEqual(peer.read(5 + 22), b"+OK\r\n:9223372036854775807\r\n")

    def test_hostile(self):
        """Whoever does not speak RESP, or too much of it, is told so and closed; the others notice nothing."""
        refused = b"-ERR Protocol error: no command, or one that is too long\r\n"
        with kv_server() as server, server.connect() as other:
            for bad in (b"*1\r\n:4\r\nPING\r\n", b"*33\r\n", b"*-1\r\n", b"*\n", b"*1x\r\n", b"*1\n", b"*" + b"9" * 40,
                        b"*1\r\n$4\r\nPINGxx", b"*2\r\n$3\r\nGET\r\n$1048577\r\n", b"a " * 33 + b"\r\n", b"a" * 20000,
                        command("SET", "a" * 600000, "b" * 600000)):
                with server.connect() as peer:
                    peer.send(bad)
                    self.assertEqual(peer.read_all(), refused, bad[:20])
            with server.connect() as peer:
                peer.send(command("a\r\n+OK\r\n\x1b[2J"))
                peer.half_close()
                self.assertEqual(peer.read_all(), b"-ERR unknown command 'a' with 0 arguments\r\n")
            with server.connect() as peer:
                peer.send(b"*2\r\n$3\r\nGET\r\n$5\r\nab")  # and ends in the middle
            other.send(command("PING"))
            self.assertEqual(other.read(7), b"+PONG\r\n")

    def test_one_that_does_not_read_holds_up_nobody(self):
        value = "x" * 1000000
        with kv_server() as server, server.connect(small_buffer=4096) as slow, server.connect() as peer:
            peer.send(command("SET", "big", value))
            self.assertEqual(peer.read(5), b"+OK\r\n")
            slow.send(command("GET", "big") * 100)
            self.assertEqual(slow.read(4), b"$100")
            for new in ("a", "b"):
                peer.send(command("SET", "big", new) + command("GET", "big"))
                self.assertEqual(peer.read(5 + 7), b"+OK\r\n$1\r\n%s\r\n" % new.encode())


class HiredisInTasks(Case):
    def run_tasks(self, address, tasks, times, workers=1):
        host, port = address
        return finish(example("hiredis_tasks", host, str(port), str(tasks), str(times),
                              env={"COR_WORKERS": str(workers)}))

    def test_many_tasks(self):
        for workers in WORKERS:
            with self.subTest(workers=workers), kv_server(workers) as server:
                done = self.run_tasks(server.address(), 50, 40, workers)
                self.assertEqual((done.out, done.err, done.code), ("2000 answers\n", "", 0), done.describe())
                self.assertEqual(redis_cli(server, "get", "visits"), b"2000\n")

    def test_error_of_the_server(self):
        with kv_server() as server:
            redis_cli(server, "set", "visits", "many")
            done = self.run_tasks(server.address(), 3, 5)
        self.assertIn("server: ERR value is not an integer or out of range\n", done.err)
        self.assertEqual((done.out, done.code), ("0 answers, ended by: protocol error\n", 1), done.describe())

    def test_nobody_there(self):
        host, port = closed_port().split(":")
        done = self.run_tasks((host, int(port)), 3, 5)
        self.assertIn("hiredis: Connection refused\n", done.err)
        self.assertEqual(done.code, 1, done.describe())

    def test_the_first_time_out_ends_all(self):
        with Listener() as silent:
            done = self.run_tasks(silent.address, 3, 1)
        self.assertEqual((done.out, done.err, done.code), ("0 answers, ended by: i/o timeout\n", "", 1),
                         done.describe())

    def test_the_server_leaves(self):
        with Listener() as listener, example("hiredis_tasks", *map(str, listener.address), "1", "1") as program:
            peer = listener.accept()
            self.assertEqual(peer.line(), b"*2\r\n")
            peer.close()
            self.assertEqual(program.wait(), 1, program.describe())
            self.assertIn("hiredis: ", program.err)


if __name__ == "__main__":
    main()
