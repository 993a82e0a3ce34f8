# SPDX-License-Identifier: MIT
"""The programs of tests/e2e/go, built when they are needed."""
import os
import subprocess
import tempfile

from harness import SOURCE, Program, Server, need_tool, wait_until

_go_folder = None


def go_path(name):
    """Builds tests/e2e/go/NAME.go once per test run (the standard library only, no network); gives the binary."""
    global _go_folder
    go = need_tool("go")
    if _go_folder is None:
        _go_folder = tempfile.TemporaryDirectory(prefix="coracle-go-")
    binary = os.path.join(_go_folder.name, name)
    if not os.path.exists(binary):
        cache = os.path.join(tempfile.gettempdir(), "coracle-go-cache-%d" % os.getuid())
        env = dict(os.environ, GO111MODULE="off", GOFLAGS="", GOPROXY="off", GOCACHE=cache)
        built = subprocess.run([go, "build", "-o", binary, os.path.join(SOURCE, "tests", "e2e", "go", name + ".go")],
                               env=env, capture_output=True, text=True, timeout=240, check=False)
        if built.returncode != 0:
            raise AssertionError("go build %s: %s" % (name, built.stderr))
    return binary


def go(name, *argv, **more):
    return Program([go_path(name), *argv], **more)


def go_server(name, *argv):
    """Starts a Go server on a port of the kernel's choice; the port is read from /proc since it does not tell."""
    server = Server([go_path(name), *argv])
    try:
        ports = wait_until(server.listening_ports, lambda: "a listener of " + server.describe())
    except BaseException:
        server.stop()
        raise
    server.addresses = {name: ("127.0.0.1", ports[0])}
    return server
