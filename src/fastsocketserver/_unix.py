"""Servers on Unix domain sockets."""

from __future__ import annotations

import socketserver

from fastsocketserver._tcp import TCPServer
from fastsocketserver._udp import UDPServer


class UnixStreamServer(socketserver.UnixStreamServer, TCPServer):
    """Serve connections to a path. The peer's address is usually `''`.

    Source: `socketserver.UnixStreamServer`.
    """


class UnixDatagramServer(socketserver.UnixDatagramServer, UDPServer):
    """Serve datagrams to a path. The peer's address is None unless it is bound.

    Source: `socketserver.UnixDatagramServer`.
    """
