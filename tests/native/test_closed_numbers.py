"""A program closes all descriptors but those it knows, as daemons do, while it is served."""

from __future__ import annotations

import pytest

from native.processes import run_program

PROGRAM = """
import importlib, os, resource, signal, socket, sys, time

module, tick, reuse, door = sys.argv[1:]
socketserver = importlib.import_module(module)


def close_others(*kept):
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                pass  # that of the listing


def handle(request, client_address, server):
    if request.recv(5) == b"close":
        close_others(server.fileno(), request.fileno())
        if reuse == "reused":
            server.files = [os.pipe() for _ in range(4)]
            for _, writer in server.files:
                os.write(writer, b"not yours")
    request.sendall(b"ok")


server = socketserver.TCPServer(("127.0.0.1", 0), handle)
server.files = []
if tick == "tick":
    server.service_actions = lambda: None
parent = os.getpid()
if os.fork() == 0:
    try:
        for data in (b"close", b"again", b"again"):
            with socket.create_connection(server.server_address, 10) as client:
                client.sendall(data)
                assert client.recv(2) == b"ok"
        os.kill(parent, signal.SIGTERM)
    except BaseException as error:
        print(error, flush=True)
        os.kill(parent, signal.SIGKILL)
    finally:
        os._exit(0)


def stop(*args):
    server._BaseServer__shutdown_request = True


signal.signal(signal.SIGTERM, stop)
if door == "serve_forever":
    server.serve_forever(0.05)
else:
    server.timeout = 0.05
    while not server._BaseServer__shutdown_request:
        server.handle_request()
os.wait()
print([os.read(reader, 100) == b"not yours" for reader, _ in server.files])
print("little" if time.process_time() < 5 else "spins")
"""


@pytest.mark.parametrize("module", ["socketserver", "fastsocketserver"])
@pytest.mark.parametrize("tick", ["tick", "none"])
@pytest.mark.parametrize("reuse", ["reused", "free"])
@pytest.mark.parametrize("door", ["serve_forever", "handle_request"])
def test_loop_survives_that_its_descriptors_are_closed(module, tick, reuse, door):
    """It opens others, and touches nothing that has their numbers now."""
    intact = [True] * 4 if reuse == "reused" else []
    assert run_program(PROGRAM, module, tick, reuse, door) == [str(intact), "little"]
