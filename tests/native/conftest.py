"""Servers of ours for the tests that only we have to pass."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from support.handlers import reply_datagram, reply_ok


@pytest.fixture
def server_of(fast: ModuleType, free_address: Callable[[type], Any]) -> Iterator[Callable]:
    """Build one of our servers with the given attributes; all are closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(
            base: str = "ThreadingTCPServer", handler: Any = None, **namespace: Any
        ) -> Any:
            server_class = type("Server", (getattr(fast, base),), namespace)
            if handler is None:
                stream = server_class.socket_type == socket.SOCK_STREAM
                handler = reply_ok if stream else reply_datagram
            server = server_class(free_address(server_class), handler)
            stack.callback(server.server_close)
            return server

        yield make
