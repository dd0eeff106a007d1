"""Which classes of the standard library compiled streams may stand in for, and whether still.

As for the socket class (`_stock_sockets.py`): programs put their own class in the place of
the standard one, or wrap its methods, before and after we are imported. So the class is asked
what it is made of. An answer holds until the class changes (its version tag tells).
"""

from __future__ import annotations

import io
import socket
import socketserver

from fastsocketserver._stock_sockets import is_function_of

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from types import ModuleType


def is_stock_raw_file(cls: type) -> bool:
    """Whether it is `socket.SocketIO` as shipped, in all that `SocketReader` has of its own."""
    own = ("__init__", "readinto", "readable", "close")
    return _is_as_shipped(
        cls, socket, own, io.RawIOBase, ("__new__", "closed", "tell", "flush")
    )


def is_stock_writer(cls: type) -> bool:
    """The same for `socketserver._SocketWriter` and `SocketWriter`."""
    own = ("__init__", "write")
    return _is_as_shipped(cls, socketserver, own, io.BufferedIOBase, ("__new__",))


def _is_as_shipped(
    cls: type, module: ModuleType, own: tuple[str, ...], base: type, inherited: tuple[str, ...]
) -> bool:
    """Whether the module itself defines the methods `own`, and `inherited` come from C."""
    if cls.__mro__ != (cls, *base.__mro__):
        return False
    written_in_c = base.__mro__[1]  # io.RawIOBase derives from _io._RawIOBase, and so on
    return all(is_function_of(module, vars(cls).get(name), name) for name in own) and all(
        getattr(cls, name) == getattr(written_in_c, name) for name in inherited
    )
