"""A loop that begins, or goes on, with too few descriptors for a poller of its own.

In processes that have imported nothing but the server.
"""

from __future__ import annotations

import pytest

from native.processes import run_program

PROGRAM = """
import os, resource, socket, sys, threading, time

import fastsocketserver

base, free = sys.argv[1], int(sys.argv[2])


def answer(request, client_address, server):
    request.sendall(b"ok")


class Server(getattr(fastsocketserver, base)):
    daemon_threads = True


server = Server(("127.0.0.1", 0), answer)
clients = [socket.socket() for _ in range(6)]
held = []


def leave(count):
    "Take all descriptors but so many."
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(7)[1]))
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        for _ in range(count):
            os.close(held.pop())


def give_back():
    while held:
        os.close(held.pop())


def ask():
    client = clients.pop()
    client.settimeout(20)
    client.connect(server.server_address)
    reply = client.recv(2)
    client.close()
    return reply


def serve():
    loop = threading.Thread(target=server.serve_forever, args=(0.05,))
    loop.start()
    return loop


def stop(loop):
    server.shutdown()
    loop.join(10)
    print("stopped" if not loop.is_alive() else "hangs")
"""


def run(base, free, then):
    return run_program(PROGRAM + then, base, str(free), flags=("-S",))


@pytest.mark.parametrize("free", [0, 1, 2, 3])
@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_loop_begun_with_few_descriptors_stops_when_told(base, free):
    """The standard module's needs none of its own."""
    assert run(base, free, "leave(free)\nstop(serve())\n") == ["stopped"]


@pytest.mark.parametrize("free", [1, 2])
@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_loop_begun_with_few_descriptors_serves(base, free):
    """One is enough for a connection."""
    then = """
leave(free)
loop = serve()
print(ask())
stop(loop)
"""
    assert run(base, free, then) == ["b'ok'", "stopped"]


@pytest.mark.parametrize("free", range(1, 8))
def test_children_are_watched_with_descriptors_that_are_left(free):
    """Never with the last one, with which the next request is accepted."""
    lines = run_program(
        PROGRAM
        + """
leave(free)
loop = serve()
for client in clients:  # which stay open, and so free none
    client.settimeout(20)
    client.connect(server.server_address)
    print(client.recv(2))
stop(loop)
""",
        "ForkingTCPServer",
        str(free),
        flags=("-W", "ignore::DeprecationWarning"),  # 3.12: a fork beside threads
    )
    assert lines == ["b'ok'"] * 6 + ["stopped"]


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_loop_begun_without_descriptors_can_be_woken_when_they_are_back(base):
    """It opens what it lacks, and then stops at once, whatever its poll interval."""
    then = """
leave(free)
loop = threading.Thread(target=server.serve_forever, args=(0.01,))
loop.start()
give_back()
print(ask(), ask())
stop(loop)
"""
    assert run(base, 0, then) == ["b'ok' b'ok'", "stopped"]


def test_loop_begun_without_descriptors_serves_on_after_all_threads_were_busy():
    """At `max_threads` nobody can wake it: it looks by itself whether one is free."""
    then = """
entered, go_on = threading.Semaphore(0), threading.Event()


def wait(request, client_address, server):
    entered.release()
    go_on.wait(20)
    request.sendall(b"ok")


server.RequestHandlerClass = wait
Server.limits = fastsocketserver.Limits(max_threads=1)
leave(2)
loop = serve()
first, second = clients.pop(), clients.pop()
for client in (first, second):
    client.settimeout(20)
    client.connect(server.server_address)
entered.acquire()
go_on.set()
print(first.recv(2), second.recv(2))
first.close()
second.close()
stop(loop)
"""
    assert run("ThreadingTCPServer", 2, then) == ["b'ok' b'ok'", "stopped"]


def test_loop_that_cannot_be_woken_looks_often_for_a_free_thread():
    """Twelve times one client at a time, which a look each five seconds would not do."""
    then = """
def wait(request, client_address, server):
    time.sleep(0.02)
    request.sendall(b"ok")


server.RequestHandlerClass = wait
Server.limits = fastsocketserver.Limits(max_threads=1)
clients += [socket.socket() for _ in range(6)]
leave(2)
loop = threading.Thread(target=server.serve_forever, args=(3600,))
loop.start()
for client in clients:
    client.settimeout(30)
    client.connect(server.server_address)
print({client.recv(2) for client in clients})
for client in clients:
    client.close()
stop(loop)
"""
    assert run("ThreadingTCPServer", 2, then) == ["{b'ok'}", "stopped"]


@pytest.mark.parametrize("logging", ["unused", "delayed file", "no stderr"])
@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer", "ForkingTCPServer"])
def test_exhaustion_is_survived_in_a_process_that_has_imported_nothing(base, logging):
    """No module can be read, and no log file opened, when there is no descriptor."""
    then = f"""
logging = {logging!r}
if logging == "delayed file":
    from logging import FileHandler, getLogger
    getLogger("fastsocketserver").addHandler(FileHandler(os.devnull, delay=True))
if logging == "no stderr":
    sys.stderr = None
loop = serve()
print(ask())
waiting = clients.pop()
waiting.settimeout(20)
leave(0)
waiting.connect(server.server_address)
until = time.monotonic() + 0.5
while time.monotonic() < until and loop.is_alive():
    time.sleep(0.01)
print(loop.is_alive())
give_back()
print(waiting.recv(2))
waiting.close()
print("logging" in sys.modules)
stop(loop)
server.server_close()
"""
    imported = str(logging == "delayed file")
    assert run(base, 0, then) == ["b'ok'", "True", "b'ok'", imported, "stopped"]


def test_error_report_needs_no_descriptor():
    """handle_error() imports what it prints a traceback with; it reads no file to do so."""
    then = """
def fail(request, client_address, server):
    leave(0)
    raise ZeroDivisionError


stock, server.RequestHandlerClass = server.RequestHandlerClass, fail
loop = serve()
client = clients.pop()
client.settimeout(20)
client.connect(server.server_address)
print(client.recv(2))
server.RequestHandlerClass = stock
give_back()
print(ask())
stop(loop)
"""
    assert run("TCPServer", 0, then) == ["b''", "b'ok'", "stopped"]


def test_child_forked_by_a_signal_handler_during_the_wait_serves_by_itself():
    """It shares nothing with its parent that wakes either: both can be stopped."""
    then = """
import signal

children = []
reader, writer = os.pipe()


def fork(number, frame):
    pid = os.fork()
    if pid:
        children.append(pid)
    else:
        children.append(None)
        os.write(writer, b".")  # os.fork() forgets signals that come before it returns


signal.signal(signal.SIGUSR1, fork)


def drive():
    print(ask(), flush=True)
    os.kill(os.getpid(), signal.SIGUSR1)
    os.read(reader, 1)
    while not children:
        time.sleep(0.001)
    # Both accept now; each is told to stop by a signal, on whatever thread it lands.
    os.kill(children[0], signal.SIGTERM)
    os.waitpid(children[0], 0)
    print("child stopped", flush=True)
    print(ask(), flush=True)
    server.shutdown()


signal.signal(signal.SIGTERM, lambda *_: server.shutdown())
driver = threading.Thread(target=drive)
driver.start()
server.serve_forever(3600)
if children and children[0] is None:
    os._exit(0)
driver.join()
print("parent stopped")
"""
    assert run("TCPServer", 0, then) == ["b'ok'", "child stopped", "b'ok'", "parent stopped"]


def test_descriptor_number_that_is_not_open_does_not_end_the_loop(make_server):
    """poll(2) calls it ready; get_request() decides."""
    calls = []

    def get_request(self):
        calls.append(1)
        if len(calls) == 3:
            self._BaseServer__shutdown_request = True
        raise OSError("nobody is there")

    server = make_server(fileno=lambda self: 99999, get_request=get_request)
    server.serve_forever(0.01)
    assert len(calls) == 3
