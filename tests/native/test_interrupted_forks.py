"""Exceptions of signal handlers while a request is given to a child: no child is lost."""

from __future__ import annotations

import contextlib
import os
import sys

import pytest

from fastsocketserver import _forking
from native.processes import run_program
from support.clients import connect, connected, read_to_end
from support.leaks import living_children

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

POLICY = _forking.__file__


class Interrupt(BaseException):
    """What the handler of a signal raises."""


@contextlib.contextmanager
def interrupted_at(number):
    """Raise in the parent at one of the lines of _forking.py; give how many are left to go."""
    parent, left = os.getpid(), [number]

    def trace(frame, event, argument):
        if os.getpid() != parent or frame.f_code.co_filename != POLICY:
            return None
        if left[0] == 0:
            left[0] = -1
            raise Interrupt
        left[0] -= 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield left
    finally:
        sys.settrace(before)


def test_request_interrupted_at_any_line_loses_no_child(server_of):
    """Each line of the parent in turn; what was forked is in `active_children`."""
    number, interrupts = 0, 0
    reached = True
    while reached:
        server = server_of("ForkingTCPServer")
        with connect(server) as client:
            with interrupted_at(number) as left, contextlib.suppress(Interrupt):
                server.handle_request()
            reached = left[0] < 0
            interrupts += reached
            assert living_children() <= (server.active_children or set()), number
            server.server_close()
            assert not server.active_children
            assert reached or read_to_end(client) == b"ok"
        number += 1
    assert interrupts > 3


def test_collection_interrupted_at_any_line_can_be_repeated(server_of):
    """While `server_close()` waits for children: the next call takes the rest."""
    number, reached = 0, True
    while reached:
        server = server_of("ForkingTCPServer")
        for _ in range(2):
            with connected(server) as client:
                server.handle_request()
                read_to_end(client)
        with interrupted_at(number) as left, contextlib.suppress(Interrupt):
            server.server_close()
        reached = left[0] < 0
        server.server_close()
        assert not server.active_children
        assert not living_children()
        number += 1
    assert number > 5


def test_storm_of_interrupts_while_serving_loses_no_child():
    """At most 4 ms between them; every child that was forked gets reaped."""
    program = """
    import os, signal, socket, sys
    import fastsocketserver

    class Interrupt(BaseException):
        pass

    over = []

    def interrupt(number, frame):
        # Below serve_forever(), but not in an Event, whose lock would stay taken for good.
        while frame is not None and frame.f_globals["__name__"] != "threading":
            if frame.f_code.co_name == "serve_forever":
                raise Interrupt
            frame = frame.f_back
        if not over:
            signal.setitimer(signal.ITIMER_REAL, 0.0002)

    def handler(request, client_address, server):
        request.sendall(b"ok")

    def knock(address, count):
        for _ in range(count):
            try:
                with socket.create_connection(address, 0.1) as client:
                    client.recv(2)
            except OSError:
                pass

    def end(*_):
        over.append(1)
        server._BaseServer__shutdown_request = True

    server = fastsocketserver.ForkingTCPServer(("127.0.0.1", 0), handler)
    signal.signal(signal.SIGUSR1, end)
    signal.signal(signal.SIGALRM, interrupt)
    parent = os.getpid()
    client = os.fork()
    if client == 0:
        server.socket.close()
        knock(server.server_address, 200)
        os.kill(parent, signal.SIGUSR1)
        os._exit(0)
    interrupts = 0
    while not over:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0002 + 0.0001 * (interrupts % 40))
            server.serve_forever()
        except Interrupt:
            interrupts += 1
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    os.waitpid(client, 0)
    server.server_close()
    try:
        print("left", os.waitpid(-1, os.WNOHANG))
    except ChildProcessError:
        print("none left", interrupts > 30)
    """
    assert run_program(program) == ["none left True"]


def test_fork_by_a_signal_handler_during_a_wait_leaves_the_children_to_the_parent():
    """The child goes on where the parent waits: it has no children, so it waits for none."""
    program = """
    import os, signal
    import fastsocketserver as socketserver

    children = set()
    for _ in range(2):
        children.add(os.fork())
        if 0 in children:
            signal.pause()
            os._exit(0)
    parent = os.getpid()
    server = socketserver.ForkingTCPServer(("127.0.0.1", 0), None)
    server.max_children = 2
    server.active_children = children
    forked = []
    def handler(*_):
        pid = os.fork()
        if pid:
            forked.append(pid)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            signal.signal(signal.SIGALRM, lambda *_: os.kill(min(children), signal.SIGKILL))
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    server.collect_children()
    if os.getpid() != parent:
        os._exit(3)
    print(len(server.active_children))
    os.kill(max(children), signal.SIGKILL)
    server.server_close()
    print(os.waitstatus_to_exitcode(os.waitpid(forked[0], 0)[1]))
    """
    assert run_program(program) == ["1", "3"]
