"""Request handlers as plain functions: any callable may stand for a handler class."""

from __future__ import annotations

import socket
import threading
from typing import Any

from support.clients import DEADLINE_S


def reply_ok(request: socket.socket, client_address: Any, server: Any) -> None:
    """Answer b"ok"."""
    request.sendall(b"ok")


def reply_address(request: socket.socket, client_address: Any, server: Any) -> None:
    """Answer the text of the address the handler was given."""
    request.sendall(repr(client_address).encode())


def echo(request: socket.socket, client_address: Any, server: Any) -> None:
    """Answer what the client sends, until it ends its side."""
    while data := request.recv(65536):
        request.sendall(data)


def reply_datagram(request: Any, client_address: Any, server: Any) -> None:
    """Answer a datagram with its own bytes after b"re:"."""
    data, listener = request
    listener.sendto(b"re:" + data, client_address)


class Gate:
    """A handler that answers b"in", waits until it is opened, then answers b"out"."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, request: socket.socket, client_address: Any, server: Any) -> None:
        request.sendall(b"in")
        self.entered.set()
        assert self.opened.wait(DEADLINE_S), "the gate was never opened"
        request.sendall(b"out")
