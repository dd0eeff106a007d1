"""What `python -m fastsocketserver --check` prints: what is compiled, and what a class uses.

Answers come from where the loop looks too: `_shortcuts.TABLE` and `stock_owner()`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import platform
import socketserver
import sys
import textwrap
from collections.abc import Iterator
from importlib.machinery import ExtensionFileLoader
from types import ModuleType
from typing import Any, NamedTuple

import fastsocketserver
from fastsocketserver._graft import installed
from fastsocketserver._nagle import wants_nodelay
from fastsocketserver._shortcuts import TABLE, Shortcut, stock_owner
from fastsocketserver._waiting import poller_name

# In the order in which a request meets them; then the rest of a server's life.
SERVER_HOOKS = (
    "serve_forever",
    "handle_request",
    "_handle_request_noblock",
    "get_request",
    "verify_request",
    "process_request",
    "process_request_thread",
    "finish_request",
    "handle_error",
    "shutdown_request",
    "close_request",
    "service_actions",
    "collect_children",
    "handle_timeout",
    "_BaseServer__shutdown_request",
    "shutdown",
    "server_bind",
    "server_activate",
    "server_close",
    "fileno",
)
HANDLER_HOOKS = ("__init__", "setup", "handle", "finish")

_SERVERS = (socketserver.BaseServer, socketserver.ThreadingMixIn) + (
    (socketserver.ForkingMixIn,) if hasattr(socketserver, "ForkingMixIn") else ()
)
_HANDLERS = (socketserver.BaseRequestHandler,)


class NotFoundError(Exception):
    """The target of `--check` is not there, or is no class of this kind; says which."""


class Verdict(NamedTuple):
    """What the loop does about one hook of a class."""

    hook: str
    runs: str  # "native", "ours", "standard" or "override"
    detail: str


def main(target: str = "") -> int:
    """Print the report.

    Args:
        target: `module`, `module:Class`, or nothing.
    Returns:
        the exit status: 2 if the target cannot be found.
    """
    try:
        report = _target_report(target) if target else []
    except NotFoundError as error:
        print(f"fastsocketserver: {error}", file=sys.stderr)
        return 2
    print("\n".join([*_build_report(), *report]))
    return 0


# -- the build ----------------------------------------------------------------------------


def _build_report() -> Iterator[str]:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield f"fastsocketserver {fastsocketserver.__version__}, {python}, {platform.platform()}"
    yield f"package   {os.path.dirname(fastsocketserver.__file__)}"
    graft = "put in place for this check" if installed() else "not in place"
    yield f"graft     {graft}"
    files = [os.path.basename(module.__file__ or "") for module in _compiled_modules()]
    yield "compiled  " + "\n          ".join(files)
    yield f"poller    {poller_name()}"
    yield f"kernel    {', '.join(_kernel_features())}"


def _compiled_modules() -> list[ModuleType]:
    names = [module.name for module in pkgutil.iter_modules(fastsocketserver.__path__)]
    modules = []
    for name in sorted(names):
        spec = importlib.util.find_spec(f"fastsocketserver.{name}")
        if spec is not None and isinstance(spec.loader, ExtensionFileLoader):
            modules.append(importlib.import_module(spec.name))
    return modules


def _kernel_features() -> Iterator[str]:
    """The calls that the loop prefers, and what it does where there are none."""
    linux = sys.platform == "linux"
    yield "accept4" if linux else "accept (no accept4)"
    yield "recvmmsg" if linux else "recvmsg (no recvmmsg)"
    yield "pidfd" if _has_pidfd() else "waitpid at each tick (no pidfd)"


def _has_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # not on this platform; not in this kernel or sandbox
        return False
    return True


# -- finding the target -------------------------------------------------------------------


def _target_report(target: str) -> list[str]:
    module_name, _, class_path = target.partition(":")
    module = _import(module_name)
    if class_path:
        return ["", *_class_report(target, _find_class(module, class_path))]
    classes = list(_classes_of(module))
    if not classes:
        raise NotFoundError(f"module {module_name!r} has no class built on socketserver")
    lines = [_class_summary(module_name, cls) for cls in classes]
    return ["", *lines, f"(each method of one: --check {module_name}:{classes[0].__name__})"]


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        reason = f"{type(error).__name__}: {error}"
        raise NotFoundError(f"cannot import {name!r}: {reason}") from error


def _find_class(module: ModuleType, path: str) -> type:
    found: Any = module
    for name in path.split("."):
        found = getattr(found, name, None)
    if found is None:
        raise NotFoundError(f"no {path!r} in module {module.__name__!r}")
    if not isinstance(found, type) or not issubclass(found, (*_SERVERS, *_HANDLERS)):
        raise NotFoundError(f"{module.__name__}:{path} is no class built on socketserver")
    return found


def _classes_of(module: ModuleType) -> Iterator[type]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, (*_SERVERS, *_HANDLERS)):
            yield value


# -- one class ----------------------------------------------------------------------------


def _class_report(title: str, cls: type) -> Iterator[str]:
    yield f"{title}, a {_kind(cls)}"
    yield "bases     " + " > ".join(_short_name(base) for base in cls.__mro__[1:-1])
    if issubclass(cls, _HANDLERS):
        yield f"nodelay   {_nodelay(cls)}"
    for verdict in verdicts(cls):
        yield f"  {verdict.hook:<30}{verdict.runs:<10}{verdict.detail}"


def _class_summary(module_name: str, cls: type) -> str:
    lines = [f"{module_name}:{cls.__name__}, a {_kind(cls)}"]
    for runs in ("native", "override"):
        hooks = [verdict.hook for verdict in verdicts(cls) if verdict.runs == runs]
        text = f"  {runs:<10}{', '.join(hooks)}"
        lines += textwrap.wrap(text, 96, subsequent_indent=" " * 12) if hooks else []
    return "\n".join(lines)


def verdicts(cls: type) -> Iterator[Verdict]:
    """What the loop does about each hook that a server or handler class has."""
    hooks = HANDLER_HOOKS if issubclass(cls, _HANDLERS) else SERVER_HOOKS
    probe = _bare_instance(cls)
    for hook in hooks:
        owner = _owner_of(cls, hook)
        if owner is not None:
            yield _verdict(probe, hook, owner)


def _verdict(probe: Any, hook: str, owner: type) -> Verdict:
    value = vars(owner)[hook]
    row = _row_for(probe, hook)
    reason = _why_not(probe, row) if row else None
    if row and reason is None:
        return Verdict(hook, "native", row.instead)
    runs = _author(value, owner)
    place = _short_name(owner)
    if runs == "override":
        place += f", {where}" if (where := _where(value)) else ""
        reason = "no shortcut: overridden" if row else None
    return Verdict(hook, runs, f"{place}; {reason}" if reason else place)


def _row_for(probe: Any, hook: str) -> Shortcut | None:
    """The shortcut for the stock hook of the class, also where that is overridden."""
    names = [cls.__name__ for cls in type(probe).__mro__ if _is_stock_class(cls)]
    rows = {row.owner: row for row in TABLE if row.hook == hook}
    return next((rows[name] for name in names if name in rows), None)


def _why_not(probe: Any, row: Shortcut) -> str | None:
    """Why the loop cannot take this shortcut; None if it takes it."""
    cls = type(probe)
    asked_first = _owner_of(cls, "__getattribute__")
    if asked_first is not object:
        return f"no shortcut: {_short_name(asked_first)} has a __getattribute__"
    if stock_owner(probe, row.hook) != row.owner:
        return f"no shortcut for this one, only for that of {row.owner}"
    for hook, owners in row.needs:
        if _owner_of(cls, hook) is not None and stock_owner(probe, hook) not in owners:
            return f"no shortcut: it needs the stock {hook} of {' or '.join(owners)}"
    loop_owner = _owner_of(cls, "serve_forever")
    if loop_owner and _author(vars(loop_owner)["serve_forever"], loop_owner) == "standard":
        return "no shortcut: serve_forever is the standard one"
    return None


def _owner_of(cls: type, name: str) -> Any:
    """The class in whose body `cls` finds the name, or None."""
    return next((base for base in cls.__mro__ if name in vars(base)), None)


def _author(value: Any, owner: type) -> str:
    """Whose code it is. A function is asked itself, as somebody may have put it there."""
    function = getattr(value, "fget", value)
    module = getattr(function, "__globals__", {}).get("__name__", owner.__module__)
    if module.partition(".")[0] == "fastsocketserver":
        return "ours"
    return "standard" if module == "socketserver" else "override"


def _where(value: Any) -> str:
    """`file:line` of a method, or "" if it is no Python function."""
    for attribute in ("__func__", "fget", "func"):  # class or static method, property, partial
        value = getattr(value, attribute, None) or value
    code = getattr(value, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


def _nodelay(handler: type) -> str:
    if wants_nodelay(handler):
        return "on: TCP_NODELAY is set on the connections of this handler"
    owner = _owner_of(handler, "disable_nagle_algorithm")
    return f"off: {_short_name(owner)} says disable_nagle_algorithm = False"


def _bare_instance(cls: type) -> Any:
    """An instance that was not initialised, to ask the loop's questions about."""
    try:
        return object.__new__(cls)
    except TypeError:  # abstract: fill in what is missing, none of which can be stock
        missing = dict.fromkeys(getattr(cls, "__abstractmethods__", ()))
        return object.__new__(type(cls)(cls.__name__, (cls,), missing))


def _kind(cls: type) -> str:
    kind = "handler" if issubclass(cls, _HANDLERS) else "server"
    if kind == "server" and not issubclass(cls, socketserver.BaseServer):
        kind = "mix-in for servers"
    return kind


def _is_stock_class(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in ("socketserver", "fastsocketserver")


def _short_name(cls: Any) -> str:
    """`socketserver.TCPServer`, and the same for ours without the private module."""
    module: str = cls.__module__
    if module.startswith("fastsocketserver."):
        module = "fastsocketserver"
    return f"{module}.{cls.__qualname__}"
