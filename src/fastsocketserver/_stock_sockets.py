"""Which socket class native code may stand in for: the standard library's own, unpatched.

What is in `socket.socket` when we are imported proves nothing: tracers, test suites and
gevent put their own class there, or wrap its methods, before and after. So the class is
asked what it is made of.
"""

from __future__ import annotations

import _socket
import socket
from types import FunctionType

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

# Written in Python in the standard library's socket.py.
_PYTHON_METHODS = ("__init__", "accept", "makefile", "close", "detach", "_decref_socketios")
# Inherited from the C class. What else a subclass or a patch adds is none of our business.
_C_METHODS = (
    "__new__", "_accept", "fileno", "gettimeout", "recv", "recv_into", "recvfrom",
    "send", "sendall", "setsockopt", "shutdown",
)  # fmt: skip


def stock_socket_class() -> Any:
    """`socket.socket`, if that is the class of the standard library as it was shipped.

    Returns: the class, or None when it was replaced, or one of its methods was. The answer
        holds until the class changes (its version tag tells) or `socket.socket` does.
    """
    return socket.socket if is_stock_socket_class(socket.socket) else None


def is_stock_socket_class(cls: Any) -> bool:
    """Whether `cls` is that class, whatever is in `socket.socket` now."""
    if not isinstance(cls, type) or cls.__mro__ != (cls, _socket.socket, object):
        return False
    members = vars(cls)
    return all(
        is_function_of(socket, members.get(name), name) for name in _PYTHON_METHODS
    ) and not any(name in members for name in _C_METHODS)


def is_function_of(module: ModuleType, value: Any, name: str) -> bool:
    """Whether `value` is the function `name` that the module itself defines."""
    return (
        type(value) is FunctionType
        and value.__globals__ is vars(module)
        and value.__code__.co_name == name
    )
