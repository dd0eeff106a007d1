"""shutdown(): ends the loop, and has waited for it when it returns."""

from __future__ import annotations

import socket
import threading

import pytest

from support.clients import (
    ask,
    connected,
    datagram_client,
    exchange,
    read_exactly,
    read_to_end,
)
from support.handlers import Gate, reply_ok
from support.idle import wait_until_asleep
from support.serving import Background, Loop, serving, wait_for


def test_shutdown_returns_when_the_loop_has_ended(impl, make_server):
    """`self.__is_shut_down.wait()`."""
    ended = []

    def serve_forever(self, poll_interval):
        try:
            impl.TCPServer.serve_forever(self, poll_interval)
        finally:
            ended.append(self._BaseServer__is_shut_down.is_set())

    server = make_server(serve_forever=serve_forever)
    loop = Loop(server)
    exchange(server)
    assert server.shutdown() is None
    assert server._BaseServer__is_shut_down.is_set()
    loop.join()
    assert ended == [True]


def test_shutdown_waits_for_the_request_in_hand(make_server):
    """The loop ends between two requests, never within one."""
    gate = Gate()
    server = make_server(handler=gate)
    loop = Loop(server)
    with connected(server) as client:
        wait_for(gate.entered)
        stopping = Background(server.shutdown)
        assert read_exactly(client, 2) == b"in"
        assert not server._BaseServer__is_shut_down.wait(0.05)
        gate.opened.set()
        assert read_to_end(client) == b"out"
    stopping.join()
    loop.join()


def test_shutdown_after_the_loop_ended_returns(make_server):
    """The Event stays set."""
    server = make_server()
    with serving(server):
        exchange(server)
    server.shutdown()


def test_shutdown_after_the_loop_ended_ends_the_next_one_at_once(make_server):
    """The flag stays up until the next serve_forever()'s `finally`."""
    server = make_server()
    with serving(server):
        exchange(server)
    server.shutdown()
    server.serve_forever()
    with serving(server):
        assert exchange(server) == b"ok"


def test_shutdown_before_the_loop_started_ends_it(make_server):
    """test_socketserver, test_shutdown: a race that must not hang."""
    for _ in range(20):
        server = make_server()
        loop = Loop(server)
        server.shutdown()
        loop.join()


def test_shutdown_twice_and_by_several_threads_returns(make_server):
    """All who wait on the Event are woken."""
    server = make_server()
    loop = Loop(server)
    exchange(server)
    stopping = [Background(server.shutdown) for _ in range(5)]
    for stop in stopping:
        stop.join()
    loop.join()
    server.shutdown()


def test_shutdown_after_the_loop_died_by_exception_returns(make_server):
    """`finally: self.__is_shut_down.set()`."""

    def service_actions(self):
        raise RuntimeError("dead")

    server = make_server(service_actions=service_actions)
    with pytest.raises(RuntimeError, match="dead"):
        server.serve_forever(0.01)
    server.shutdown()


def test_shutdown_from_a_handler_thread_ends_the_loop(make_server):
    """ThreadingMixIn: the handler's thread is not the serving one."""

    def handler(request, client_address, server):
        server.shutdown()
        request.sendall(b"down")

    server = make_server("ThreadingTCPServer", handler=handler)
    loop = Loop(server)
    assert exchange(server) == b"down"
    loop.join()


def test_shutdown_leaves_the_listener_open(make_server):
    """Only server_close() closes it: clients can connect and wait."""
    server = make_server()
    with serving(server):
        pass
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b"ok"


def test_shutdown_does_not_stop_requests_in_threads(make_server):
    """Handlers in threads run to their end."""
    gate = Gate()
    server = make_server("ThreadingTCPServer", handler=gate)
    with connected(server) as client:
        with serving(server):
            wait_for(gate.entered)
        gate.opened.set()
        assert read_to_end(client) == b"inout"


def test_shutdown_overridden_calling_super_ends_the_loop(impl, make_server):
    """Six observed projects extend it."""
    log = []

    def shutdown(self):
        log.append("shutdown")
        impl.TCPServer.shutdown(self)

    server = make_server(shutdown=shutdown)
    with serving(server):
        exchange(server)
    assert log == ["shutdown"]


def test_shutdown_of_one_server_leaves_another_running(make_server):
    """No state is shared."""
    one, other = make_server(), make_server()
    with serving(other):
        with serving(one):
            exchange(one)
        assert exchange(other) == b"ok"


def test_shutdown_start_and_stop_sixty_times_leaves_no_thread(make_server):
    """Test suites do this hundreds of times (the leak guard checks descriptors)."""
    server = make_server("ThreadingTCPServer")
    before = set(threading.enumerate())
    for _ in range(60):
        with serving(server, 0.001):
            pass
    assert set(threading.enumerate()) == before


def test_shutdown_while_many_clients_connect_loses_no_accepted_one(make_server):
    """Each client gets a whole reply, from this loop or from the next."""
    server = make_server(request_queue_size=64)
    with serving(server):
        clients = [Background(exchange, server) for _ in range(20)]
    with serving(server):
        assert [client.join() for client in clients] == [b"ok"] * 20


def test_shutdown_on_server_without_init_uses_class_level_mocks(impl):
    """Test suites replace the Event on the CLASS and never call __init__."""
    from unittest import mock

    event = mock.Mock()
    half = type("Half", (impl.TCPServer,), {"_BaseServer__is_shut_down": event})
    server = half.__new__(half)
    server.RequestHandlerClass = reply_ok
    server.shutdown()
    event.wait.assert_called_once_with()
    assert server._BaseServer__shutdown_request is True


def talk(server):
    """One request: after it the loop is up, and asleep or about to be."""
    if server.socket_type == socket.SOCK_DGRAM:
        with datagram_client(server) as client:
            ask(client, b"hello")
    else:
        exchange(server)


def store_in_dict(self, name, value):
    """A `__setattr__` as programs write it: past every property."""
    self.__dict__[name] = value


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer", "UDPServer"])
def test_shutdown_of_a_class_that_stores_attributes_itself_ends_the_loop(make_server, base):
    """The flag is an attribute like any other there."""
    server = make_server(base, __setattr__=store_in_dict)
    for _ in range(3):
        loop = Loop(server)
        talk(server)
        server.shutdown()
        loop.join()


@pytest.mark.parametrize("base", ["TCPServer", "UDPServer"])
def test_flag_stored_in_the_dictionary_by_setattr_ends_the_loop(make_server, base):
    """Setting it is all that the program does: a poll notices."""
    server = make_server(base, __setattr__=store_in_dict)
    loop = Loop(server, 0.3)
    talk(server)
    wait_until_asleep(loop.thread)
    server._BaseServer__shutdown_request = True
    loop.join()


def test_shutdown_waits_for_a_loop_that_serve_forever_was_replaced_by(make_server):
    """On the instance; it is not known when that begins or ends, but for the event."""
    gate = Gate()
    server = make_server()

    def serve_forever(poll_interval=0.5):
        server._BaseServer__is_shut_down.clear()
        gate.entered.set()
        assert gate.opened.wait(20)
        server._BaseServer__is_shut_down.set()

    server.serve_forever = serve_forever
    loop = Loop(server)
    wait_for(gate.entered)
    stopping = Background(server.shutdown)
    stopping.thread.join(0.1)
    assert stopping.thread.is_alive()
    gate.opened.set()
    stopping.join()
    loop.join()


def test_shutdown_waits_on_an_event_that_was_replaced(make_server):
    """Whatever stands there is asked."""

    class Waited(Exception):
        pass

    class Event(threading.Event):
        def wait(self, timeout=None):
            raise Waited

    server = make_server()
    server._BaseServer__is_shut_down = Event()
    with pytest.raises(Waited):
        server.shutdown()
