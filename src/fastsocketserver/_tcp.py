"""Servers on stream sockets."""

from __future__ import annotations

import select
import socket
import socketserver
import sys

from fastsocketserver._base import BaseServer, tell_loops_of_close
from fastsocketserver._nagle import accept_connection
from fastsocketserver._state import state_if_any

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

# The backlog that the standard module had up to Python 3.14: connections beyond it are not
# answered, and try again after a second.
_OLD_BACKLOG = 5


class TCPServer(socketserver.TCPServer, BaseServer):
    """Serve connections to a listening socket, one after the other.

    The constructor makes the listener, `TCPServer((host, port), handler)`; port 0 lets the
    system choose, and `server_address` then says which. Unless it is told not to, by
    `bind_and_activate=False`, it calls `server_bind()` and `server_activate()`, and closes
    the server if one of them fails.

    Attributes, on the class or the instance:
        address_family: `socket.AF_INET` by default.
        socket_type: `socket.SOCK_STREAM`.
        request_queue_size: the backlog for `listen()`, in connections.
        allow_reuse_address: set SO_REUSEADDR before binding.
        allow_reuse_port: set SO_REUSEPORT before binding, where the platform has it.
        socket: the listener; may be replaced at any time.

    Hooks: those of `BaseServer`, of which these do something here:
        server_bind(): bind the listener, and store its real address in `server_address`.
        server_activate(): listen.
        get_request(): accept one connection.
        shutdown_request(request): end the sending side, then `close_request(request)`.
        close_request(request): close the connection.
        server_close(): close the listener.

    Source: `socketserver.TCPServer`.
    """

    if socketserver.TCPServer.request_queue_size == _OLD_BACKLOG:  # else somebody chose it
        request_queue_size = socket.SOMAXCONN

    if sys.version_info < (3, 11):  # which lacks it
        allow_reuse_port = False

        def server_bind(self) -> None:
            """Bind the listener to `server_address`, and store the real address there.

            Source: `socketserver.TCPServer.server_bind` of the newest Python.
            """
            if (
                self.allow_reuse_port
                and hasattr(socket, "SO_REUSEPORT")
                and self.address_family in (socket.AF_INET, socket.AF_INET6)
            ):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            super().server_bind()

    def server_close(self) -> None:
        """Close the listener. A running `serve_forever()` ends.

        Threads: any. May be called twice, and before serving.
        Source: `socketserver.TCPServer.server_close`.
        """
        try:
            super().server_close()
        finally:
            tell_loops_of_close(self)

    def get_request(self) -> tuple[Any, Any]:
        """Accept one connection, waiting for it if the listener is blocking.

        It also waits where that is non-blocking only because `serve_forever()` runs: for a
        handler, or another thread, that wants a further connection.

        Returns:
            `(socket, address)`: the caller closes the socket. It is blocking, and has
            TCP_NODELAY set unless the handler class says otherwise.
        Raises:
            OSError: there is no connection after all; the loop carries on.

        Source: `socketserver.TCPServer.get_request`.
        """
        while True:
            try:
                return accept_connection(self)
            except BlockingIOError:
                if not _is_kept_nonblocking(self):
                    raise
            poll = select.poll()
            poll.register(self.socket, select.POLLIN)
            poll.poll()


def _is_kept_nonblocking(server: Any) -> bool:
    """Whether a loop of ours keeps the listener non-blocking underneath; in this process, or in
    the one that forked it."""
    state = state_if_any(server)
    return state is not None and any(
        loop.keeps_nonblocking(server.socket) for loop in state.loops
    )
