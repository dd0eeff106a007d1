"""service_actions: called by serve_forever over and over, also when nothing comes."""

from __future__ import annotations

import threading

import pytest

from support.clients import connected, exchange, nudge, read_to_end
from support.serving import Loop, serving, wait_for
from support.waiting import wait_until


class Boom(Exception):
    """What a hook raises."""


def test_service_actions_overridden_ticks_while_idle(make_server):
    """pynetdicom's gc, session reapers: about every poll_interval."""
    ticks = []
    server = make_server(service_actions=lambda self: ticks.append(1))
    with serving(server, 0.01):
        wait_until(lambda: len(ticks) >= 5)


def test_service_actions_set_on_the_instance_ticks_while_idle(make_server):
    """An instance attribute counts as overridden."""
    ticks = []
    server = make_server()
    server.service_actions = lambda: ticks.append(1)
    with serving(server, 0.01):
        wait_until(lambda: len(ticks) >= 5)


def test_service_actions_is_called_after_a_request_without_waiting_for_a_tick(make_server):
    """With an hour's interval only the request wakes the loop."""
    called = threading.Event()
    server = make_server(service_actions=lambda self: called.set())

    def handler(request, client_address, server):
        assert not called.is_set()
        request.sendall(b"ok")

    server.RequestHandlerClass = handler
    loop = Loop(server, 3600)
    assert exchange(server) == b"ok"
    wait_for(called)
    server._BaseServer__shutdown_request = True
    nudge(server)
    loop.join()


def test_service_actions_runs_on_the_serving_thread(make_server):
    """Part of the loop."""
    threads = []
    server = make_server(
        service_actions=lambda self: threads.append(threading.current_thread())
    )
    with serving(server) as loop:
        wait_until(lambda: threads)
    assert set(threads) == {loop.thread}


@pytest.mark.parametrize("error", [Boom, OSError, KeyboardInterrupt, SystemExit])
def test_service_actions_raising_leaves_the_loop(make_server, error):
    """Nothing catches it, OSError included."""

    def service_actions(self):
        raise error

    server = make_server(service_actions=service_actions)
    with pytest.raises(error):
        server.serve_forever(0.01)
    assert server._BaseServer__is_shut_down.is_set()


def test_service_actions_replaced_while_ticking_takes_effect(make_server):
    """The attribute is looked up at each turn."""
    first, second = threading.Event(), threading.Event()
    server = make_server(service_actions=lambda self: first.set())
    with serving(server, 0.01):
        wait_for(first)
        server.service_actions = second.set
        wait_for(second)


def test_service_actions_called_from_an_own_loop_does_nothing(make_server):
    """Radicale calls it from its own loop; the stock one returns None."""
    assert make_server().service_actions() is None


def test_service_actions_with_no_interval_serves(make_server):
    """poll_interval=None: no ticks, only wake-ups."""
    called = threading.Event()
    server = make_server(service_actions=lambda self: called.set())
    loop = Loop(server, None)
    assert exchange(server) == b"ok"
    wait_for(called)
    server._BaseServer__shutdown_request = True
    nudge(server)
    loop.join()


def test_service_actions_busy_interval_serves(make_server):
    """poll_interval=0 turns as fast as it can."""
    ticks = []
    server = make_server(service_actions=lambda self: ticks.append(1))
    with serving(server, 0):
        wait_until(lambda: len(ticks) >= 50)
        assert exchange(server) == b"ok"


def test_service_actions_may_serve_by_itself(make_server):
    """It may call handle_request() for a connection that waits."""

    def service_actions(self):
        self.timeout = 0
        self.handle_request()

    server = make_server(service_actions=service_actions)
    with connected(server) as first, connected(server) as second, serving(server):
        assert read_to_end(first) == read_to_end(second) == b"ok"


def test_service_actions_not_called_when_the_flag_is_set_before(make_server):
    """`while not self.__shutdown_request` is false from the beginning."""
    calls = []
    server = make_server(service_actions=lambda self: calls.append(1))
    server._BaseServer__shutdown_request = True
    server.serve_forever(0.01)
    assert not calls
