"""Batches of a known size, whose requests are held back for one worker."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

from support.clients import connect, exchange
from support.serving import serving


def serve_one(server: Any) -> None:
    """Serve one request and stop: from now on there is a pool, which may hold back."""
    handler, server.RequestHandlerClass = server.RequestHandlerClass, lambda *_: None
    with serving(server):
        exchange(server)
    server.RequestHandlerClass = handler


@contextlib.contextmanager
def waiting_clients(server: Any, count: int) -> Iterator[list[socket.socket]]:
    """Clients in the backlog: the next loop takes them in one batch."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connect(server)) for _ in range(count)]


class AtRequest:
    """A `daemon_threads` that does something when the serving thread reads it.

    It is read once for each request, between taking it and handing it over, and no table of
    shortcuts knows it. So it stands for whatever may come in between there.
    """

    def __init__(self, actions: dict[int, Callable[[Any], Any]], value: bool = False) -> None:
        self.actions = actions
        self.value = value
        self.count: int | None = None

    def arm(self) -> None:
        """Count requests from here."""
        self.count = 0

    def __get__(self, server: Any, kind: type) -> Any:
        if server is not None and self.count is not None:
            self.count += 1
            action = self.actions.get(self.count)
            if action is not None:
                action(server)
        return self.value
