"""What a program that just ends does to the threads of its servers."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import socket, sys, threading
import {module} as socketserver

class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"in")
        {handle}

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = {daemon}

server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = socket.create_connection(server.server_address, 10)
assert client.recv(2) == b"in"
{then}
print("main ends", flush=True)
"""


def run(impl, handle="pass", then="pass", daemon=False):
    """Run the program; what it printed."""
    program = textwrap.dedent(PROGRAM).format(
        module=impl.__name__, handle=handle, then=then, daemon=daemon
    )
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_exit_with_a_running_nondaemonic_request_waits_for_it(impl):
    """threading._shutdown joins threads that are not daemonic."""
    handle = "threading.Event().wait(0.3); print('handler ends', flush=True)"
    assert run(impl, handle) == ["main ends", "handler ends"]


def test_exit_with_a_blocked_daemonic_request_does_not_wait(impl):
    """daemon_threads = True: nobody waits for a handler that never ends."""
    assert run(impl, "threading.Event().wait()", daemon=True) == ["main ends"]


@pytest.mark.parametrize("daemon", [True, False])
def test_exit_without_closing_the_server_ends(impl, daemon):
    """No shutdown(), no server_close(): the program ends all the same."""
    assert run(impl, daemon=daemon) == ["main ends"]


def test_exit_after_closing_the_server_ends(impl):
    """The proper way."""
    assert run(impl, then="server.shutdown(); server.server_close()") == ["main ends"]


def test_package_serves_with_warnings_as_errors(impl):
    """`python -W error`: importing and serving warns about nothing."""
    program = f"""
import socket, threading
import {impl.__name__} as socketserver

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline())

for kind in ("TCPServer", "ThreadingTCPServer"):
    with getattr(socketserver, kind)(("127.0.0.1", 0), Handler) as server:
        loop = threading.Thread(target=server.serve_forever, args=(0.01,))
        loop.start()
        with socket.create_connection(server.server_address, 10) as client:
            client.sendall(b"line\\n")
            assert client.recv(10) == b"line\\n"
        server.shutdown()
        loop.join()
print("served")
"""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("served\n", "")
