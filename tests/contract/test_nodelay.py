"""Socket options of a connection that cannot be set."""

from __future__ import annotations

import errno
import socket

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
