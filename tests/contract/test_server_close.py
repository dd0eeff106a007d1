"""server_close, the context manager, and what remains usable afterwards."""

from __future__ import annotations

import contextlib
import functools
import socket

import pytest

from support.clients import connected, exchange, nudge, read_to_end
from support.handlers import Gate, reply_ok
from support.serving import Loop, serving, wait_for
from support.waiting import wait_until

BASES = [
    "TCPServer",
    "UDPServer",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "ForkingTCPServer",
    "ForkingUDPServer",
    "UnixStreamServer",
    "UnixDatagramServer",
]


@pytest.mark.parametrize("base", BASES)
def test_server_close_twice_is_harmless(make_server, base):
    """socket.close() may be called again; many programs do."""
    server = make_server(base)
    assert server.server_close() is None
    server.server_close()
    assert server.fileno() == -1


@pytest.mark.parametrize("base", BASES)
def test_server_close_before_serving_frees_the_address(impl, make_server, base):
    """The port can be bound again at once."""
    server = make_server(base)
    server.server_close()
    if server.address_family == socket.AF_INET:
        with getattr(impl, base)(server.server_address, reply_ok) as again:
            assert again.server_address == server.server_address


def test_server_close_under_the_running_loop_and_shutdown_ends_it(make_server):
    """websocket-server, impacket: no crash, and a later shutdown() ends the loop."""
    server = make_server()
    loop = Loop(server)
    exchange(server)
    server.server_close()
    server.shutdown()
    loop.join()


def test_server_close_under_the_running_loop_frees_the_port(impl, make_server):
    """Another server can have it while the old loop still runs, once that has turned."""
    server = make_server()
    loop = Loop(server)
    nudge(server)
    server.server_close()
    reusing = type("Reusing", (impl.TCPServer,), {"allow_reuse_address": True})
    again = reusing(server.server_address, reply_ok, bind_and_activate=False)
    with again:
        wait_until(functools.partial(bound, again))
        again.server_activate()
        with serving(again):
            assert exchange(again) == b"ok"
    server.shutdown()
    loop.join()


def bound(server):
    """Whether the address was free; poll(2) holds a closed listener until it returns."""
    try:
        server.server_bind()
    except OSError:
        return False
    return True


def test_server_close_by_the_handler_ends_with_shutdown(make_server):
    """Inline, on the serving thread itself; the reply arrives all the same."""

    def handler(request, client_address, server):
        server.server_close()
        request.sendall(b"closed")

    server = make_server(handler=handler)
    loop = Loop(server)
    assert exchange(server) == b"closed"
    server.shutdown()
    loop.join()


def test_server_close_by_service_actions_ends_with_the_flag(make_server):
    """The loop looks at the flag after each turn."""

    def service_actions(self):
        self.server_close()
        self._BaseServer__shutdown_request = True

    server = make_server(service_actions=service_actions)
    server.serve_forever(0.01)


def test_server_close_never_touches_a_reused_descriptor(make_server):
    """The number that the listener had may belong to somebody else by now."""
    server = make_server()
    loop = Loop(server)
    exchange(server)
    server.server_close()
    with (
        socket.create_server(("127.0.0.1", 0)) as stranger,
        socket.create_connection(stranger.getsockname()),
    ):
        server.shutdown()
        loop.join()
        stranger.settimeout(10)
        accepted, _ = stranger.accept()
        accepted.close()


def test_server_close_overridden_without_the_base_is_left_to_it(impl, make_server):
    """pynetdicom, pymodbus, paste: their own close only."""
    closed = []

    def server_close(self):
        closed.append(1)
        self.socket.close()

    server = make_server("ThreadingTCPServer", server_close=server_close)
    with serving(server):
        assert exchange(server) == b"ok"
    server.server_close()
    assert closed == [1]
    impl.ThreadingTCPServer.server_close(server)


def test_server_close_overridden_calling_shutdown_works(impl, make_server):
    """jsonrpclib: server_close() that also stops the loop."""

    def server_close(self):
        self.shutdown()
        impl.TCPServer.server_close(self)

    server = make_server()
    loop = Loop(server)
    exchange(server)
    server_close(server)
    loop.join()
    assert server.fileno() == -1


def test_server_close_leaves_accepted_requests_open(make_server):
    """Only the listener is closed."""
    gate = Gate()
    server = make_server(handler=gate)
    loop = Loop(server)
    with connected(server) as client:
        wait_for(gate.entered)
        server.server_close()
        gate.opened.set()
        assert read_to_end(client) == b"inout"
    server.shutdown()
    loop.join()


def test_server_close_waiting_connections_are_refused(make_server):
    """What stood in the backlog is reset or ended, never served."""
    server = make_server()
    with connected(server) as client:
        server.server_close()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_server_close_of_baseserver_does_nothing(impl):
    """BaseServer.server_close."""
    assert impl.BaseServer(None, None).server_close() is None


def test_context_manager_returns_the_server_and_closes_it(impl):
    """`__enter__` returns self, `__exit__` calls server_close()."""
    with impl.TCPServer(("127.0.0.1", 0), reply_ok) as server:
        assert isinstance(server, impl.TCPServer)
        assert server.fileno() >= 0
    assert server.fileno() == -1


def test_context_manager_calls_an_overridden_server_close(make_server):
    """Through self, not the class."""
    calls = []
    server = make_server(server_close=lambda self: calls.append(1) or self.socket.close())
    with server:
        pass
    assert calls == [1]


def test_context_manager_lets_exceptions_through(impl):
    """`__exit__` returns None."""
    server = impl.TCPServer(("127.0.0.1", 0), reply_ok)
    with pytest.raises(KeyError), server:
        raise KeyError
    assert server.fileno() == -1


def test_context_manager_does_not_shut_the_loop_down(make_server):
    """`__exit__` is server_close() alone; the loop wants its shutdown()."""
    server = make_server()
    with server:
        loop = Loop(server)
        assert exchange(server) == b"ok"
    server.shutdown()
    loop.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("base", BASES)
def test_server_close_leaves_nothing_that_holds_the_server(impl, free_address, base):
    """Reference counting alone frees a server that has served, as it does a plain object."""
    import gc
    import weakref

    server_class = getattr(impl, base)
    gc.collect()
    gc.disable()
    try:
        server = server_class(free_address(server_class), lambda *_: None)
        with serving(server):
            if server.socket_type == socket.SOCK_STREAM:
                exchange(server)
        server.server_close()
        reference = weakref.ref(server)
        del server
        assert reference() is None
    finally:
        gc.enable()
