"""Fixtures for every test: the two implementations, the leak guard, servers that get closed."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import itertools
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# `--import-mode=importlib` leaves sys.path alone; the tests share `support`.
sys.path.insert(0, str(Path(__file__).parent))

from support import leaks
from support.handlers import reply_datagram, reply_ok
from support.serving import TICK_S

# How long after a test's time-out the run is ended, if that has done nothing.
GRACE_S = 30.0
# How long closing what a test has made may take.
TEARDOWN_S = 60.0

IMPLEMENTATIONS = {"stdlib": "socketserver", "fast": "fastsocketserver"}


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C be what tests take it for, and find the terminal before it is captured."""
    # Ignored in what `nohup` and `&` of a script start, and in all the processes after it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_terminal_fd] = os.dup(2)


_terminal_fd = pytest.StashKey[int]()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give back what `pytest_configure` took."""
    os.close(config.stash[_terminal_fd])


# The plugin's time-out is a Python handler of SIGALRM. None runs where signals get lost, or the
# GIL is never given up, or the test has SIGALRM for itself: those would hang for ever. So a
# thread of C ends the run then, with tracebacks.
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Beside the plugin's own timer."""
    if not item.config.getoption("usepdb"):
        terminal = item.config.stash[_terminal_fd]
        faulthandler.dump_traceback_later(settings.timeout + GRACE_S, exit=True, file=terminal)


def pytest_timeout_cancel_timer() -> None:
    """Beside the plugin's own timer."""
    faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """The plugin ends both timers at a failure; and then servers are closed, which may wait."""
    if not item.config.getoption("usepdb"):
        terminal = item.config.stash[_terminal_fd]
        faulthandler.dump_traceback_later(TEARDOWN_S, exit=True, file=terminal)
    yield
    faulthandler.cancel_dump_traceback_later()


def pytest_enter_pdb() -> None:
    """Nobody is in a hurry now."""
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def leak_guard() -> Iterator[None]:
    """Fail a test that leaves a descriptor, a thread or a child behind."""
    before = leaks.take_snapshot()
    yield
    leaked = leaks.settled_additions(before)
    assert not leaked, "left behind: " + "; ".join(leaked)


@pytest.fixture(autouse=True)
def _default_timeout() -> Iterator[None]:
    """Restore the process-wide default timeout of sockets."""
    before = socket.getdefaulttimeout()
    yield
    socket.setdefaulttimeout(before)


@pytest.fixture(params=list(IMPLEMENTATIONS))
def impl(request: pytest.FixtureRequest) -> ModuleType:
    """The module under test: the standard one first, which proves the expectation."""
    return importlib.import_module(IMPLEMENTATIONS[request.param])


@pytest.fixture
def fast() -> ModuleType:
    """Our module, for what has no standard twin."""
    return importlib.import_module("fastsocketserver")


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path is short enough for a Unix socket's address (108 bytes)."""
    path = Path(tempfile.mkdtemp(prefix="fss-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def free_address(short_directory: Path) -> Callable[[type], Any]:
    """An address for a server class: port 0 of the loopback, or a fresh path."""
    numbers = itertools.count()

    def address_for(server_class: Any) -> Any:
        if server_class.address_family == socket.AF_UNIX:
            return str(short_directory / f"s{next(numbers)}")
        return ("127.0.0.1", 0)

    return address_for


@pytest.fixture
def make_server(impl: ModuleType, free_address: Callable[[type], Any]) -> Iterator[Callable]:
    """Build servers of a subclass with the given attributes; all are closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(
            base: str = "TCPServer",
            handler: Any = None,
            bind_and_activate: bool = True,
            **namespace: Any,
        ) -> Any:
            parent = getattr(impl, base)
            server_class = type("Server", (parent,), namespace)
            if handler is None:
                stream = server_class.socket_type == socket.SOCK_STREAM
                handler = reply_ok if stream else reply_datagram
            address = free_address(server_class)
            server = server_class(address, handler, bind_and_activate)
            stack.callback(server.server_close)
            return server

        yield make


def _handle_one(server: Any) -> Any:
    return server.handle_request()


def _serve(server: Any) -> Any:
    return server.serve_forever(TICK_S)


@pytest.fixture(params=[_handle_one, _serve], ids=["handle_request", "serve_forever"])
def enter_loop(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Enter the server's loop on this thread, by either of its two doors."""
    return request.param
