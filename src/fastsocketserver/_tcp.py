"""Servers on stream sockets."""

from __future__ import annotations

import select
import socket
import socketserver

from fastsocketserver._base import BaseServer, tell_loops_of_close
from fastsocketserver._nagle import accept_connection
from fastsocketserver._state import state_if_any

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any


class TCPServer(socketserver.TCPServer, BaseServer):
    """Serve connections to a listening socket, one after the other.

    Attributes, on the class or the instance:
        address_family: `socket.AF_INET` by default.
        socket_type: `socket.SOCK_STREAM`.
        request_queue_size: the backlog for `listen()`, in connections.
        allow_reuse_address: set SO_REUSEADDR before binding.
        allow_reuse_port: set SO_REUSEPORT before binding, where the platform has it.
        socket: the listener; may be replaced at any time.

    Source: `socketserver.TCPServer`.
    """

    address_family = socket.AF_INET
    socket_type = socket.SOCK_STREAM
    request_queue_size: int = socket.SOMAXCONN
    allow_reuse_address: bool = False
    allow_reuse_port: bool = False

    def __init__(
        self, server_address: Any, RequestHandlerClass: Any, bind_and_activate: bool = True
    ) -> None:
        """Make the listener; bind and activate it unless told not to.

        Args:
            server_address: `(host, port)`, or what the address family takes; port 0 lets
                the system choose, and `server_address` says which.
            RequestHandlerClass: callable, called once for each request.
            bind_and_activate: call `server_bind()` and `server_activate()`.
        Raises:
            OSError, TypeError, OverflowError: as `socket.bind`; the socket is then closed.

        Source: `socketserver.TCPServer.__init__`.
        """
        BaseServer.__init__(self, server_address, RequestHandlerClass)
        self.socket = socket.socket(self.address_family, self.socket_type)
        if bind_and_activate:
            try:
                self.server_bind()
                self.server_activate()
            except:
                self.server_close()
                raise

    def server_bind(self) -> None:
        """Bind the listener to `server_address`, and store the real address there.

        Source: `socketserver.TCPServer.server_bind`.
        """
        if self.allow_reuse_address and hasattr(socket, "SO_REUSEADDR"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.allow_reuse_port and hasattr(socket, "SO_REUSEPORT"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def server_activate(self) -> None:
        """Listen, with a backlog of `request_queue_size` connections.

        Source: `socketserver.TCPServer.server_activate`.
        """
        self.socket.listen(self.request_queue_size)

    def server_close(self) -> None:
        """Close the listener. A running `serve_forever()` ends.

        Threads: any. May be called twice, and before serving.
        Source: `socketserver.TCPServer.server_close`.
        """
        try:
            super().server_close()
        finally:
            tell_loops_of_close(self)

    def fileno(self) -> int:
        """The listener's descriptor, -1 when closed; read once, when serving starts.

        Source: `socketserver.TCPServer.fileno`.
        """
        return self.socket.fileno()

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

    def shutdown_request(self, request: Any) -> None:
        """Tell the peer that no more comes, then `close_request()`.

        Source: `socketserver.TCPServer.shutdown_request`.
        """
        try:
            request.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # not connected any more, or closed by the handler
        self.close_request(request)

    def close_request(self, request: Any) -> None:
        """Close the connection.

        Source: `socketserver.TCPServer.close_request`.
        """
        request.close()


def _is_kept_nonblocking(server: Any) -> bool:
    """Whether a loop of ours keeps the listener non-blocking underneath; in this process, or in
    the one that forked it."""
    state = state_if_any(server)
    return state is not None and any(
        loop.keeps_nonblocking(server.socket) for loop in state.loops
    )
