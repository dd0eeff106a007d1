"""What a server is in the midst of when the interpreter ends: status 0, and not a word.

Under `-X dev -W error` the standard module says nothing in these programs; nor do we.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import atexit, os, socket, threading, time
import {module} as socketserver

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"in\\n")
        {handle}

class Server(socketserver.{base}):
    daemon_threads = {daemon}

server = Server(("127.0.0.1", 0), Handler)

def serve_in_thread(daemon=True):
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=daemon)
    thread.start()
    return thread

def ask():
    client = socket.create_connection(server.server_address, 10)
    if client.recv(3) != b"in\\n":
        raise SystemExit("no answer")
    return client

def close(*clients):
    for client in clients:
        client.close()

{then}
print("main ends", flush=True)
"""

# Clients that are closed, so that all ResourceWarnings are the server's.
SERVED = "serve_in_thread(); close(*[ask() for _ in range(5)])"
BLOCKED_FOR_EVER = "threading.Event().wait()"
READING = "self.rfile.readline()"
SPINNING = "while True: pass"
# A connection that no socket object can warn about.
STAYING = "[ask().detach() for _ in range(3)]"


def run(impl, then, base="ThreadingTCPServer", handle="pass", daemon=True, flags=()):
    """Run the program; its status, output and error output."""
    program = textwrap.dedent(PROGRAM).format(
        module=impl.__name__, base=base, handle=handle, then=then, daemon=daemon
    )
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, *flags, "-c", program],
        capture_output=True,
        text=True,
        timeout=40,
        env=environment,
        check=False,
    )
    return done.returncode, done.stdout.split(), done.stderr


STRICT = ("-X", "dev", "-W", "error")
FLAGS = pytest.mark.parametrize("flags", [(), STRICT], ids=["plain", "strict"])
CLEAN = (0, ["main", "ends"], "")


@FLAGS
@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer", "ForkingTCPServer"])
def test_exit_with_a_daemonic_loop_is_silent(impl, base, daemon, flags):
    """Served, and nothing closed: the loop sleeps, workers are idle."""
    assert run(impl, SERVED, base, daemon=daemon, flags=flags) == CLEAN


@FLAGS
@pytest.mark.parametrize("handle", [BLOCKED_FOR_EVER, READING, SPINNING])
def test_exit_with_blocked_daemonic_requests_is_silent(impl, handle, flags):
    """On a lock, in recv(2), in Python code."""
    then = f"serve_in_thread(); {STAYING}"
    assert run(impl, then, handle=handle, flags=flags) == CLEAN


@FLAGS
@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer", "ForkingTCPServer"])
def test_exit_with_atexit_closing_the_server_is_silent(impl, base, daemon, flags):
    """shutdown() and server_close() in an atexit function."""
    then = f"""
@atexit.register
def stop():
    server.shutdown()
    server.server_close()
{SERVED}
"""
    assert run(impl, then, base, daemon=daemon, flags=flags) == CLEAN


@FLAGS
def test_exit_with_atexit_serving_requests_is_silent(impl, flags):
    """handle_request() in an atexit function still serves, without threads or processes."""
    then = """
waiting = socket.create_connection(server.server_address, 10)

@atexit.register
def serve_last():
    server.handle_request()
    if waiting.recv(3) != b"in\\n":
        os._exit(1)
    waiting.close()
    server.server_close()
"""
    assert run(impl, then, "TCPServer", flags=flags) == CLEAN


@FLAGS
def test_exit_with_a_daemonic_handle_request_is_silent(impl, flags):
    """A thread that waits in handle_request()."""
    then = """
threading.Thread(target=server.handle_request, daemon=True).start()
time.sleep(0.05)
"""
    assert run(impl, then, flags=flags) == CLEAN


@FLAGS
def test_exit_after_keyboard_interrupt_in_serve_forever_is_silent(impl, flags):
    """The idiom of most programs."""
    then = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)

def interrupt():
    close(ask())
    os.kill(os.getpid(), signal.SIGINT)

sender = threading.Thread(target=interrupt)
sender.start()
try:
    server.serve_forever(0.01)
except KeyboardInterrupt:
    pass
server.server_close()
sender.join()
"""
    assert run(impl, then, flags=flags) == CLEAN


@FLAGS
def test_exit_with_a_nondaemonic_loop_stopped_by_a_thread_is_silent(impl, flags):
    """The interpreter waits for the loop; a daemonic thread stops it meanwhile."""
    then = """
serve_in_thread(daemon=False)
close(ask())

def stop():
    threading.main_thread().join()
    server.shutdown()
    server.server_close()

threading.Thread(target=stop, daemon=True).start()
"""
    assert run(impl, then, flags=flags) == CLEAN


@FLAGS
def test_exit_with_a_storm_of_clients_and_a_daemonic_loop_ends(fast, flags):
    """Requests are taken and threads are started until the very end.

    The standard module cannot prove it: its threads report that they cannot start, and
    CPython 3.10 dies when daemonic threads print at that time.
    """
    then = """
def storm():
    while True:
        try:
            close(ask())
        except OSError:
            pass

serve_in_thread()
for _ in range(3):
    threading.Thread(target=storm, daemon=True).start()
time.sleep(0.1)
"""
    status, output, _ = run(fast, then, flags=flags)
    assert (status, output) == (0, ["main", "ends"])
