"""The ready-made combinations of a mix-in with a server.

Their bases stand in one order: our mix-in, the standard twin, our server. So a class that
mixes a standard server in, `class Fast(HTTPServer, ThreadingTCPServer)`, finds that
server's own methods before ours, and ours before the standard ones.
"""

from __future__ import annotations

import socketserver

from fastsocketserver._forking import ForkingMixIn
from fastsocketserver._tcp import TCPServer
from fastsocketserver._threading import ThreadingMixIn
from fastsocketserver._udp import UDPServer
from fastsocketserver._unix import UnixDatagramServer, UnixStreamServer


class ThreadingTCPServer(ThreadingMixIn, socketserver.ThreadingTCPServer, TCPServer):
    """`TCPServer`, each connection on a worker thread."""


class ThreadingUDPServer(ThreadingMixIn, socketserver.ThreadingUDPServer, UDPServer):
    """`UDPServer`, each datagram on a worker thread."""


class ThreadingUnixStreamServer(
    ThreadingMixIn, socketserver.ThreadingUnixStreamServer, UnixStreamServer
):
    """`UnixStreamServer`, each connection on a worker thread."""


class ThreadingUnixDatagramServer(
    ThreadingMixIn, socketserver.ThreadingUnixDatagramServer, UnixDatagramServer
):
    """`UnixDatagramServer`, each datagram on a worker thread."""


class ForkingTCPServer(ForkingMixIn, socketserver.ForkingTCPServer, TCPServer):
    """`TCPServer`, each connection in a child process."""


class ForkingUDPServer(ForkingMixIn, socketserver.ForkingUDPServer, UDPServer):
    """`UDPServer`, each datagram in a child process."""


# Python 3.12 and newer have twins for these two.
class ForkingUnixStreamServer(
    ForkingMixIn,
    *filter(None, [getattr(socketserver, "ForkingUnixStreamServer", None)]),  # type: ignore[misc]
    UnixStreamServer,
):
    """`UnixStreamServer`, each connection in a child process."""


class ForkingUnixDatagramServer(
    ForkingMixIn,
    *filter(None, [getattr(socketserver, "ForkingUnixDatagramServer", None)]),  # type: ignore[misc]
    UnixDatagramServer,
):
    """`UnixDatagramServer`, each datagram in a child process."""
