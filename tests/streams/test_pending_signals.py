"""Signals that arrive between two calls of a stream run their handlers before it waits.

The interpreter looks for signals when it enters a function written in Python, which the
standard methods are. A compiled method that does not look goes on to wait for the peer, and
Ctrl-C with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import os
import signal
import socket
import sys
import threading

import pytest

from support.idle import wait_until_asleep
from support.serving import Background
from support.signals import handling

BIG = bytes(50_000_000)  # no socket buffer holds it
# Where a handler does not run, the call ends with a TimeoutError instead.
PATIENCE_S = 5.0

# Raises a signal without looking for it afterwards, unlike signal.raise_signal().
raise_quietly = getattr(ctypes.CDLL(None), "raise")


@pytest.fixture(autouse=True)
def no_collection():
    """What a handler raises within a callback of the collector (hypothesis has one) is lost."""
    gc.disable()
    yield
    gc.enable()


class Interrupted(Exception):
    """Raised by the handler."""


def interrupt(*_):
    raise Interrupted


def with_signal_pending(method, argument):
    """Call a method while a signal is pending: nothing on the way to it looks."""
    signals = map(raise_quietly, [signal.SIGUSR1])
    return next(zip(signals, map(method, [argument]), strict=False))


@pytest.mark.parametrize("size", [1, len(BIG)])
def test_write_runs_a_pending_handler_before_it_sends(streams, pair, size):
    """`writelines()` calls `write()` from C: a million lines are no reason to miss Ctrl-C."""
    ours, peer = pair
    ours.settimeout(PATIENCE_S)
    with (
        handling(signal.SIGUSR1, interrupt),
        streams.open_writer(ours, 0) as writer,
        pytest.raises(Interrupted),
    ):
        with_signal_pending(writer.write, BIG[:size])
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(1)


def test_writelines_runs_a_handler_between_two_lines(streams, pair):
    """The first line is sent, the second is not."""
    ours, peer = pair
    signals = map(bytes, map(raise_quietly, [signal.SIGUSR1]))  # b"", since it returns 0
    noisy = itertools.chain([b"first\n"], map(max, [b"second"], signals))
    with (
        handling(signal.SIGUSR1, interrupt),
        streams.open_writer(ours, 0) as writer,
        pytest.raises(Interrupted),
    ):
        writer.writelines(noisy)
    assert peer.recv(100) == b"first\n"


@pytest.mark.parametrize("method", ["read", "readline", "peek", "raw"])
def test_read_runs_a_pending_handler_before_it_waits(streams, pair, method):
    """`read(n)` of a BufferedReader calls `readinto()` from C, once for each piece."""
    ours, peer = pair
    ours.settimeout(PATIENCE_S)
    with streams.open_reader(ours, -1) as reader:
        call = reader.raw.read if method == "raw" else getattr(reader, method)
        with handling(signal.SIGUSR1, interrupt), pytest.raises(Interrupted):
            with_signal_pending(call, 10)
        peer.sendall(b"0123456789")
        assert reader.read(10) == b"0123456789"


@contextlib.contextmanager
def switch_interval(seconds):
    """How long a thread may keep the GIL that another one wants."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("_", range(5))
def test_handler_runs_when_the_signal_comes_during_a_partial_send(streams, _):
    """What is sent at once is not all: then the rest waits for a peer that never reads.

    The other thread gets the GIL when the first send gives it up, and not before: its signal
    is there when that send has returned, and interrupts no wait. Buffers are as large as they
    come, so that the send takes its time.
    """
    turn = threading.Lock()

    def send():
        with turn:
            os.kill(os.getpid(), signal.SIGUSR1)

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        ours, _ = listener.accept()
        ours.settimeout(PATIENCE_S)
        with ours, streams.open_writer(ours, 0) as writer:
            turn.acquire()
            sending = Background(send)
            wait_until_asleep(sending.thread)

            def write():
                turn.release()
                writer.write(BIG)

            with (
                handling(signal.SIGUSR1, interrupt),
                switch_interval(60.0),
                pytest.raises(Interrupted),
            ):
                write()
            sending.join()
