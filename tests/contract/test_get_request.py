"""get_request: whatever it returns flows on; an OSError means no request after all."""

from __future__ import annotations

import io
import socket
import ssl
import threading

import pytest

from support.clients import DEADLINE_S, connected, exchange, nudge, read_to_end
from support.handlers import reply_address
from support.serving import Background, Loop, serving, wait_for


class Boom(Exception):
    """What a hook raises."""


class Stream:
    """A request that is no socket: what some programs return from get_request."""

    def __init__(self, sock):
        self._owned = sock

    def write(self, data):
        self._owned.sendall(data)

    def close(self):
        self._owned.close()

    def shutdown(self, how):
        self._owned.shutdown(how)


def test_get_request_stock_returns_socket_and_address(make_server):
    """`return self.socket.accept()`."""
    server = make_server()
    with connected(server) as client:
        request, address = server.get_request()
        with request:
            assert address == client.getsockname() == request.getpeername()


def test_get_request_super_result_is_what_accept_gives(impl, make_server, enter_loop):
    """An override may count, wrap and set options."""
    seen = []

    def get_request(self):
        request, address = impl.TCPServer.get_request(self)
        seen.append(request.getpeername() == address)
        request.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._BaseServer__shutdown_request = True
        return request, address

    def handler(request, client_address, server):
        request.sendall(b"%d" % request.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    server = make_server(get_request=get_request, handler=handler)
    with connected(server) as client:
        enter_loop(server)
        assert read_to_end(client) == b"1"
    assert seen == [True]


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer", "UnixStreamServer"])
def test_get_request_super_in_a_real_subclass_serves(impl, free_address, base):
    """`super().get_request()` works inside."""
    parent = getattr(impl, base)

    class Counting(parent):
        count = 0

        def get_request(self):
            pair = super().get_request()
            self.count += 1
            return pair

    with Counting(free_address(Counting), reply_address) as server:
        with serving(server):
            for _ in range(3):
                exchange(server)
        assert server.count == 3


def test_get_request_own_accept_serves(make_server):
    """`return self.socket.accept()` written out in a subclass."""
    server = make_server(get_request=lambda self: self.socket.accept())
    with serving(server):
        assert exchange(server) == b"ok"


def test_get_request_waiting_for_two_connections_blocks_for_the_second(make_server):
    """The listener blocks for an override that accepts twice, as accept() does."""

    def get_request(self):
        first, address = self.socket.accept()
        second, _ = self.socket.accept()
        second.sendall(b"second")
        second.close()
        return first, address

    server = make_server(get_request=get_request)
    with serving(server), connected(server) as first:
        first.settimeout(0.05)
        with pytest.raises(TimeoutError):
            first.recv(1)
        first.settimeout(10)
        assert exchange(server) == b"second"
        assert read_to_end(first) == b"ok"


def test_get_request_put_in_while_serving_blocks_for_a_second_connection(make_server):
    """The listener is as it was made, whatever the loop has done with it before."""
    first = threading.Event()
    server = make_server()

    def get_request():
        server.socket.accept()[0].close()
        first.set()
        return server.socket.accept()

    with serving(server):
        assert exchange(server) == b"ok"
        server.get_request = get_request
        assert exchange(server) == b""
        wait_for(first)
        assert exchange(server) == b"ok"
        del server.get_request


@pytest.mark.parametrize(
    "address", [None, "", "name", ("a", 1), (("nested", 1), object), ["list"], 5, b"bytes"]
)
def test_get_request_any_address_flows_on(impl, make_server, enter_loop, address):
    """Radicale: a nested tuple as client_address; it reaches every later hook."""
    seen = []

    def get_request(self):
        self._BaseServer__shutdown_request = True
        return self.socket.accept()[0], address

    def verify_request(self, request, client_address):
        seen.append(client_address)
        return True

    def process_request(self, request, client_address):
        seen.append(client_address)
        impl.TCPServer.process_request(self, request, client_address)

    server = make_server(
        handler=lambda request, client_address, server: seen.append(client_address),
        get_request=get_request,
        verify_request=verify_request,
        process_request=process_request,
    )
    with connected(server):
        enter_loop(server)
    assert len(seen) == 3
    assert all(one is address for one in seen)


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_get_request_request_that_is_no_socket_flows_on(make_server, base):
    """`(stream, address)` objects that are not sockets reach the handler and are closed."""

    def get_request(self):
        request, address = self.socket.accept()
        return Stream(request), address

    def handler(request, client_address, server):
        assert type(request) is Stream
        request.write(b"streamed")

    server = make_server(base, get_request=get_request, handler=handler)
    with serving(server):
        assert exchange(server) == b"streamed"


@pytest.mark.parametrize("pair", [list, iter, tuple])
def test_get_request_any_iterable_of_two_is_unpacked(make_server, enter_loop, pair):
    """`request, client_address = self.get_request()`."""

    def get_request(self):
        self._BaseServer__shutdown_request = True
        return pair(self.socket.accept())

    server = make_server(get_request=get_request)
    with connected(server) as client:
        enter_loop(server)
        assert read_to_end(client) == b"ok"


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (None, TypeError),
        (5, TypeError),
        ((), ValueError),
        ((1,), ValueError),
        ((1, 2, 3), ValueError),
    ],
)
def test_get_request_of_another_shape_leaves_the_loop(make_server, enter_loop, result, error):
    """The unpacking stands in the `try`, but only OSError is caught."""
    server = make_server(get_request=lambda self: result)
    with connected(server), pytest.raises(error):
        enter_loop(server)


@pytest.mark.parametrize(
    "error",
    [
        OSError,
        ConnectionAbortedError,
        TimeoutError,
        BlockingIOError,
        InterruptedError,
        PermissionError,
        ssl.SSLError,
        socket.gaierror,
        io.UnsupportedOperation,
    ],
)
def test_get_request_oserror_is_swallowed_and_the_loop_goes_on(impl, make_server, error):
    """`except OSError: return`; nothing else is called."""
    calls = []

    def get_request(self):
        request, address = impl.TCPServer.get_request(self)
        calls.append("get")
        if len(calls) > 1:
            return request, address
        request.close()
        raise error("refused")

    def unexpected(self, *args):
        pytest.fail("a refused request was shut down")

    server = make_server(get_request=get_request, handle_error=unexpected)
    with serving(server):
        assert exchange(server) == b""
        assert exchange(server) == b"ok"


def test_get_request_refusing_the_only_client_does_not_wait_for_the_next(impl, make_server):
    """It may block: the loop asks it again when somebody is there, and not before."""

    def get_request(self):
        request, _ = impl.TCPServer.get_request(self)
        request.close()
        raise OSError("refused")

    server = make_server(get_request=get_request)
    loop = Loop(server)
    try:
        assert exchange(server) == b""
        server._BaseServer__shutdown_request = True
        loop.thread.join(DEADLINE_S / 2)
        assert not loop.thread.is_alive()
    finally:
        server._BaseServer__shutdown_request = True
        if loop.thread.is_alive():
            nudge(server)
        loop.join()


@pytest.mark.parametrize(
    "error", [Boom, ValueError, KeyboardInterrupt, SystemExit, MemoryError]
)
def test_get_request_other_exception_leaves_the_loop(make_server, enter_loop, error):
    """M2Crypto's SSLError is no OSError: it leaves serve_forever (confirmed)."""
    touched = []

    def get_request(self):
        raise error

    server = make_server(
        get_request=get_request,
        handle_error=lambda self, *args: touched.append("handle_error"),
        shutdown_request=lambda self, *args: touched.append("shutdown_request"),
    )
    with connected(server), pytest.raises(error):
        enter_loop(server)
    assert not touched


def test_get_request_called_by_hand_takes_the_next_connection(make_server):
    """It is a public method: usable outside of any loop."""
    server = make_server()
    with connected(server) as first, connected(server) as second:
        for client in (first, second):
            request, address = server.get_request()
            request.close()
            assert address == client.getsockname()


def test_get_request_called_by_hand_blocks(make_server):
    """It waits for the connection, as accept() does."""
    server = make_server()
    taken = Background(server.get_request)
    with connected(server) as client:
        request, address = taken.join()
        request.close()
        assert address == client.getsockname()


def test_get_request_called_by_hand_honours_the_listeners_timeout(make_server):
    """accept() of a socket with a timeout."""
    server = make_server()
    server.socket.settimeout(0.02)
    with pytest.raises(TimeoutError):
        server.get_request()


def test_get_request_called_by_hand_on_a_nonblocking_listener_raises_while_serving(make_server):
    """The program itself made it so: that is no flag of the loop's."""
    server = make_server()
    server.socket.setblocking(False)
    with serving(server):
        assert exchange(server) == b"ok"
        with pytest.raises(BlockingIOError):
            server.get_request()


def test_get_request_called_by_hand_on_a_closed_server_raises_oserror(make_server):
    """EBADF, as accept() has it."""
    server = make_server()
    server.server_close()
    with pytest.raises(OSError, match="descriptor"):
        server.get_request()


def test_get_request_after_serving_takes_what_waits(make_server):
    """Nothing is held back by the loop that ended."""
    server = make_server()
    with serving(server):
        exchange(server)
    with connected(server) as client:
        request, address = server.get_request()
        request.close()
        assert address == client.getsockname()


def test_get_request_while_socket_is_a_function(make_server, enter_loop, monkeypatch):
    """As test suites replace `socket.socket`; `accept()` makes its socket by that name."""
    plain = socket.socket

    def get_request(self):
        self._BaseServer__shutdown_request = True
        return super(type(self), self).get_request()

    server = make_server(get_request=get_request)
    with connected(server) as client:
        monkeypatch.setattr(socket, "socket", lambda *args, **named: plain(*args, **named))
        enter_loop(server)
        monkeypatch.undo()
        assert read_to_end(client) == b"ok"


def test_get_request_of_a_server_without_a_handler(make_server, enter_loop):
    """`finish_request()` is overridden, and the attribute never set."""

    def get_request(self):
        self._BaseServer__shutdown_request = True
        return super(type(self), self).get_request()

    def finish_request(self, request, client_address):
        request.sendall(b"ok")

    server = make_server(get_request=get_request, finish_request=finish_request)
    del server.RequestHandlerClass
    with connected(server) as client:
        enter_loop(server)
        assert read_to_end(client) == b"ok"
