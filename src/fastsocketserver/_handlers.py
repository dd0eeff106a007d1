"""Request handlers: one instance per request, which does all in its constructor."""

from __future__ import annotations

import io
import socket
import socketserver

from fastsocketserver._nagle import add_stock_handler
from fastsocketserver._streams import open_reader, open_writer

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

_SocketWriter = socketserver._SocketWriter  # type: ignore[attr-defined]


class BaseRequestHandler(socketserver.BaseRequestHandler):
    """Serve one request: `setup()`, `handle()`, `finish()`, in the constructor.

    Attributes:
        request: what `get_request()` returned: a socket, or `(data, socket)`.
        client_address: the peer.
        server: the server.

    Source: `socketserver.BaseRequestHandler`.
    """

    def __init__(self, request: Any, client_address: Any, server: Any) -> None:
        """Serve the request. `finish()` also runs when `handle()` raises.

        Raises: what the hooks raise.

        Source: `socketserver.BaseRequestHandler.__init__`.
        """
        self.request = request
        self.client_address = client_address
        self.server = server
        self.setup()
        try:
            self.handle()
        finally:
            self.finish()

    def setup(self) -> None:
        """Do nothing; called before `handle()`.

        Source: `socketserver.BaseRequestHandler.setup`.
        """

    def handle(self) -> None:
        """Do nothing; override it to serve `self.request`.

        Source: `socketserver.BaseRequestHandler.handle`.
        """

    def finish(self) -> None:
        """Do nothing; called after `handle()`, unless `setup()` failed.

        Source: `socketserver.BaseRequestHandler.finish`.
        """


@add_stock_handler
class StreamRequestHandler(socketserver.StreamRequestHandler, BaseRequestHandler):
    """Serve a connection through files.

    Attributes, on the class or the instance:
        rbufsize: buffer of `rfile` in bytes; -1 the default size, 0 none.
        wbufsize: buffer of `wfile` in bytes; 0 none: each write is sent at once.
        timeout: seconds for each operation on the connection; None for ever.
        disable_nagle_algorithm: True sets TCP_NODELAY. The server does so anyway, unless a
            handler class of yours says False.
        connection: the request. rfile, wfile: the files.

    Source: `socketserver.StreamRequestHandler`.
    """

    rbufsize = -1
    wbufsize = 0
    timeout: Any = None  # type: ignore[misc]
    disable_nagle_algorithm = False

    def setup(self) -> None:
        """Open `rfile` and `wfile`.

        Source: `socketserver.StreamRequestHandler.setup`.
        """
        self.connection = self.request
        if self.timeout is not None:
            self.connection.settimeout(self.timeout)
        if self.disable_nagle_algorithm:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.rfile = open_reader(self.connection, self.rbufsize)
        self.wfile = open_writer(self.connection, self.wbufsize)

    def finish(self) -> None:
        """Flush and close the files; the server closes the connection.

        Source: `socketserver.StreamRequestHandler.finish`.
        """
        if not self.wfile.closed:
            try:
                self.wfile.flush()
            except OSError:
                pass  # the peer has gone; there is nobody to tell
        self.wfile.close()
        self.rfile.close()


class DatagramRequestHandler(socketserver.DatagramRequestHandler, BaseRequestHandler):
    """Serve a datagram through files; what was written is sent when the handler is done.

    Attributes:
        packet: the datagram in bytes. socket: the server's. rfile, wfile: in memory.

    Source: `socketserver.DatagramRequestHandler`.
    """

    def setup(self) -> None:
        """Open `rfile` on the datagram, and an empty `wfile`.

        Source: `socketserver.DatagramRequestHandler.setup`.
        """
        self.packet, self.socket = self.request
        self.rfile = io.BytesIO(self.packet)
        self.wfile = io.BytesIO()

    def finish(self) -> None:
        """Send what was written, even if it is nothing, to the peer.

        Source: `socketserver.DatagramRequestHandler.finish`.
        """
        reply = self.wfile.getvalue()  # type: ignore[attr-defined]
        self.socket.sendto(reply, self.client_address)
