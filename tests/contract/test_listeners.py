"""Listeners that are no plain sockets: subclasses, TLS, and things that only accept()."""

from __future__ import annotations

import os
import socket
import ssl

import pytest
import trustme

from support.clients import connect, connected, exchange, read_to_end
from support.serving import Background, serving


@pytest.fixture(scope="module")
def authority():
    """A certificate authority of this test run."""
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority):
    """What the servers use: a certificate for localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_context(authority):
    """What the clients use: they trust the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def reply_cipher(request, client_address, server):
    request.do_handshake()
    request.sendall(type(request).__name__.encode() + b":" + request.recv(100))


def tls_exchange(server, context, payload=b"hello"):
    """One verified TLS connection."""
    with context.wrap_socket(connect(server), server_hostname="localhost") as client:
        client.sendall(payload)
        return read_to_end(client)


@pytest.mark.parametrize("handshake", [True, False])
@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_listener_wrapped_in_tls_after_listen_serves(
    make_server, server_context, client_context, base, handshake
):
    """`httpd.socket = context.wrap_socket(httpd.socket, server_side=True)`."""
    server = make_server(base, handler=reply_cipher)
    server.socket = server_context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=handshake
    )
    with serving(server):
        for _ in range(3):
            assert tls_exchange(server, client_context) == b"SSLSocket:hello"


def test_listener_wrapped_in_tls_serves_through_handle_request(
    make_server, server_context, client_context
):
    """The other door."""
    server = make_server(handler=reply_cipher)
    server.socket = server_context.wrap_socket(server.socket, server_side=True)
    client = Background(tls_exchange, server, client_context)
    server.handle_request()
    assert client.join() == b"SSLSocket:hello"


def test_listener_wrapped_in_tls_while_serving_serves(
    make_server, server_context, client_context
):
    """The wrapped object is accepted from at the next wake-up."""
    server = make_server()
    with serving(server):
        assert exchange(server) == b"ok"
        server.RequestHandlerClass = reply_cipher
        server.socket = server_context.wrap_socket(server.socket, server_side=True)
        assert tls_exchange(server, client_context) == b"SSLSocket:hello"


def test_listener_wrapped_in_tls_failed_handshake_is_swallowed(
    make_server, server_context, client_context
):
    """The handshake runs inside accept(): its SSLError is an OSError."""
    server = make_server(
        handler=reply_cipher, handle_error=lambda self, *args: pytest.fail("handled")
    )
    server.socket = server_context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        with connected(server, b"GET / HTTP/1.0\r\n\r\n") as plain:
            try:
                plain.recv(100)
            except ConnectionResetError:
                pass
        assert tls_exchange(server, client_context) == b"SSLSocket:hello"


def test_get_request_wrapping_each_connection_in_tls_serves(
    impl, make_server, server_context, client_context
):
    """pynetdicom, pytest-httpbin: TLS in get_request."""

    def get_request(self):
        request, address = impl.TCPServer.get_request(self)
        return server_context.wrap_socket(request, server_side=True), address

    server = make_server(handler=reply_cipher, get_request=get_request)
    with serving(server):
        assert tls_exchange(server, client_context) == b"SSLSocket:hello"


def test_finish_request_doing_the_handshake_in_the_thread_serves(
    impl, make_server, server_context, client_context
):
    """wptserve, Radicale: a slow handshake must not hold up the loop."""

    def finish_request(self, request, client_address):
        with server_context.wrap_socket(request, server_side=True) as wrapped:
            impl.TCPServer.finish_request(self, wrapped, client_address)

    server = make_server(
        "ThreadingTCPServer", handler=reply_cipher, finish_request=finish_request
    )
    with serving(server), connect(server):  # the one that never begins its handshake
        assert tls_exchange(server, client_context) == b"SSLSocket:hello"


class OnlyAccepts:
    """The least of a listener: fileno() and accept()."""

    def __init__(self, listener):
        self._listener = listener
        self.accepted = 0

    def fileno(self):
        return self._listener.fileno()

    def accept(self):
        self.accepted += 1
        return self._listener.accept()


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_listener_with_only_fileno_and_accept_serves(make_server, base):
    """acme, M2Crypto, pyOpenSSL: no gettimeout, no family, no detach."""
    server = make_server(base)
    own, server.socket = server.socket, OnlyAccepts(server.socket)
    try:
        with serving(server):
            assert [exchange(server) for _ in range(3)] == [b"ok"] * 3
        assert server.socket.accepted >= 3
    finally:
        server.socket = own


def test_listener_with_only_fileno_and_accept_fails_in_handle_request(make_server):
    """`self.socket.gettimeout()` comes first there."""
    server = make_server()
    own, server.socket = server.socket, OnlyAccepts(server.socket)
    try:
        with pytest.raises(AttributeError, match="gettimeout"):
            server.handle_request()
    finally:
        server.socket = own


def test_listener_whose_accept_gives_no_socket_serves(make_server):
    """acme's FakeConnection: what accept() returns flows on."""

    class Fake:
        def __init__(self, sock):
            self._wrapped = sock

        def __getattr__(self, name):
            return getattr(self._wrapped, name)

    class Listener(OnlyAccepts):
        def accept(self):
            connection, address = super().accept()
            return Fake(connection), ("fake", address)

    seen = []

    def handler(request, client_address, server):
        seen.append((type(request), client_address[0]))
        request.sendall(b"fake")

    server = make_server(handler=handler)
    own, server.socket = server.socket, Listener(server.socket)
    try:
        with serving(server):
            assert exchange(server) == b"fake"
    finally:
        server.socket = own
    assert seen == [(Fake, "fake")]


@pytest.mark.parametrize("error", [OSError, ConnectionAbortedError, TimeoutError])
def test_listener_whose_accept_raises_oserror_is_asked_again(make_server, error):
    """paste expects socket.timeout out of accept to be harmless."""

    class Listener(OnlyAccepts):
        def accept(self):
            connection, address = super().accept()
            if self.accepted == 1:
                connection.close()
                raise error
            return connection, address

    server = make_server()
    own, server.socket = server.socket, Listener(server.socket)
    try:
        with serving(server):
            assert exchange(server) == b""
            assert exchange(server) == b"ok"
    finally:
        server.socket = own


def test_listener_subclass_of_socket_has_its_accept_called(make_server):
    """A socket.socket by type, with an accept() of its own."""

    class Listener(socket.socket):
        def accept(self):
            connection, address = super().accept()
            connection.sendall(b"hello ")
            return connection, address

    server = make_server()
    server.socket = Listener(fileno=server.socket.detach())
    with serving(server):
        assert exchange(server) == b"hello ok"


def test_listener_accept_replaced_on_its_class_while_serving_is_called(
    make_server, monkeypatch
):
    """Test suites patch socket.socket.accept; stock get_request goes through it."""
    stock = socket.socket.accept

    def accept(self):
        connection, address = stock(self)
        return connection, ("patched", address)

    seen = []
    server = make_server(handler=lambda request, address, _: seen.append(address[0]))
    with serving(server):
        exchange(server)
        monkeypatch.setattr(socket.socket, "accept", accept)
        exchange(server)
    assert seen == ["127.0.0.1", "patched"]


def test_listener_inherited_and_nonblocking_serves(make_server):
    """A supervisor may hand over a listener with O_NONBLOCK."""
    server = make_server(bind_and_activate=False)
    server.socket.close()
    server.socket = socket.create_server(("127.0.0.1", 0))
    os.set_blocking(server.socket.fileno(), False)
    server.server_address = server.socket.getsockname()
    with serving(server):
        assert exchange(server) == b"ok"
    assert not os.get_blocking(server.socket.fileno())


def test_listener_shared_by_two_servers_serves_each_connection_once(make_server):
    """One listener, two loops: whoever loses the race has no request after all."""
    server, other = make_server(), make_server()
    # Without a timeout the loser of a race would wait in accept() on the standard module.
    server.socket.settimeout(0.01)
    other.socket.close()
    other.socket = server.socket.dup()
    with serving(server), serving(other):
        assert [exchange(server) for _ in range(30)] == [b"ok"] * 30
