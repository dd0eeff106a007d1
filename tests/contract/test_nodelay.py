"""TCP_NODELAY: connections that refuse it, handlers that are asked whether they want it."""

from __future__ import annotations

import errno
import socket
import socketserver
import unittest.mock

import pytest

from support.clients import exchange
from support.serving import serving


class Refusing(socket.socket):
    """As macOS has it once the peer has gone."""

    def setsockopt(self, level, option, *value):
        if (level, option) == (socket.IPPROTO_TCP, socket.TCP_NODELAY):
            raise OSError(errno.EINVAL, "Invalid argument")
        super().setsockopt(level, option, *value)


class Listener(socket.socket):
    """Its connections are `Refusing`."""

    def accept(self):
        connection, address = super().accept()
        return Refusing(fileno=connection.detach()), address


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_connection_that_refuses_nodelay_is_served(make_server, base):
    """The standard module asks for it only where the handler wants it, in `setup()`."""
    server = make_server(base)
    server.socket = Listener(fileno=server.socket.detach())
    with serving(server):
        assert exchange(server) == b"ok"


class Answering:
    """A handler that is no class, and has an answer to any name: a proxy, a mock, an RPC."""

    def __init__(self, answer):
        self._answer = answer

    def __getattr__(self, name):
        return self._answer

    def __call__(self, request, client_address, server):
        request.sendall(b"ok")


class Unhashable(type):
    """Its classes compare equal to nothing, and have no hash."""

    def __eq__(cls, other):
        return False

    __hash__ = None


class Odd(metaclass=Unhashable):
    def __init__(self, request, client_address, server):
        request.sendall(b"ok")


HANDLERS = {
    "answers None": Answering(None),
    "answers an object": Answering(object()),
    "answers classes": Answering((Odd,)),
    "class without a hash": Odd,
    "mock of a class": unittest.mock.create_autospec(
        socketserver.StreamRequestHandler,
        side_effect=lambda request, *_: request.sendall(b"ok"),
    ),
}


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
def test_handler_of_any_kind_is_called(make_server, base, handler):
    """It is a callable, and nothing else is known of it."""
    server = make_server(base, handler=handler)
    with serving(server):
        assert [exchange(server) for _ in range(3)] == [b"ok"] * 3
