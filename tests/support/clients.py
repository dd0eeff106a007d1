"""Clients that never wait for longer than a deadline."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

# Far beyond what any answer takes on a busy machine.
DEADLINE_S = 10.0


def connect(server: Any) -> socket.socket:
    """A connected client socket of the server's family, with a timeout."""
    client = socket.socket(server.address_family, socket.SOCK_STREAM)
    client.settimeout(DEADLINE_S)
    try:
        client.connect(server.server_address)
    except BaseException:
        client.close()
        raise
    return client


@contextlib.contextmanager
def connected(server: Any, payload: bytes = b"") -> Iterator[socket.socket]:
    """A client that has connected and sent `payload`, then ended its own side."""
    with connect(server) as client:
        if payload:
            client.sendall(payload)
        # The server may have replied and closed by now: EPIPE, ENOTCONN.
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)
        yield client


def read_to_end(client: socket.socket) -> bytes:
    """All that arrives until the peer closes."""
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def read_exactly(client: socket.socket, size: int) -> bytes:
    """The next `size` bytes."""
    data = b""
    while len(data) < size:
        piece = client.recv(size - len(data))
        if not piece:
            raise EOFError(f"peer closed after {len(data)} of {size} bytes")
        data += piece
    return data


def exchange(server: Any, payload: bytes = b"") -> bytes:
    """Connect, send, end our side, and return the whole reply."""
    with connected(server, payload) as client:
        return read_to_end(client)


def nudge(server: Any) -> None:
    """Make the listener readable, so that a loop that sleeps looks around."""
    connect(server).close()


@contextlib.contextmanager
def datagram_client(server: Any, local_address: Any = None) -> Iterator[socket.socket]:
    """A datagram socket connected to the server."""
    with socket.socket(server.address_family, socket.SOCK_DGRAM) as client:
        client.settimeout(DEADLINE_S)
        if local_address is not None:
            client.bind(local_address)
        elif server.address_family == socket.AF_INET:
            client.bind(("127.0.0.1", 0))
        client.connect(server.server_address)
        yield client


def ask(client: socket.socket, payload: bytes) -> bytes:
    """Send one datagram and return the next that arrives."""
    client.send(payload)
    return client.recv(65536)
