"""The standard library's `socketserver`, on a compiled loop.

`import fastsocketserver as socketserver` is the whole migration: same classes, same
methods to override, same attributes. The differences are listed in the README.
"""

import importlib
import os
import selectors
import socket
import sys
import threading
from io import BufferedIOBase
from socketserver import _ServerSelector  # type: ignore[attr-defined]
from time import monotonic as time

from fastsocketserver._interpreter import is_main_interpreter

if not is_main_interpreter():
    raise ImportError("fastsocketserver cannot be used in a subinterpreter", name=__name__)

try:
    from fastsocketserver import _compiled

    _compiled.load()
except ImportError as error:
    raise ImportError(
        "fastsocketserver's compiled modules cannot be loaded: they are missing, or built for "
        f"another Python ({error})",
        name=__name__,
    ) from error

from fastsocketserver import _shortcuts
from fastsocketserver._base import BaseServer
from fastsocketserver._combinations import (
    ForkingTCPServer,
    ForkingUDPServer,
    ForkingUnixDatagramServer,
    ForkingUnixStreamServer,
    ThreadingTCPServer,
    ThreadingUDPServer,
    ThreadingUnixDatagramServer,
    ThreadingUnixStreamServer,
)
from fastsocketserver._forking import ForkingMixIn
from fastsocketserver._handlers import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
    _SocketWriter,
)
from fastsocketserver._tcp import TCPServer
from fastsocketserver._threading import ThreadingMixIn, _NoThreads, _Threads
from fastsocketserver._udp import UDPServer
from fastsocketserver._udp import truncated_datagrams as truncated_datagrams
from fastsocketserver._unix import UnixDatagramServer, UnixStreamServer

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from fastsocketserver._graft import install as install
    from fastsocketserver._graft import installed as installed
    from fastsocketserver._graft import uninstall as uninstall
    from fastsocketserver._limits import Limits as Limits

__version__ = "0.1.0"

# The names of the newest Python's socketserver, on every Python.
__all__ = [
    "BaseRequestHandler",
    "BaseServer",
    "DatagramRequestHandler",
    "ForkingMixIn",
    "ForkingTCPServer",
    "ForkingUDPServer",
    "ForkingUnixDatagramServer",
    "ForkingUnixStreamServer",
    "StreamRequestHandler",
    "TCPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "ThreadingUnixDatagramServer",
    "ThreadingUnixStreamServer",
    "UDPServer",
    "UnixDatagramServer",
    "UnixStreamServer",
]


# Loaded when they are asked for: dataclasses alone take 10 ms to import.
_LAZY = {
    "Limits": "_limits",
    "install": "_graft",
    "installed": "_graft",
    "uninstall": "_graft",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_LAZY[name]}")
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


for _row in _shortcuts.TABLE:
    if _row.author == "ours":
        _shortcuts.add_stock(_row.hook, _row.owner, vars(globals()[_row.owner])[_row.hook])
