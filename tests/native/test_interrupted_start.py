"""A signal handler raises at any line between the call of serve_forever() and the loop.

Forced with a trace function, which raises where a signal's handler could.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fastsocketserver import _base, _serving
from fastsocketserver._state import state_of
from support.clients import exchange
from support.serving import Background, serving

FILES = {module.__file__ for module in (_base, _serving)}
# Far more lines than there are.
LINE_LIMIT = 500


class Interrupter:
    """Raises at line number `at`, counted from 1; says whether it came so far."""

    def __init__(self, error, at):
        self.error = error
        self.lines_left = at
        self.begun = False

    def trace(self, frame, event, arg):
        if self.begun or self.lines_left == 0 or frame.f_code.co_filename not in FILES:
            return None
        if event == "line":
            self.lines_left -= 1
            if self.lines_left == 0:
                raise self.error
        return self.trace


def serve_interrupted(server, error, at):
    """Serve for one turn, interrupted at that line; whether the line was reached."""
    interrupter = Interrupter(error, at)

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
        assert not _base.running_loops, f"line {at}"
        Background(server.shutdown).join()  # waits for nobody
        server._BaseServer__shutdown_request = False
        at += 1
        assert at < LINE_LIMIT
    assert at > 8
    with serving(server):
        assert exchange(server) == b"ok"
