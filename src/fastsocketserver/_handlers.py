"""Request handlers: one instance per request, which does all in its constructor."""

from __future__ import annotations

import socket
import socketserver

from fastsocketserver._nagle import add_stock_handler
from fastsocketserver._streams import open_reader, open_writer

_SocketWriter = socketserver._SocketWriter  # type: ignore[attr-defined]


class BaseRequestHandler(socketserver.BaseRequestHandler):
    """Serve one request, in the constructor.

    Attributes:
        request: what `get_request()` returned: a socket, or `(data, socket)`.
        client_address: the peer.
        server: the server.

    Hooks, in the order in which they are called; what one raises leaves the constructor:
        setup(): does nothing.
        handle(): does nothing; override it to serve `self.request`.
        finish(): does nothing. Called even if `handle()` raises, unless `setup()` did.

    Source: `socketserver.BaseRequestHandler`.
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

    Hooks, in the order in which they are called:
        setup(): open `rfile` and `wfile`.
        handle(): yours.
        finish(): flush and close the files; the server closes the connection.

    Source: `socketserver.StreamRequestHandler`.
    """

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


class DatagramRequestHandler(socketserver.DatagramRequestHandler, BaseRequestHandler):
    """Serve a datagram through files; what was written is sent when the handler is done.

    Attributes:
        packet: the datagram in bytes. socket: the server's. rfile, wfile: in memory.

    Hooks, in the order in which they are called:
        setup(): open `rfile` on the datagram, and an empty `wfile`.
        handle(): yours.
        finish(): send what was written, even if it is nothing, to the peer.

    Source: `socketserver.DatagramRequestHandler`.
    """
