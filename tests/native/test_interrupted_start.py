"""A signal handler raises at any line of serve_forever(), before the loop and after it.

Forced with a trace function, which raises where a signal's handler could.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from fastsocketserver import _base, _loop, _state
from fastsocketserver._state import state_of
from support.clients import exchange
from support.leaks import open_descriptors
from support.serving import Background, serving

FILES = {module.__file__ for module in (_base, _state)}
# Far more lines than there are.
LINE_LIMIT = 500


class Interrupter:
    """Raises at line number `at`, counted from 1; says whether it came so far.

    Of the lines before the loop has begun, or of those after that.
    """

    def __init__(self, error, at, after):
        self.error = error
        self.lines_left = at
        self.after = after
        self.begun = False

    def trace(self, frame, event, arg):
        if self.lines_left == 0 or frame.f_code.co_filename not in FILES:
            return None
        if event == "line" and self.begun == self.after:
            self.lines_left -= 1
            if self.lines_left == 0:
                raise self.error
        return self.trace


def serve_interrupted(server, error, at, after=False):
    """Serve for one turn, interrupted at that line; whether the line was reached."""
    interrupter = Interrupter(error, at, after)

    def fileno():
        interrupter.begun = True
        server._BaseServer__shutdown_request = True
        return server.socket.fileno()

    server.fileno = fileno
    before = sys.gettrace()
    sys.settrace(interrupter.trace)
    try:
        server.serve_forever(3600)
    except error:
        pass
    finally:
        sys.settrace(before)
        del server.fileno
    return interrupter.lines_left == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_serve_forever_interrupted_at_any_line_before_the_loop_leaves_nothing(server_of, error):
    """No loop stays registered, shutdown() waits for nobody, and the server serves again."""
    assert Path(_base.__file__).suffix == ".py"  # else there are no lines
    server = server_of("TCPServer")
    at = 1
    while serve_interrupted(server, error, at):
        assert not state_of(server).loops, f"line {at}"
        assert not state_of(server).serving, f"line {at}"
        assert not _loop.running_loops, f"line {at}"
        Background(server.shutdown).join()  # waits for nobody
        server._BaseServer__shutdown_request = False
        at += 1
        assert at < LINE_LIMIT
    assert at > 8
    with serving(server):
        assert exchange(server) == b"ok"


def test_serve_forever_interrupted_at_any_line_after_the_loop_leaves_none(server_of):
    """A loop that stays registered keeps its descriptors, and the listener non-blocking."""
    server = server_of("TCPServer")
    before = open_descriptors()
    at = 1
    while serve_interrupted(server, KeyboardInterrupt, at, after=True):
        assert not state_of(server).loops, f"line {at}"
        assert not _loop.running_loops, f"line {at}"
        assert open_descriptors() == before, f"line {at}"
        server._BaseServer__shutdown_request = False
        at += 1
        assert at < LINE_LIMIT
    assert at > 4
    with serving(server):
        assert exchange(server) == b"ok"


@pytest.mark.parametrize("setter", ["flag", "event"])
def test_serve_forever_interrupted_at_its_end_leaves_nothing(server_of, setter, monkeypatch):
    """The event may stay clear, as in the standard module; shutdown() knows better."""
    server = server_of("TCPServer")
    armed = []

    def fileno():
        server._BaseServer__shutdown_request = True
        armed.append(1)
        return server.socket.fileno()

    def interrupted(*args):
        if armed:
            raise KeyboardInterrupt

    server.fileno = fileno
    if setter == "event":
        monkeypatch.setattr(threading.Event, "set", interrupted)
    else:
        monkeypatch.setattr(_base, "state_of", lambda server: interrupted() or state_of(server))
    with pytest.raises(KeyboardInterrupt):
        server.serve_forever(3600)
    monkeypatch.undo()
    del server.fileno
    assert not state_of(server).serving
    Background(server.shutdown).join()
    server._BaseServer__shutdown_request = False
    with serving(server):
        assert exchange(server) == b"ok"
