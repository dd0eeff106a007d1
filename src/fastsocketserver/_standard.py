"""Which functions are the standard library's own, whatever was patched, and when.

What a standard class has when we are imported proves nothing: programs and test suites
patch it before and after. So a function is asked where it was written.
"""

from __future__ import annotations

import socketserver
from types import FunctionType

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

# What its functions say, which need not be `__file__`: that may be a .pyc. Asked of a class
# whose methods nobody has a reason to patch.
_FILE = next(
    (
        member.__code__.co_filename
        for member in vars(socketserver.BaseRequestHandler).values()
        if type(member) is FunctionType and member.__module__ == socketserver.__name__
    ),
    socketserver.__file__,
)


def is_standard_function(value: Any, owner: str, name: str) -> bool:
    """Whether `value` is the function `name` that socketserver.py defines in class `owner`.

    A wrapper may have taken over what `functools.wraps` copies, and `__code__` may have been
    replaced; a reload of the module makes other functions that are as good.
    """
    return (
        type(value) is FunctionType
        and value.__code__.co_filename == _FILE
        and value.__code__.co_name == name
        and value.__globals__.get("__name__") == socketserver.__name__
        and value.__qualname__ == f"{owner}.{name}"
    )
