"""_handle_request_noblock: private by name, overridden and called all the same."""

from __future__ import annotations

import select

import pytest

from support.clients import connected, exchange, read_to_end
from support.serving import serving


def test_noblock_overridden_is_called_by_both_loops(make_server, enter_loop):
    """`self._handle_request_noblock()`."""

    class Reached(Exception):
        """The override was called."""

    def noblock(self):
        raise Reached

    server = make_server(_handle_request_noblock=noblock)
    with connected(server), pytest.raises(Reached):
        enter_loop(server)


def test_noblock_overridden_calling_super_serves(impl, make_server):
    """Counting servers wrap it."""
    calls = []

    def noblock(self):
        calls.append(1)
        return impl.TCPServer._handle_request_noblock(self)

    server = make_server(_handle_request_noblock=noblock)
    with serving(server):
        assert [exchange(server) for _ in range(3)] == [b"ok"] * 3
    assert calls == [1, 1, 1]


def test_noblock_overridden_accepting_two_at_once_serves_both(make_server):
    """An override may take more than one connection."""

    def noblock(self):
        for _ in range(2):
            request, address = self.get_request()
            self.process_request(request, address)

    server = make_server(_handle_request_noblock=noblock)
    with connected(server) as first, connected(server) as second:
        server.handle_request()
        assert read_to_end(first) == read_to_end(second) == b"ok"


def test_noblock_called_by_an_own_loop_serves_one(make_server):
    """pywebsocket3, epoll and GLib mix-ins: select on fileno(), then this."""
    server = make_server()
    with connected(server) as first, connected(server) as second:
        for client in (first, second):
            assert select.select([server.fileno()], [], [], 10)[0]
            assert server._handle_request_noblock() is None
            assert read_to_end(client) == b"ok"


@pytest.mark.parametrize("base", ["UDPServer", "ThreadingTCPServer", "ThreadingUDPServer"])
def test_noblock_called_by_an_own_loop_serves_each_kind(make_server, base):
    """The same for datagrams and threads."""
    from support.clients import datagram_client

    server = make_server(base)
    if base.endswith("TCPServer"):
        with connected(server) as client:
            server._handle_request_noblock()
            assert read_to_end(client) == b"ok"
    else:
        with datagram_client(server) as client:
            client.send(b"x")
            server._handle_request_noblock()
            assert client.recv(10) == b"re:x"


def test_noblock_with_no_connection_on_a_timeout_socket_returns(make_server):
    """accept() times out: an OSError, so nothing to do."""
    server = make_server()
    server.socket.settimeout(0.01)
    assert server._handle_request_noblock() is None


def test_noblock_with_a_nonblocking_listener_and_no_connection_returns(make_server):
    """BlockingIOError is an OSError."""
    server = make_server()
    server.socket.setblocking(False)
    assert server._handle_request_noblock() is None


def test_noblock_on_a_closed_server_returns(make_server):
    """accept(): EBADF is an OSError."""
    server = make_server()
    server.server_close()
    assert server._handle_request_noblock() is None


def test_noblock_sockets_swapped_before_each_call_uses_the_present_one(impl, make_server):
    """pywebsocket3 sets `self.socket` to each ready one of several."""
    server, other = make_server(), make_server()
    own = server.socket
    with connected(server) as first, connected(other) as second:
        server.socket = other.socket
        server._handle_request_noblock()
        assert read_to_end(second) == b"ok"
        server.socket = own
        server._handle_request_noblock()
        assert read_to_end(first) == b"ok"


def test_noblock_return_value_of_a_hook_is_not_returned(make_server):
    """It returns None whatever process_request returns."""

    def process_request(self, request, client_address):
        self.shutdown_request(request)
        return "value"

    server = make_server(process_request=process_request)
    with connected(server):
        assert server._handle_request_noblock() is None
