"""fileno(): what the loops wait on, read once when serving starts."""

from __future__ import annotations

import os
import select
import socket

import pytest

from support.clients import connected, exchange, nudge, read_to_end
from support.handlers import reply_ok
from support.serving import Loop, serving


class Boom(Exception):
    """What a hook raises."""


def test_fileno_is_the_listeners(make_server):
    """`return self.socket.fileno()`."""
    server = make_server()
    assert server.fileno() == server.socket.fileno()


def test_fileno_of_a_closed_server_is_minus_one(make_server):
    """As socket.fileno() has it."""
    server = make_server()
    server.server_close()
    assert server.fileno() == -1


def test_fileno_makes_the_server_selectable_by_others(make_server):
    """select, epoll and GLib loops take the server object itself."""
    server = make_server()
    assert select.select([server], [], [], 0) == ([], [], [])
    with select.epoll() as epoll, connected(server):
        epoll.register(server, select.EPOLLIN)
        assert epoll.poll(10) == [(server.fileno(), select.EPOLLIN)]


def test_fileno_server_is_selectable_while_another_thread_serves(make_server):
    """Nothing about the descriptor is exclusive to the loop."""
    server = make_server()
    with serving(server), select.epoll() as epoll:
        epoll.register(server, select.EPOLLIN)
        assert exchange(server) == b"ok"


@pytest.mark.parametrize("of", ["int", "bool-like int subclass"])
def test_fileno_overridden_is_what_the_loop_waits_on(make_server, enter_loop, of):
    """`selector.register(self)`: an own descriptor says when get_request may be called."""

    class Number(int):
        pass

    reader, writer = os.pipe()
    number = reader if of == "int" else Number(reader)

    def get_request(self):
        data = os.read(reader, 1)
        self._BaseServer__shutdown_request = True
        return data, "pipe"

    seen = []
    server = make_server(
        handler=lambda request, address, _: seen.append((request, address)),
        fileno=lambda self: number,
        get_request=get_request,
        shutdown_request=lambda self, request: None,
    )
    try:
        os.write(writer, b"x")
        enter_loop(server)
    finally:
        os.close(reader)
        os.close(writer)
    assert seen == [(b"x", "pipe")]


def test_fileno_overridden_with_stock_get_request_accepts_from_the_socket(make_server):
    """The descriptor wakes the loop, `self.socket` is accepted from."""
    wake_reader, wake_writer = os.pipe()
    server = make_server(fileno=lambda self: wake_reader)
    try:
        with connected(server) as client:
            os.write(wake_writer, b"x")
            server.handle_request()
            assert read_to_end(client) == b"ok"
    finally:
        os.close(wake_reader)
        os.close(wake_writer)


def test_fileno_is_read_once_when_serving_starts(make_server):
    """The selector keeps the descriptor."""
    reads = []

    def fileno(self):
        reads.append(1)
        return self.socket.fileno()

    server = make_server(fileno=fileno)
    with serving(server):
        assert [exchange(server) for _ in range(5)] == [b"ok"] * 5
    assert len(reads) <= 2  # register, and unregister by some


@pytest.mark.parametrize(
    ("result", "error"),
    [(-1, ValueError), (-7, ValueError), ("three", ValueError), (None, ValueError)],
)
def test_fileno_giving_no_descriptor_raises_valueerror(make_server, enter_loop, result, error):
    """selectors._fileobj_to_fd: `Invalid file object` or `Invalid file descriptor`."""
    server = make_server(fileno=lambda self: result)
    with pytest.raises(error, match="Invalid file"):
        enter_loop(server)


@pytest.mark.parametrize("error", [Boom, OSError, KeyboardInterrupt])
def test_fileno_raising_leaves_the_loop(make_server, enter_loop, error):
    """Only AttributeError, TypeError and ValueError are turned into ValueError."""

    def fileno(self):
        raise error

    server = make_server(fileno=fileno)
    with pytest.raises(error):
        enter_loop(server)


@pytest.mark.parametrize("error", [AttributeError, TypeError, ValueError])
def test_fileno_raising_a_programming_error_raises_valueerror(make_server, enter_loop, error):
    """selectors._fileobj_to_fd."""

    def fileno(self):
        raise error

    server = make_server(fileno=fileno)
    with pytest.raises(ValueError, match="Invalid file object"):
        enter_loop(server)


def test_fileno_on_the_instance_is_used(make_server):
    """`fileobj.fileno()` is an ordinary attribute access."""
    own, other = make_server(), make_server()
    own.fileno = other.socket.fileno
    own.get_request = other.socket.accept
    with connected(other) as client:
        own.handle_request()
        assert read_to_end(client) == b"ok"


def test_fileno_same_server_in_a_second_selector_keeps_serving(make_server):
    """An own epoll loop beside serve_forever."""
    server = make_server()
    with serving(server), select.epoll() as epoll:
        epoll.register(server.fileno(), select.EPOLLIN)
        for _ in range(5):
            assert exchange(server) == b"ok"
            epoll.poll(0)


def test_socket_replaced_while_serving_is_accepted_from_next(make_server):
    """`self.socket` is read at each accept, the waiting goes on with the old descriptor."""
    server = make_server()
    with socket.create_server(("127.0.0.1", 0)) as other:
        # The nudge below stays in the first backlog: accept() must not wait for ever.
        other.settimeout(0.01)
        with serving(server):
            assert exchange(server) == b"ok"
            own, server.socket = server.socket, other
            try:
                with socket.create_connection(other.getsockname(), 10) as client:
                    nudge(server)
                    assert read_to_end(client) == b"ok"
            finally:
                server.socket = own


def test_socket_replaced_by_a_listener_with_the_same_descriptor_serves(make_server):
    """The HTTPS recipe detaches the old socket object: same number, new object."""

    class Counting(socket.socket):
        count = 0

        def accept(self):
            Counting.count += 1
            return super().accept()

    server = make_server()
    with serving(server):
        assert exchange(server) == b"ok"
        server.socket = Counting(fileno=server.socket.detach())
        assert exchange(server) == b"ok"
    assert Counting.count >= 1


def test_socket_detached_for_a_moment_while_serving_serves_when_put_back(make_server):
    """wrap_socket() detaches the old object before the new one is in its place."""
    server = make_server()
    with serving(server):
        assert exchange(server) == b"ok"
        descriptor = server.socket.detach()
        with connected(server) as client:
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(1)
            client.settimeout(10)
            server.socket = socket.socket(fileno=descriptor)
            assert read_to_end(client) == b"ok"
        assert exchange(server) == b"ok"


def test_socket_none_while_the_loop_runs_ends_it_with_attributeerror(make_server):
    """pywebsocket3 sets it to None between requests; accept() on None is no OSError."""
    server = make_server()
    loop = Loop(server)
    assert exchange(server) == b"ok"
    own, server.socket = server.socket, None
    try:
        nudge(server)
        assert isinstance(loop.failure(), AttributeError)
    finally:
        server.socket = own


def test_socket_as_a_property_is_read(impl):
    """A subclass may compute it."""

    class Computed(impl.TCPServer):
        @property
        def socket(self):
            return self.listener

        @socket.setter
        def socket(self, value):
            self.listener = value

    with Computed(("127.0.0.1", 0), reply_ok) as server, serving(server):
        assert exchange(server) == b"ok"
