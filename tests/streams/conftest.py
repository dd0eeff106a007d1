"""The two implementations of `rfile` and `wfile`, and connections to try them on."""

from __future__ import annotations

import contextlib
import signal
import socket
import socketserver
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fastsocketserver import _streams
from support.clients import DEADLINE_S


def _standard_reader(sock: socket.socket, rbufsize: int) -> Any:
    return sock.makefile("rb", rbufsize)


def _standard_writer(sock: socket.socket, wbufsize: int) -> Any:
    return sock.makefile("wb", wbufsize) if wbufsize else socketserver._SocketWriter(sock)


STANDARD = SimpleNamespace(open_reader=_standard_reader, open_writer=_standard_writer)


@pytest.fixture(params=["standard", "compiled"])
def streams(request: pytest.FixtureRequest) -> Any:
    """The streams under test: the standard ones first, which proves the expectation."""
    return STANDARD if request.param == "standard" else _streams


@pytest.fixture
def compiled() -> ModuleType:
    """Our module, for what has no standard twin."""
    return _streams


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection's two ends, `(ours, the peer's)`, on Unix sockets. The peer never hangs."""
    ours, peer = socket.socketpair()
    peer.settimeout(DEADLINE_S)
    with ours, peer:
        yield ours, peer


@pytest.fixture
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection's two ends, `(ours, the peer's)`, on TCP, with buffers that stay small."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname(), timeout=DEADLINE_S)
        ours, _ = listener.accept()
    with ours, peer:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        yield ours, peer


@pytest.fixture
def alarm() -> Iterator[Callable[..., None]]:
    """`alarm(handler, delay_s, interval_s=0)`: a real SIGALRM; undone after the test."""
    before = signal.getsignal(signal.SIGALRM)

    def arm(handler: Callable[..., Any], delay_s: float, interval_s: float = 0.0) -> None:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, delay_s, interval_s)

    with contextlib.ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGALRM, before)
        stack.callback(signal.setitimer, signal.ITIMER_REAL, 0)
        yield arm
