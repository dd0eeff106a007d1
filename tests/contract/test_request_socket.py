"""The request of a stream server is a plain, blocking `socket.socket`."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import subprocess

import pytest

from support.clients import connected, exchange, read_to_end
from support.serving import serving


@pytest.fixture(params=["TCPServer", "ThreadingTCPServer", "UnixStreamServer"])
def serve_with(request, make_server):
    """Serve one connection with a handler; what the handler returned, and the reply."""

    def serve(handler, payload=b""):
        results = []
        server = make_server(
            request.param, handler=lambda *args: results.append(handler(*args))
        )
        with serving(server):
            reply = exchange(server, payload)
        server.server_close()
        return results[0], reply

    return serve


def test_request_type_is_exactly_socket(serve_with):
    """No subclass: it is pickled, checked and wrapped by type."""
    kind, _ = serve_with(lambda request, *_: type(request))
    assert kind is socket.socket


def test_request_has_no_timeout_and_blocks(serve_with):
    """`gettimeout() is None`, and no O_NONBLOCK underneath."""
    state, _ = serve_with(
        lambda request, *_: (
            request.gettimeout(),
            request.getblocking(),
            fcntl.fcntl(request, fcntl.F_GETFL) & os.O_NONBLOCK,
        )
    )
    assert state == (None, True, 0)


def test_request_is_not_inheritable(serve_with):
    """PEP 446."""
    inheritable, _ = serve_with(lambda request, *_: request.get_inheritable())
    assert inheritable is False


def test_request_has_family_type_and_protocol_of_the_listener(serve_with):
    """socket.accept(): `socket(self.family, self.type, self.proto, fileno=fd)`."""
    same, _ = serve_with(
        lambda request, _, server: (
            (request.family, request.type, request.proto)
            == (server.socket.family, server.socket.type, server.socket.proto)
        )
    )
    assert same


def test_request_peer_is_the_client_address(make_server, enter_loop):
    """What get_request returned beside it."""
    seen = []

    def handler(request, client_address, server):
        seen.append((request.getpeername(), client_address))
        server._BaseServer__shutdown_request = True

    server = make_server(handler=handler)
    with connected(server) as client:
        enter_loop(server)
        assert seen == [(client.getsockname(), client.getsockname())]


@pytest.mark.parametrize("base", ["TCPServer", "UDPServer"])
def test_request_default_timeout_of_the_process_is_honoured(make_server, base):
    """socket.setdefaulttimeout(): accept() applies it to each connection."""
    seen = []

    def handler(request, client_address, server):
        seen.append((request if base == "TCPServer" else request[1]).gettimeout())

    socket.setdefaulttimeout(7)
    server = make_server(base, handler=handler)
    if base == "TCPServer":
        with serving(server):
            exchange(server)
    else:
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.sendto(b"x", server.server_address)
            server.handle_request()
    assert seen == [7]


def test_request_default_timeout_set_while_serving_is_honoured(make_server):
    """Read at each accept."""
    seen = []
    server = make_server(handler=lambda request, *_: seen.append(request.gettimeout()))
    with serving(server):
        exchange(server)
        socket.setdefaulttimeout(7)
        exchange(server)
        socket.setdefaulttimeout(None)
        exchange(server)
    assert seen == [None, 7, None]


def test_request_may_be_detached_and_kept(make_server):
    """pynetdicom keeps it beyond the handler."""
    kept = []
    server = make_server(handler=lambda request, *_: kept.append(request.detach()))
    with serving(server), connected(server) as client:
        while not kept:
            select.select([client], [], [], 0.001)
        with socket.socket(fileno=kept[0]) as request:
            request.sendall(b"kept")
        assert read_to_end(client) == b"kept"


def test_request_may_be_given_to_a_subprocess(serve_with):
    """CGIHTTPRequestHandler: as stdin and stdout of a program, which expects it to block."""

    def handler(request, client_address, server):
        return subprocess.run(["cat"], stdin=request, stdout=request, timeout=10).returncode

    assert serve_with(handler, b"through cat") == (0, b"through cat")


def test_request_may_be_set_nonblocking_by_the_handler(serve_with):
    """fakeredis: fcntl(O_NONBLOCK) in the handler; it is nobody else's flag."""

    def handler(request, client_address, server):
        fcntl.fcntl(request, fcntl.F_SETFL, os.O_NONBLOCK)
        select.select([request], [], [], 10)
        data = os.read(request.fileno(), 100)
        os.write(request.fileno(), data)
        return os.get_blocking(server.socket.fileno()), data

    (_, data), reply = serve_with(handler, b"ping")
    assert data == reply == b"ping"


def test_request_read_that_expires_raises_timeouterror(make_server):
    """The request's own timeout, with a silent client."""
    from support.clients import connect

    seen = []

    def handler(request, client_address, server):
        request.settimeout(0.01)
        try:
            request.recv(1)
        except TimeoutError:
            seen.append("timed out")

    server = make_server(handler=handler)
    with connect(server) as client:
        server.handle_request()
        assert read_to_end(client) == b""
    assert seen == ["timed out"]


def test_request_may_be_duplicated_and_sent_to_another_socket(serve_with):
    """dup(), and SCM_RIGHTS to a process that takes over."""

    def handler(request, client_address, server):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            socket.send_fds(ours, [b"fd"], [request.fileno()])
            _, descriptors, _, _ = socket.recv_fds(theirs, 10, 1)
        with socket.socket(fileno=descriptors[0]) as copy:
            copy.sendall(b"by copy")

    assert serve_with(handler)[1] == b"by copy"


def test_request_makefile_reads_and_writes(serve_with):
    """The handler's rfile and wfile are made of this."""

    def handler(request, client_address, server):
        with request.makefile("rwb") as stream:
            line = stream.readline()
            stream.write(line.upper())
        return line

    assert serve_with(handler, b"line\n") == (b"line\n", b"LINE\n")


def test_request_accepts_no_new_attribute_names_of_a_wrapper(serve_with):
    """telnetsrv asks getattr(request, "_sock", request)."""
    assert serve_with(lambda request, *_: hasattr(request, "_sock"))[0] is False


def test_request_repr_and_equality_are_those_of_a_socket(serve_with):
    """No descriptor is shared with the listener."""
    text, _ = serve_with(lambda request, *_: repr(request))
    assert text.startswith("<socket.socket fd=")
