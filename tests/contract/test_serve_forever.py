"""serve_forever: what it serves, when it ends, what its argument may be."""

from __future__ import annotations

import socket
import threading

import pytest

from support.clients import connected, exchange, read_exactly, read_to_end
from support.handlers import Gate, reply_ok
from support.serving import Background, Loop, serving, wait_for
from support.waiting import wait_until


def test_serve_forever_serves_one_after_the_other(make_server):
    """A connection per exchange, many times."""
    server = make_server()
    with serving(server):
        assert [exchange(server) for _ in range(50)] == [b"ok"] * 50


def test_serve_forever_serves_connections_that_waited_before_it_started(make_server):
    """The backlog is served first, in order of arrival."""
    order = []

    def note(request, client_address, server):
        order.append(client_address)

    server = make_server(handler=note)
    with connected(server) as a, connected(server) as b, connected(server) as c:
        expected = [client.getsockname() for client in (a, b, c)]
        with serving(server):
            assert [read_to_end(client) for client in (a, b, c)] == [b""] * 3
    assert order == expected


def test_serve_forever_handles_on_its_own_thread(make_server):
    """Up to process_request, and inline all of it, happens on the serving thread."""
    threads = []
    server = make_server(handler=lambda *_: threads.append(threading.current_thread()))
    with serving(server) as loop:
        exchange(server)
    assert threads == [loop.thread]


def test_serve_forever_returns_none(make_server):
    """There is no return value."""
    server = make_server()
    loop = Loop(server)
    exchange(server)
    server.shutdown()
    assert loop.join() is None


@pytest.mark.parametrize("interval", [None, 0, -1, 0.001, 3])
def test_serve_forever_interval_of_any_sign_serves(make_server, interval):
    """selector.select: None waits, zero and less do not block."""

    def stop(request, client_address, server):
        request.sendall(b"bye")
        server._BaseServer__shutdown_request = True

    server = make_server(handler=stop)
    with connected(server) as client:
        server.serve_forever(interval)
        assert read_to_end(client) == b"bye"


def test_serve_forever_interval_by_keyword_serves(make_server):
    """The parameter's name is poll_interval."""
    server = make_server()
    loop = Background(lambda: server.serve_forever(poll_interval=0.01))
    assert exchange(server) == b"ok"
    server.shutdown()
    loop.join()


@pytest.mark.parametrize(
    ("interval", "error"),
    [
        ("soon", TypeError),
        ([], TypeError),
        (object(), TypeError),
        (float("nan"), ValueError),
        (float("inf"), OverflowError),
    ],
)
def test_serve_forever_interval_that_is_none_raises_as_select_does(
    make_server, interval, error
):
    """PollSelector.select: `timeout <= 0`, then math.ceil(timeout * 1e3)."""
    server = make_server()
    with pytest.raises(error):
        server.serve_forever(interval)


@pytest.mark.parametrize("interval", ["soon", float("nan")])
def test_serve_forever_after_a_wrong_interval_serves(make_server, interval):
    """The `finally` leaves the server as one that has ended."""
    server = make_server()
    with pytest.raises((TypeError, ValueError)):
        server.serve_forever(interval)
    assert server._BaseServer__is_shut_down.is_set()
    with serving(server):
        assert exchange(server) == b"ok"


def test_serve_forever_closed_server_raises_valueerror(make_server):
    """selector.register: `Invalid file descriptor: -1`."""
    server = make_server()
    server.server_close()
    with pytest.raises(ValueError, match="descriptor"):
        server.serve_forever()
    assert server._BaseServer__is_shut_down.is_set()


def test_serve_forever_server_without_fileno_raises_valueerror(impl):
    """selector.register: `Invalid file object` for what has no fileno()."""
    server = impl.BaseServer(None, reply_ok)
    with pytest.raises(ValueError, match="file object"):
        server.serve_forever()


def test_serve_forever_not_listening_socket_swallows_accept_errors(make_server):
    """accept() says EINVAL: an OSError, so no request, and the loop goes on to its end."""
    server = make_server(bind_and_activate=False)
    server.server_bind()
    loop = Loop(server)
    server.shutdown()
    assert loop.join() is None


def test_serve_forever_a_second_time_serves(make_server):
    """Restart: shutdown() resets all that the next serve_forever() needs."""
    server = make_server()
    for _ in range(5):
        with serving(server):
            assert exchange(server) == b"ok"


def test_serve_forever_between_two_handle_requests_serves(make_server):
    """State is per call."""
    server = make_server()
    for _ in range(2):
        with connected(server) as client:
            server.handle_request()
            assert read_to_end(client) == b"ok"
        with serving(server):
            assert exchange(server) == b"ok"


def test_serve_forever_leaves_the_listener_as_it_found_it(make_server):
    """Whoever uses the listener afterwards finds it blocking."""
    import os

    server = make_server()
    with serving(server):
        exchange(server)
    assert server.socket.gettimeout() is None
    assert os.get_blocking(server.socket.fileno())


@pytest.mark.parametrize("timeout", [0, 0.5, 60])
def test_serve_forever_listener_with_a_timeout_serves(make_server, timeout):
    """pynetdicom, paste: settimeout() on the listening socket."""
    server = make_server()
    server.socket.settimeout(timeout)
    with serving(server):
        assert exchange(server) == b"ok"
    assert server.socket.gettimeout() == timeout


def test_serve_forever_ignores_the_servers_timeout(make_server):
    """`timeout` and handle_timeout belong to handle_request."""
    timeouts = []
    ticks = []
    server = make_server(
        timeout=0.001,
        handle_timeout=lambda self: timeouts.append(1),
        service_actions=lambda self: ticks.append(1),
    )
    with serving(server):
        wait_until(lambda: len(ticks) > 3)
        assert exchange(server) == b"ok"
    assert not timeouts


def test_serve_forever_as_a_class_attribute_of_another_class_serves(impl, make_server):
    """dulwich: `serve = socketserver.TCPServer.serve_forever`."""
    server = make_server(serve=impl.TCPServer.serve_forever)
    loop = Background(server.serve, 0.01)
    assert exchange(server) == b"ok"
    server.shutdown()
    loop.join()


def test_serve_forever_overridden_calling_super_serves(impl, make_server):
    """Three observed projects extend it."""
    log = []

    def serve_forever(self, poll_interval=0.01):
        log.append("before")
        try:
            impl.TCPServer.serve_forever(self, poll_interval)
        finally:
            log.append("after")

    server = make_server(serve_forever=serve_forever)
    with serving(server):
        assert exchange(server) == b"ok"
    assert log == ["before", "after"]


def test_serve_forever_handler_attribute_replaced_while_serving_is_used(make_server):
    """finish_request reads RequestHandlerClass at each request."""
    server = make_server()
    with serving(server):
        assert exchange(server) == b"ok"
        server.RequestHandlerClass = lambda request, *_: request.sendall(b"new")
        assert exchange(server) == b"new"


def test_serve_forever_stop_flag_between_two_waiting_requests_keeps_the_second(make_server):
    """`while not self.__shutdown_request`: what waits is served by the next loop."""

    def stop(request, client_address, server):
        request.sendall(b"served")
        server._BaseServer__shutdown_request = True

    server = make_server(handler=stop)
    with connected(server) as first, connected(server) as second:
        server.serve_forever(0.01)
        assert read_to_end(first) == b"served"
        second.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.recv(1)
        second.settimeout(10)
        server.serve_forever(0.01)
        assert read_to_end(second) == b"served"


def test_serve_forever_stop_flag_then_handle_request_serves_what_waited(make_server):
    """The connection not taken by the loop is there for handle_request()."""

    def stop(request, client_address, server):
        request.sendall(b"served")
        server._BaseServer__shutdown_request = True

    server = make_server(handler=stop)
    with connected(server) as first, connected(server) as second:
        server.serve_forever(0.01)
        assert read_to_end(first) == b"served"
        server.handle_request()
        assert read_to_end(second) == b"served"


def test_serve_forever_stop_flag_then_accept_by_others_gets_what_waited(make_server):
    """Nothing is consumed behind the caller's back: the backlog is the kernel's."""

    def stop(request, client_address, server):
        server._BaseServer__shutdown_request = True

    server = make_server(handler=stop)
    with connected(server) as first, connected(server) as second:
        server.serve_forever(0.01)
        assert read_to_end(first) == b""
        accepted, address = server.socket.accept()
        accepted.close()
        assert address == second.getsockname()


def test_serve_forever_clients_that_vanished_are_skipped(make_server):
    """A reset before accept is an error or a dead request, never the loop's end."""
    import struct

    server = make_server(handle_error=lambda self, request, client_address: None)
    for _ in range(4):
        with socket.create_connection(server.server_address) as client:
            linger = struct.pack("ii", 1, 0)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    with serving(server):
        assert exchange(server) == b"ok"


def test_serve_forever_stays_busy_with_one_request_and_lets_others_wait(make_server):
    """Synchronous: the second is served when the first is done."""
    gate = Gate()
    server = make_server(handler=gate)
    with serving(server), connected(server) as first, connected(server) as second:
        wait_for(gate.entered)
        assert read_exactly(first, 2) == b"in"
        second.settimeout(0.05)
        with pytest.raises(TimeoutError):
            second.recv(1)
        second.settimeout(10)
        gate.opened.set()
        assert read_to_end(first) == b"out"
        assert read_to_end(second) == b"inout"


def test_serve_forever_mixin_behind_the_server_is_not_threaded(impl, free_address):
    """Observed: `class X(TCPServer, ThreadingMixIn)` stays synchronous."""
    threads = []

    class Wrong(impl.TCPServer, impl.ThreadingMixIn):
        pass

    handler = lambda *_: threads.append(threading.current_thread())  # noqa: E731
    with Wrong(free_address(Wrong), handler) as server, serving(server) as loop:
        exchange(server)
    assert threads == [loop.thread]


def test_serve_forever_metaclass_and_abc_mixing_serves(impl, free_address):
    """`class NNTPServer(abc.ABC, ThreadingMixIn, TCPServer)`."""
    import abc

    class Abstract(abc.ABC, impl.ThreadingMixIn, impl.TCPServer):
        pass

    with Abstract(free_address(Abstract), reply_ok) as server, serving(server):
        assert exchange(server) == b"ok"


def test_two_servers_each_in_its_own_thread_serve(make_server):
    """Nothing is shared between servers."""
    servers = [make_server(), make_server("ThreadingTCPServer"), make_server()]
    with serving(servers[0]), serving(servers[1]), serving(servers[2]):
        for _ in range(5):
            assert [exchange(server) for server in servers] == [b"ok"] * 3


def test_serve_forever_of_another_server_inside_a_handler_serves(make_server):
    """A loop may run within a loop, on one thread."""
    inner = make_server(handler=lambda request, *_: request.sendall(b"inner"))

    def outer_handler(request, client_address, server):
        with serving(inner):
            request.sendall(exchange(inner))

    outer = make_server(handler=outer_handler)
    with serving(outer):
        assert exchange(outer) == b"inner"
