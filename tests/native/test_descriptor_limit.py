"""No descriptor left, in processes of their own: little CPU, few words, and recovery."""

from __future__ import annotations

import pytest

from native.processes import run_program

PROGRAM = '''
import contextlib, logging, os, resource, socket, sys, threading, time
import fastsocketserver

class Records(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)

records = Records()
logging.getLogger("fastsocketserver").addHandler(records)

@contextlib.contextmanager
def no_descriptor_left():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    held = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        yield
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

closed = []

class Server(fastsocketserver.{base}):
    def close_request(self, request):
        super().close_request(request)
        closed.append(request)

server = Server(("127.0.0.1", 0), lambda request, *_: request.sendall(b"ok"))

def answer(client):
    client.settimeout(20)
    return client.recv(2)

def exchange():
    """Its descriptors (a child has one, too) are free again: the limit that follows is real."""
    before = len(closed)
    with socket.create_connection(server.server_address, 20) as client:
        answer(client)
    while len(closed) == before or getattr(server, "active_children", None):
        time.sleep(0.001)
'''

BASES = ["TCPServer", "ThreadingTCPServer", "ForkingTCPServer"]


def run(base, then):
    return run_program(PROGRAM.format(base=base) + then, flags=("-W", "ignore"))


@pytest.mark.parametrize("base", BASES)
def test_descriptor_limit_with_clients_waiting_costs_little_and_passes(base):
    """CPU time over a second, log records, and all clients answered after relief."""
    then = """
loop = threading.Thread(target=server.serve_forever)
loop.start()
exchange()
waiting = [socket.socket() for _ in range(50)]
with no_descriptor_left():
    for client in waiting:
        client.connect(server.server_address)
    began, cpu = time.monotonic(), time.process_time()
    time.sleep(1)
    took, used = time.monotonic() - began, time.process_time() - cpu
print(used < 0.5 * took)
print([answer(client) for client in waiting] == [b"ok"] * 50)
elapsed = time.monotonic() - began
print(1 <= len(records.records) <= 2 + elapsed)
print({record.name for record in records.records})
print({record.levelname for record in records.records})
server.shutdown()
loop.join()
server.server_close()
"""
    assert run(base, then) == ["True"] * 3 + ["{'fastsocketserver'}", "{'WARNING'}"]


@pytest.mark.parametrize("base", BASES)
def test_descriptor_limit_does_not_delay_shutdown(base):
    """The loop waits for a second by now."""
    then = """
loop = threading.Thread(target=server.serve_forever)
loop.start()
exchange()
waiting = socket.socket()
with no_descriptor_left():
    waiting.connect(server.server_address)
    while not records.records:
        time.sleep(0.001)
    server.shutdown()
    loop.join()
print("stopped")
server.server_close()
"""
    assert run(base, then) == ["stopped"]


@pytest.mark.parametrize("base", BASES)
def test_descriptor_limit_reached_before_serving_does_not_end_it(base):
    """serve_forever() itself needs none on the standard module; clients are served later."""
    then = """
failures = []

def serve():
    try:
        server.serve_forever()
    except BaseException as error:
        failures.append(error)

waiting = socket.socket()
with no_descriptor_left():
    waiting.connect(server.server_address)
    loop = threading.Thread(target=serve)
    loop.start()
    loop.join(0.3)
print(failures)
if not failures:
    print(answer(waiting))
    server.shutdown()
loop.join()
server.server_close()
"""
    assert run(base, then) == ["[]", "b'ok'"]


@pytest.mark.parametrize("base", BASES)
def test_descriptor_limit_reached_before_serving_again_does_not_end_it(base):
    """With workers, or watched children, from the last time."""
    then = """
def serve():
    global loop
    loop = threading.Thread(target=server.serve_forever)
    loop.start()

def stop():
    server.shutdown()
    loop.join()

serve()
exchange()
stop()
waiting = socket.socket()
with no_descriptor_left():
    waiting.connect(server.server_address)
    serve()
    loop.join(0.3)
    print(loop.is_alive())
print(answer(waiting))
stop()
server.server_close()
"""
    assert run(base, then) == ["True", "b'ok'"]


def test_descriptor_limit_handle_request_over_and_over_says_so_once_a_second():
    """Each call has a loop of its own; the record is the server's."""
    then = """
waiting = socket.socket()
with no_descriptor_left():
    waiting.connect(server.server_address)
    began = time.monotonic()
    for _ in range(100):
        server.handle_request()
    elapsed = time.monotonic() - began
print(1 <= len(records.records) <= 1 + elapsed)
server.server_close()
"""
    assert run("TCPServer", then) == ["True"]


def test_descriptor_limit_handle_request_returns(fast):
    """A loop of one's own around handle_request() goes on, without hurry."""
    then = """
waiting = socket.socket()
with no_descriptor_left():
    waiting.connect(server.server_address)
    calls = 0
    began, cpu = time.monotonic(), time.process_time()
    while time.monotonic() < began + 1:
        server.handle_request()
        calls += 1
    took, used = time.monotonic() - began, time.process_time() - cpu
print(calls > 1, used < 0.5 * took)
server.handle_request()
print(answer(waiting))
server.server_close()
"""
    assert run("TCPServer", then) == ["True True", "b'ok'"]
