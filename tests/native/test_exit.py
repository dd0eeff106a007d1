"""The end of the interpreter: requests are finished, idle workers keep nobody waiting.

Each program ends within the deadline of `run_program`, far below its idle time-out.
"""

from __future__ import annotations

import pytest

from native.processes import run_program

PROGRAM = """
import os, socket, sys, threading, time
import fastsocketserver

busy = threading.Event()
finish = threading.Event()

def handler(request, address, server):
    if request.recv(1) == b"b":
        busy.set()
        finish.wait()
        os.write(1, b"finished\\n")  # in one piece, whoever else prints
    request.sendall(b"ok")

class Server(fastsocketserver.ThreadingTCPServer):
    daemon_threads = {daemon}
    limits = fastsocketserver.Limits(thread_idle_timeout=3600)

server = Server(("127.0.0.1", 0), handler)
serving = threading.Thread(target=server.serve_forever, daemon=True)
serving.start()

def ask(kind):
    client = socket.create_connection(server.server_address, 20)
    client.sendall(kind)
    return client

def main_has_ended():
    while threading.main_thread().is_alive():
        time.sleep(0.001)
"""


def run(then, daemon=False):
    return run_program(PROGRAM.format(daemon=daemon) + then)


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("count", [1, 50])
def test_exit_with_idle_workers_is_at_once(daemon, count):
    """Nobody closes the server."""
    then = f"""
clients = [ask(b"a") for _ in range({count})]
assert [client.recv(2) for client in clients] == [b"ok"] * {count}
print("main ends", flush=True)
"""
    assert run(then, daemon) == ["main ends"]


def test_exit_finishes_busy_requests_first():
    """Threads that are no daemons."""
    then = """
clients = [ask(b"b") for _ in range(5)]
busy.wait()
while len(server._threads) < 5:
    time.sleep(0.001)
threading.Thread(target=lambda: (main_has_ended(), finish.set()), daemon=True).start()
print("main ends", flush=True)
"""
    assert run(then) == ["main ends"] + ["finished"] * 5


def test_exit_leaves_busy_daemonic_requests():
    """Nobody waits for them."""
    then = """
client = ask(b"b")
busy.wait()
print("main ends", flush=True)
"""
    assert run(then, daemon=True) == ["main ends"]


def test_exit_does_not_wait_for_workers_of_requests_that_came_while_exiting():
    """The interpreter waits for a busy request; others come meanwhile, and are soon done."""
    then = """
client = ask(b"b")
busy.wait()

def ask_then_finish():
    main_has_ended()
    # The interpreter has begun to exit when it has told the idle workers.
    for _ in range(20):
        with ask(b"a") as other:
            try:
                other.recv(2)
            except OSError:
                pass
        time.sleep(0.005)
    finish.set()

threading.Thread(target=ask_then_finish, daemon=True).start()
print("main ends", flush=True)
"""
    assert run(then) == ["main ends", "finished"]


def test_exit_in_the_middle_of_a_storm_ends():
    """Clients in daemon threads go on and on while the interpreter ends."""
    then = """
def storm():
    while True:
        try:
            with ask(b"a") as client:
                client.recv(2)
        except OSError:
            pass

for _ in range(4):
    threading.Thread(target=storm, daemon=True).start()
time.sleep(0.2)
print("main ends", flush=True)
"""
    assert run(then, daemon=True) == ["main ends"]


def test_exit_with_an_atexit_function_that_closes_the_server():
    """The usual place for it."""
    then = """
import atexit

@atexit.register
def close():
    server.shutdown()
    server.server_close()
    print("closed", flush=True)

clients = [ask(b"a") for _ in range(3)]
assert [client.recv(2) for client in clients] == [b"ok"] * 3
print("main ends", flush=True)
"""
    assert run(then) == ["main ends", "closed"]


def test_exit_by_keyboard_interrupt_ends():
    """Ctrl-C in a server that runs on the main thread, with an idle worker."""
    then = """
import signal
server.shutdown()
serving.join()

def interrupt():
    with ask(b"a") as client:
        client.recv(2)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    server.serve_forever()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    assert run(then) == ["interrupted"]
