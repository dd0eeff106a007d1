"""Servers on Unix sockets: addresses are paths, clients mostly have none."""

from __future__ import annotations

import os
import socket

import pytest

from support.clients import ask, connected, datagram_client, exchange, read_to_end
from support.handlers import reply_address, reply_ok
from support.serving import serving

STREAMS = ["UnixStreamServer", "ThreadingUnixStreamServer"]
DATAGRAMS = ["UnixDatagramServer", "ThreadingUnixDatagramServer"]


@pytest.mark.parametrize("base", STREAMS)
def test_stream_serves(make_server, base):
    """`address_family = socket.AF_UNIX`."""
    server = make_server(base)
    with serving(server):
        assert [exchange(server) for _ in range(10)] == [b"ok"] * 10


@pytest.mark.parametrize("base", STREAMS)
def test_stream_client_address_of_an_unbound_client_is_empty(make_server, base):
    """accept() gives ''."""
    server = make_server(base, handler=reply_address)
    with serving(server):
        assert exchange(server) == b"''"


def test_stream_client_address_of_a_bound_client_is_its_path(make_server, short_directory):
    """accept() gives the path the client is bound to."""
    server = make_server("UnixStreamServer", handler=reply_address)
    path = str(short_directory / "client")
    with socket.socket(socket.AF_UNIX) as client, serving(server):
        client.settimeout(10)
        client.bind(path)
        client.connect(server.server_address)
        assert read_to_end(client).decode() == repr(path)


def test_stream_client_address_of_an_abstract_client_is_bytes(make_server):
    """Names of the abstract namespace begin with NUL and come as bytes."""
    server = make_server("UnixStreamServer", handler=reply_address)
    name = b"\0fss-test-%d" % os.getpid()
    with socket.socket(socket.AF_UNIX) as client, serving(server):
        client.settimeout(10)
        client.bind(name)
        client.connect(server.server_address)
        assert read_to_end(client).decode() == repr(name)


@pytest.mark.parametrize("base", DATAGRAMS)
def test_datagram_client_address_of_a_bound_client_is_its_path(
    make_server, base, short_directory
):
    """recvfrom() gives the path, and the reply goes there."""

    def handler(request, client_address, server):
        request[1].sendto(repr(client_address).encode(), client_address)

    server = make_server(base, handler=handler)
    path = str(short_directory / "client")
    with serving(server), datagram_client(server, path) as client:
        assert ask(client, b"x").decode() == repr(path)


def test_datagram_client_address_of_an_unbound_client_is_what_recvfrom_gives(make_server):
    """None on Linux; the handler cannot answer, but is called."""
    log = []
    server = make_server("UnixDatagramServer", handler=lambda *args: log.append(args))
    with datagram_client(server) as client:
        client.send(b"native")
        server.handle_request()
        client.send(b"by hand")
        _, expected = server.socket.recvfrom(10)
    (((data, listener), address, _),) = log
    assert data == b"native"
    assert listener is server.socket
    assert address == expected
    assert type(address) is type(expected)


def test_datagrams_of_unbound_clients_in_the_loop_have_the_same_address(make_server):
    """serve_forever() and recvfrom() agree on the address of nobody."""
    log = []

    def handler(request, client_address, server):
        log.append(client_address)
        server._BaseServer__shutdown_request = True

    server = make_server("UnixDatagramServer", handler=handler)
    with datagram_client(server) as client:
        client.send(b"x")
        server.serve_forever(0.01)
        client.send(b"by hand")
        assert log == [server.socket.recvfrom(10)[1]]


def test_stream_server_address_is_the_path(make_server):
    """getsockname() of the listener."""
    server = make_server("UnixStreamServer")
    assert server.server_address == server.socket.getsockname()
    assert os.path.exists(server.server_address)


def test_stream_server_close_leaves_the_file(make_server):
    """The standard module does not unlink; programs do."""
    server = make_server("UnixStreamServer")
    server.server_close()
    assert os.path.exists(server.server_address)


def test_stream_second_server_on_the_path_raises_oserror(impl, make_server):
    """Address already in use."""
    server = make_server("UnixStreamServer")
    with pytest.raises(OSError, match="in use"):
        impl.UnixStreamServer(server.server_address, reply_ok)


def test_stream_server_bind_overridden_unlinks_and_sets_the_mode(impl, make_server):
    """Observed: Unix socket modes, unlink before bind."""

    def server_bind(self):
        if os.path.exists(self.server_address):
            os.unlink(self.server_address)
        impl.UnixStreamServer.server_bind(self)
        os.chmod(self.server_address, 0o600)

    server = make_server("UnixStreamServer", server_bind=server_bind)
    assert os.stat(server.server_address).st_mode & 0o777 == 0o600
    with serving(server):
        assert exchange(server) == b"ok"


def test_stream_handler_class_replies_through_wfile(impl, make_server):
    """StreamRequestHandler asks for no TCP option on a Unix socket."""

    class Handler(impl.StreamRequestHandler):
        def handle(self):
            self.wfile.write(self.rfile.readline().upper())

    server = make_server("UnixStreamServer", handler=Handler)
    with serving(server):
        assert exchange(server, b"line\n") == b"LINE\n"


def test_datagram_handler_class_replies(impl, make_server, short_directory):
    """DatagramRequestHandler: sendto(client_address)."""

    class Handler(impl.DatagramRequestHandler):
        def handle(self):
            self.wfile.write(self.rfile.read().upper())

    server = make_server("UnixDatagramServer", handler=Handler)
    with serving(server), datagram_client(server, str(short_directory / "c")) as client:
        assert ask(client, b"abc") == b"ABC"


def test_stream_client_that_has_gone_before_accept_is_served_to_nobody(make_server):
    """Its connection is accepted and found closed; the next is served."""
    server = make_server("UnixStreamServer", handle_error=lambda *_: None)
    with connected(server):
        pass
    with serving(server):
        assert exchange(server) == b"ok"


def test_abstract_name_serves(impl):
    """Linux: no file at all."""
    name = f"\0fss-test-server-{os.getpid()}"
    with impl.UnixStreamServer(name, reply_ok) as server, serving(server):
        assert exchange(server) == b"ok"
