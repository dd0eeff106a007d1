"""Methods of `socket.socket` itself that a program wraps: tracers, counters, test suites."""

from __future__ import annotations

import functools
import socket
import threading
from unittest import mock

import pytest

from support.clients import ask, datagram_client, exchange
from support.serving import serving


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("TCPServer", "accept"),
        ("TCPServer", "_accept"),
        ("TCPServer", "__init__"),
        ("UDPServer", "recvfrom"),
    ],
)
@pytest.mark.parametrize("patched", ["before", "while serving"])
def test_method_wrapped_on_the_socket_class_is_called(make_server, base, name, patched):
    """By the serving thread, for each request; and no longer when it is undone."""
    original = getattr(socket.socket, name)
    callers = []

    @functools.wraps(original)
    def wrapper(self, *args, **kwargs):
        callers.append(threading.current_thread())
        return original(self, *args, **kwargs)

    def request(server):
        if base == "TCPServer":
            assert exchange(server) == b"ok"
        else:
            with datagram_client(server) as client:
                assert ask(client, b"x") == b"re:x"

    def patch():
        inherited = name not in vars(socket.socket)
        return mock.patch.object(socket.socket, name, wrapper, create=inherited)

    server = make_server(base)
    if patched == "before":
        with patch(), serving(server) as loop:
            request(server)
            request(server)
    else:
        with serving(server) as loop:
            request(server)
            with patch():
                request(server)
                request(server)
                # One that it waits in by now is still the wrapper's.
                noted = callers.count(loop.thread)
            request(server)
            request(server)
            assert callers.count(loop.thread) == noted
    assert callers.count(loop.thread) >= 2
