"""Errors out of accept that are about the listener and not about one peer."""

from __future__ import annotations

import logging
import os
import socket

import pytest

from support.clients import connected, exchange, read_to_end
from support.serving import Loop, serving
from support.waiting import wait_until

HOUR_S = 3600


def put_null_device_in_place(fd):
    """accept() says ENOTSOCK."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, fd)
    os.close(null)


@pytest.mark.parametrize("take_away", [os.close, put_null_device_in_place])
def test_descriptor_taken_away_from_under_the_listener_is_tried_ever_more_rarely(
    server_of, caplog, take_away
):
    """The standard module's loop spins: poll() reports the closed descriptor again and again.

    The socket object knows of nothing, so that only accept() can tell.
    """
    caplog.set_level(logging.WARNING, "fastsocketserver")

    def handler(request, client_address, server):
        request.sendall(b"ok")
        take_away(server.fileno())

    server = server_of("TCPServer", handler)
    loop = Loop(server, HOUR_S)
    with connected(server) as client:
        assert read_to_end(client) == b"ok"
        wait_until(lambda: caplog.records)
        loop.stop()
    assert "cannot accept" in caplog.records[0].message
    if take_away is os.close:
        server.socket.detach()  # nothing is left that could be closed


def bound_stream():
    """accept() says EINVAL, and poll() that it is ready, until it listens."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


def readable_datagram_socket():
    """accept() says EOPNOTSUPP."""
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.sendto(b"x", sock.getsockname())
    return sock


@pytest.mark.parametrize("make_socket", [bound_stream, readable_datagram_socket])
def test_socket_that_does_not_listen_is_tried_ever_more_rarely(server_of, caplog, make_socket):
    """It is "ready" for ever: the loop says so, backs off, and stops when it is told to."""
    caplog.set_level(logging.WARNING, "fastsocketserver")
    server = server_of("TCPServer")
    server.socket.close()
    server.socket = make_socket()
    with serving(server, HOUR_S):
        wait_until(lambda: caplog.records)
    assert "cannot accept" in caplog.records[0].message


def test_socket_that_begins_to_listen_while_it_is_served_is_accepted_from(server_of):
    """The back-off ends."""
    server = server_of("TCPServer")
    server.socket.close()
    server.socket = bound_stream()
    server.server_address = server.socket.getsockname()
    with serving(server, HOUR_S):
        server.server_activate()
        assert exchange(server) == b"ok"
