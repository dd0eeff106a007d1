"""Servers on datagram sockets."""

from __future__ import annotations

import socketserver
import sys

from fastsocketserver._state import state_if_any
from fastsocketserver._tcp import TCPServer

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any


class UDPServer(socketserver.UDPServer, TCPServer):
    """Serve datagrams, one after the other.

    Attributes, on the class or the instance:
        max_packet_size: bytes; longer datagrams are cut, and counted: see
            `truncated_datagrams()`.

    While `serve_forever()` runs with the stock `get_request()`, datagrams are taken from
    the kernel in batches; those not served when it ends wait for the next call of
    `serve_forever()`, `handle_request()` or `get_request()`, in the process that took them.

    Hooks: those of `BaseServer`; a request is `(data, socket)`, with the server's own
    socket to answer on, which is never closed with a request.

    Source: `socketserver.UDPServer`.
    """

    if sys.version_info < (3, 11):  # which lacks it
        allow_reuse_port = False  # whatever TCPServer's is

    def get_request(self) -> tuple[Any, Any]:
        """Receive one datagram.

        Returns:
            `((data, socket), address)`: data in bytes; the socket is the server's own, to
            answer on, and is not to be closed.
        Raises:
            OSError: there is no datagram after all; the loop carries on.

        Source: `socketserver.UDPServer.get_request`.
        """
        state = state_if_any(self)
        pending = None if state is None else state.own_pending()
        if pending is not None:
            try:
                request: tuple[Any, Any] = pending.popleft()
                return request
            except IndexError:
                pass  # another thread in handle_request() was quicker
        data, client_address = self.socket.recvfrom(self.max_packet_size)
        return (data, self.socket), client_address


def truncated_datagrams(server: Any) -> int:
    """How many datagrams the loop has taken that were longer than `max_packet_size`.

    What an override of `get_request()` receives by itself is not seen.

    Args:
        server: a `UDPServer`; one of the standard module counts while it has our methods.
    Returns:
        the number since the server was made.
    Threads: any.
    """
    state = state_if_any(server)
    return 0 if state is None else state.truncated
