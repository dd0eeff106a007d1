"""Our methods on the standard classes, in place, for programs that nobody edits.

`TABLE` is all that is grafted: the methods that behave differently or that the table of
shortcuts has to recognise. Classes and instances that exist already change with their
class, so identity, pickling and `isinstance` are as they were, and a subclass's own
methods stay in front.

One lock guards `_grafts`; a graft is one assignment to a class, which threads see at once
or a moment later, and both methods work on the same instances.
"""

from __future__ import annotations

import importlib
import socketserver
import threading
import warnings

import fastsocketserver
from fastsocketserver._base import running_loops
from fastsocketserver._nagle import add_stock_handler

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

TABLE: dict[str, tuple[str, ...]] = {
    "BaseServer": (
        "__init__",
        "_BaseServer__shutdown_request",
        "serve_forever",
        "shutdown",
        "handle_request",
        "_handle_request_noblock",
        "verify_request",
        "service_actions",
    ),
    "TCPServer": ("request_queue_size", "server_close", "get_request"),
    "UDPServer": ("get_request",),
    "ThreadingMixIn": ("process_request", "server_close"),
    "ForkingMixIn": ("collect_children", "service_actions", "process_request", "server_close"),
    "StreamRequestHandler": ("setup",),
    "DatagramRequestHandler": ("setup",),
}

# What the standard classes have where they have no method.
_STANDARD_VALUES = {"request_queue_size": 5}
_STANDARD_FILE = socketserver._SocketWriter.write.__code__.co_filename  # type: ignore[attr-defined]
_MISSING: Any = object()

_lock = threading.Lock()
# (class, name) -> what the class had before, or _MISSING.
_grafts: dict[tuple[type, str], Any] = {}


def install() -> None:
    """Give the standard module's classes our methods, for the whole process.

    May be called at any time and more than once, also while servers run: those keep the
    loop that they are in. A method or setting that the program has replaced on the standard
    class itself is left alone, with a RuntimeWarning that names it.

    Threads: any. Source of what is grafted: `fastsocketserver._graft.TABLE`.
    """
    with _lock:
        for cls, name, ours in _rows():
            present = vars(cls).get(name, _MISSING)
            if present is ours:
                continue
            if not _is_standard(cls, name, present):
                warnings.warn(
                    f"socketserver.{cls.__name__}.{name} was replaced by {present!r}; "
                    "fastsocketserver leaves it as it is",
                    RuntimeWarning,
                    stacklevel=2,
                )
                continue
            _grafts[cls, name] = present
            setattr(cls, name, ours)
            if name == "setup":
                add_stock_handler(cls)  # a reload makes another one


def uninstall() -> None:
    """Give the standard module's classes back what they had, to the last attribute.

    What the program has replaced since is left alone. Servers that run stop within their
    `poll_interval` from then on, as with the standard module.

    Threads: any.
    """
    with _lock:
        for (cls, name), before in _grafts.items():
            if vars(cls).get(name) is not _ours(cls, name):
                continue
            if before is _MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, before)
        _grafts.clear()
    for loop in list(running_loops):
        loop.wake()  # from now on it has to tick


def installed() -> bool:
    """Whether the classes that `socketserver` has now carry our methods."""
    with _lock:
        return all(
            vars(cls).get(name) is ours
            for cls, name, ours in _rows()
            if (cls, name) in _grafts or name == "serve_forever"
        )


def _rows() -> list[tuple[type, str, Any]]:
    """(standard class, name, our value) for all of `TABLE`."""
    module = importlib.import_module(socketserver.__name__)  # a reload makes new classes
    classes = [getattr(module, name) for name in TABLE if hasattr(module, name)]
    return [(cls, name, _ours(cls, name)) for cls in classes for name in TABLE[cls.__name__]]


def _ours(cls: type, name: str) -> Any:
    return vars(getattr(fastsocketserver, cls.__name__))[name]


def _is_standard(cls: type, name: str, value: Any) -> bool:
    """Whether `value` is what the standard module itself put there."""
    if value is _MISSING:
        return name == "_BaseServer__shutdown_request"
    if name in _STANDARD_VALUES:
        return bool(value == _STANDARD_VALUES[name])
    code = getattr(value, "__code__", None)  # a wrapper may have taken name and module over
    return (
        getattr(code, "co_filename", None) == _STANDARD_FILE
        and getattr(value, "__module__", None) == "socketserver"
        and getattr(value, "__qualname__", None) == f"{cls.__name__}.{name}"
    )
