"""TCP_NODELAY on accepted connections, as asyncio and Go have it.

With Nagle's algorithm on, a reply written in two pieces waits for the peer's delayed
acknowledgement: 40 ms for each HTTP/1.1 keep-alive reply of `http.server`.
"""

from __future__ import annotations

import _socket
import socket
import socketserver

from fastsocketserver._accept import is_tcp

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

_ATTRIBUTE = "disable_nagle_algorithm"


def wants_nodelay(handler: Any) -> bool:
    """Whether connections for `handler` get TCP_NODELAY.

    False only if the handler is a class that says `disable_nagle_algorithm = False` itself,
    or inherits that from a class other than the stock `StreamRequestHandler`.
    """
    if not issubclass(type(handler), type):
        return True  # and it may answer to any name: neither `__mro__` nor `__class__` tells
    for cls in handler.__mro__:
        if any(cls is stock for stock in _STOCK_HANDLERS):  # it need not be hashable
            return True
        if _ATTRIBUTE in cls.__dict__:
            return bool(cls.__dict__[_ATTRIBUTE])
    return True


def set_nodelay(listener: Any, connection: Any) -> None:
    """Turn Nagle's algorithm off on a connection that came from `listener`, if it is TCP."""
    # Not `socket.socket`: a program may have put anything in its place, even for a moment.
    if is_tcp(listener) and isinstance(connection, _socket.socket):
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            return  # the peer has gone already; the handler will find that out


def accept_connection(server: Any) -> tuple[Any, Any]:
    """Accept from `server.socket` what is there, or wait for it if that socket would.

    Returns: `(socket, address)`, with TCP_NODELAY as the server's handler wants it.
    Raises: OSError: there is no connection after all.
    """
    listener = server.socket
    connection, address = listener.accept()
    # A server that overrides finish_request() need not have one.
    if wants_nodelay(getattr(server, "RequestHandlerClass", None)):
        set_nodelay(listener, connection)
    return connection, address


_STOCK_HANDLERS: list[type] = [socketserver.StreamRequestHandler]


def add_stock_handler(handler: type) -> type:
    """Class decorator: `handler`'s own attribute is a default, not a wish."""
    _STOCK_HANDLERS.append(handler)
    return handler
