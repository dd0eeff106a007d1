"""Our methods on the standard classes, in place, for programs that nobody edits.

`TABLE` is all that is grafted: the methods that behave differently. Classes and instances
that exist already change with their class, so identity, pickling and `isinstance` are as they
were, and a subclass's own methods stay in front.

There is no lock: a signal handler, a warnings hook or a forked child may call any of the
three functions while another call is half way. Each call looks first and then changes all
rows in `_assign()`, also those that are as they should be, so the last one to get there
decides about all of them. What it looks at is never forgotten.
"""

from __future__ import annotations

import collections
import gc
import importlib
import itertools
import socketserver
import sys
import warnings

import fastsocketserver
from fastsocketserver._closing import make_server_close
from fastsocketserver._loop import running_loops
from fastsocketserver._nagle import add_stock_handler
from fastsocketserver._standard import is_standard_function

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

# Ours has none where the standard class's is as large, or was chosen by the program.
_BACKLOG = tuple({"request_queue_size"} & {*vars(fastsocketserver.TCPServer)})

TABLE: dict[str, tuple[str, ...]] = {
    "BaseServer": (
        "_BaseServer__shutdown_request",
        "serve_forever",
        "shutdown",
        "handle_request",
    ),
    "TCPServer": (*_BACKLOG, "server_close", "get_request"),
    "UDPServer": ("get_request",),
    "ThreadingMixIn": ("process_request", "server_close"),
    "ForkingMixIn": ("collect_children", "process_request", "server_close"),
    "StreamRequestHandler": ("setup",),
}

# What the standard classes have where they have no method.
_STANDARD_VALUES = {"request_queue_size": 5}
_MISSING: Any = object()

# (class, name) -> what the class had before, or _MISSING; also after uninstall(), for calls
# that are half way and for methods of ours that somebody put back since.
_originals: dict[tuple[type, str], Any] = {}


def install() -> None:
    """Give the standard module's classes our methods, for the whole process.

    May be called at any time and more than once, also while servers run: those keep the
    loop that they are in. A method or setting that the program has replaced on the standard
    class itself is left alone, with a RuntimeWarning that names it.

    Raises:
        RuntimeWarning: where warnings are errors; all that can be installed then is.
        BaseException: from a signal handler; then all of it is installed, or nothing.
    Threads: any, also signal handlers.
    Source of what is grafted: `fastsocketserver._graft.TABLE`.
    """
    rows, originals, replaced = [], {}, []
    for cls, name, ours in _rows():
        present = vars(cls).get(name, _MISSING)
        if present is not ours:
            if not _is_standard(cls, name, present):
                replaced.append((f"socketserver.{cls.__name__}.{name}", present))
                continue
            originals[cls, name] = present
        rows.append((cls, name, ours))
        if cls.__name__ == "StreamRequestHandler":
            add_stock_handler(cls)  # a reload makes another one
    _originals.update(originals)  # all at once, for an uninstall() that looks now
    _assign(rows)
    if replaced:
        what = ", ".join(f"{name} by {present!r}" for name, present in replaced)
        warnings.warn(
            f"fastsocketserver leaves alone what was replaced: {what}",
            RuntimeWarning,
            stacklevel=2,
        )


def uninstall() -> None:
    """Give the standard module's classes back what they had, to the last attribute.

    What the program has replaced since is left alone; a `mock.patch` that is active puts
    back at its end what the class had before `install()`. Servers that run stop within
    their `poll_interval` from then on, as with the standard module.

    Raises:
        BaseException: from a signal handler; then all of it is given back, or nothing.
    Threads: any, also signal handlers.
    """
    rows = []
    for (cls, name), original in list(_originals.items()):
        ours = _ours(cls, name)
        present = vars(cls).get(name, _MISSING)
        if present is ours or present is original:
            rows.append((cls, name, original))
        else:
            rows += _held_by_mocks(cls, name, ours, original)
    try:
        _assign(rows)
    finally:
        for loop in list(running_loops):
            loop.wake()  # from now on it has to tick


def installed() -> bool:
    """Whether the classes that `socketserver` has now carry our methods: all of them, but
    for those that the program itself has replaced.

    False means that `install()` would change something.

    Threads: any, also signal handlers.
    """
    found = False
    for cls, name, ours in _rows():
        present = vars(cls).get(name, _MISSING)
        if present is ours:
            found = True
        elif _is_standard(cls, name, present):
            return False
    return found


def _assign(rows: list[tuple[Any, str, Any]]) -> None:
    """Set the attributes of `(object, name, value)`, where `_MISSING` deletes: all or none.

    It is one call that runs no bytecode, so no signal handler and no other thread comes in
    between. (Free-threaded builds get their GIL back with our compiled modules.)
    """
    owners, names = [row[0] for row in rows], [row[1] for row in rows]
    # Set before it is deleted: only what is there can be.
    values = [None if row[2] is _MISSING else row[2] for row in rows]
    gone = [row for row in rows if row[2] is _MISSING]
    changes = itertools.chain(
        map(setattr, owners, names, values),
        map(delattr, [row[0] for row in gone], [row[1] for row in gone]),
    )
    collections.deque(changes, maxlen=0)


def _held_by_mocks(
    cls: type, name: str, ours: Any, original: Any
) -> list[tuple[Any, str, Any]]:
    """What to assign so that each active `mock.patch` that took our value off the class
    puts the original one there at its end."""
    mock = sys.modules.get("unittest.mock")
    if mock is None:
        return []
    rows: list[tuple[Any, str, Any]] = []
    for patch in gc.get_objects():  # mock itself keeps no list of those in `with` blocks
        if type(patch) is not mock._patch or getattr(patch, "target", None) is not cls:
            continue
        if patch.attribute != name or patch.temp_original is not ours:
            continue
        if original is _MISSING:  # as if it had found nothing there
            rows += [(patch, "is_local", False), (patch, "create", True)]
        else:
            rows.append((patch, "temp_original", original))
    return rows


def _rows() -> list[tuple[type, str, Any]]:
    """(standard class, name, our value) for all of `TABLE`."""
    module = importlib.import_module(socketserver.__name__)  # a reload makes new classes
    found = [_standard_class(getattr(module, name, None), name) for name in TABLE]
    return [
        (cls, name, _ours(cls, name)) for cls in found if cls for name in TABLE[cls.__name__]
    ]


def _standard_class(present: Any, name: str) -> type | None:
    """The standard module's class: the program may have put one in its place."""
    for cls in getattr(present, "__mro__", ()):
        if (cls.__module__, cls.__qualname__) == (socketserver.__name__, name):
            return cls  # type: ignore[no-any-return]
    return None


def _ours(cls: type, name: str) -> Any:
    if name == "server_close":  # ours says super(), which means the class it is written in
        return make_server_close(cls)
    return vars(getattr(fastsocketserver, cls.__name__))[name]


def _is_standard(cls: type, name: str, value: Any) -> bool:
    """Whether `value` is what the standard module itself put there."""
    if value is _MISSING:
        return name == "_BaseServer__shutdown_request"
    if name in _STANDARD_VALUES:
        return bool(value == _STANDARD_VALUES[name])
    return is_standard_function(value, cls.__name__, name)
