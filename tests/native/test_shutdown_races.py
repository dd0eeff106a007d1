"""Starting and stopping, from many threads, over and over."""

from __future__ import annotations

import os
import threading

import pytest

from fastsocketserver._base import _nobody_else_serves
from fastsocketserver._state import state_of
from support import leaks
from support.clients import connect, exchange, read_to_end
from support.serving import Background, Loop, wait_for

HOUR_S = 3600
FLAG = "_BaseServer__shutdown_request"


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer", "UDPServer"])
def test_shutdown_from_many_threads_returns_when_the_loop_has_ended(server_of, base):
    """All of them, and none before."""
    server = server_of(base)
    for _ in range(100):
        loop = Loop(server, HOUR_S)
        stopping = [Background(server.shutdown) for _ in range(5)]
        for each in stopping:
            each.join()
        loop.join()
        # One that came after the end has latched: use that up.
        server._BaseServer__shutdown_request = False


def test_shutdown_that_comes_when_the_flag_has_been_looked_at_knows_of_the_loop(server_of):
    """Either it sees who serves, or that sees the flag: never neither."""
    known = []

    def look(server):
        here = threading.get_ident()
        known.append(here in state_of(server).serving_idents())
        return vars(server).get(FLAG)

    def store(server, value):
        vars(server)[FLAG] = value

    server = server_of("TCPServer", **{FLAG: property(look, store)})
    known.clear()
    vars(server)[FLAG] = True
    server.serve_forever()
    assert known
    assert all(known)


@pytest.mark.parametrize(("others", "alone"), [([], True), ([1], False), ([1, 2], False)])
def test_shutdown_from_a_serving_thread_waits_for_other_loops_alone(server_of, others, alone):
    """One server, served by several threads."""
    server = server_of("TCPServer")
    state = state_of(server)
    state.knows_who_serves = True
    here = threading.get_ident()
    state.serving += [(os.getpid(), here + offset) for offset in [0, *others]]
    assert _nobody_else_serves(server) is alone


def test_shutdown_waits_for_a_loop_that_begins_while_the_last_one_ends(server_of, monkeypatch):
    """The event is set; before its setter goes on, the next loop has cleared it."""
    entered, leave = threading.Event(), threading.Event()

    def handler(*_):
        entered.set()
        assert leave.wait(20)

    server = server_of("TCPServer", handler=handler)
    first = Loop(server, HOUR_S)
    exchange_later = []
    stock_set = threading.Event.set

    def set_then_begin_again(self):
        stock_set(self)
        if self is server._BaseServer__is_shut_down and not exchange_later:
            exchange_later.append(Loop(server, HOUR_S))
            exchange_later.append(connect(server))
            wait_for(entered)

    monkeypatch.setattr(threading.Event, "set", set_then_begin_again)
    server.shutdown()
    first.join()
    monkeypatch.setattr(threading.Event, "set", stock_set)
    second, client = exchange_later
    try:
        stopping = Background(server.shutdown)
        stopping.thread.join(0.3)
        assert stopping.thread.is_alive(), "shutdown() returned while the loop was serving"
    finally:
        leave.set()
        stopping.join()
        second.join()
        client.close()


@pytest.mark.parametrize(
    "base", ["TCPServer", "ThreadingTCPServer", "UDPServer", "ForkingTCPServer"]
)
def test_loops_after_each_other_leave_nothing(server_of, base):
    """Hundreds of them on one server."""
    server = server_of(base)
    before = leaks.take_snapshot()
    for _ in range(300):
        loop = Loop(server, HOUR_S)
        loop.stop()
    assert not leaks.settled_additions(before)


def test_shutdown_storm_against_accept_loses_no_connection(server_of):
    """Stopped and begun again all the time: who is accepted is served, who is not waits."""
    server = server_of()
    over = threading.Event()

    def restart():
        while not over.is_set():
            Loop(server, HOUR_S).stop()

    restarting = Background(restart)
    try:
        clients = [Background(lambda: [exchange(server) for _ in range(100)]) for _ in range(4)]
        for client in clients:
            assert client.join() == [b"ok"] * 100
    finally:
        over.set()
        restarting.join()


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_server_close_racing_the_loop_ends_it(fast, base):
    """Hundreds of times, with clients in between; no shutdown() before it."""
    for number in range(150):
        server = getattr(fast, base)(("127.0.0.1", 0), lambda request, *_: None)
        loop = Loop(server, HOUR_S)
        with connect(server):
            if number % 3:
                wait = threading.Event()
                wait.wait(0.0005 * (number % 5))
            server.server_close()
            loop.join()


def test_server_close_in_one_thread_foreign_listener_is_never_accepted_from(fast):
    """A listener that gets the number at once: its clients are not ours."""
    import os
    import socket

    for _ in range(100):
        with socket.create_server(("127.0.0.1", 0)) as foreign:
            server = fast.TCPServer(("127.0.0.1", 0), lambda request, *_: request.sendall(b"x"))
            loop = Loop(server, HOUR_S)
            exchange(server)
            number = server.fileno()
            with socket.create_connection(foreign.getsockname(), 20) as client:
                server.server_close()
                os.dup2(foreign.fileno(), number)
                loop.join()
                os.close(number)
                accepted, _ = foreign.accept()
                accepted.close()
                assert read_to_end(client) == b""
