"""Forked requests: only our own children are reaped, and at once."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading

import pytest

from fastsocketserver._waiting import poller_name
from native.processes import ask_child
from support.clients import connect, connected, exchange, nudge, read_to_end
from support.leaks import living_children
from support.serving import Background, Loop, serving
from support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

# An exit ends the wait, except where poll(2) has to do: that loop ticks for its children.
INTERVAL_S = 3600 if poller_name() == "epoll" else 0.01


@pytest.fixture(autouse=True)
def _no_child_is_left(server_of):
    """A test that failed leaves none: server_close() would wait for it."""
    yield
    for pid in living_children():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def reply_when_told(request, client_address, server):
    """Answer as soon as the client ends its side."""
    request.recv(1)
    request.sendall(b"ok")


@contextlib.contextmanager
def foreign_child():
    """A child that is none of the server's, and exits when the block begins."""
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    yield pid
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_children_are_reaped_while_the_loop_is_idle(server_of):
    """An exit wakes it; no request and no tick does."""
    server = server_of("ForkingTCPServer")
    with serving(server, INTERVAL_S):
        for _ in range(5):
            assert exchange(server) == b"ok"
            wait_until(lambda: not server.active_children and not living_children())


def test_children_of_others_are_left_alone(server_of):
    """While ours are reaped all around it."""
    server = server_of("ForkingTCPServer", max_children=2)
    with foreign_child(), serving(server, INTERVAL_S):
        assert [exchange(server) for _ in range(10)] == [b"ok"] * 10
        wait_until(lambda: not server.active_children)


def test_children_without_pidfd_are_reaped_at_ticks(server_of, monkeypatch):
    """No descriptor for one, or an old kernel."""

    def pidfd_open(pid, flags=0):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    server = server_of("ForkingTCPServer", max_children=3)
    with serving(server):
        assert [exchange(server) for _ in range(10)] == [b"ok"] * 10
        wait_until(lambda: not server.active_children and not living_children())


def test_children_reaped_by_sig_ign_are_forgotten(server_of):
    """SIGCHLD ignored: the kernel reaps them, waitpid() finds none."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        server = server_of("ForkingTCPServer", max_children=2)
        with serving(server, INTERVAL_S):
            assert [exchange(server) for _ in range(10)] == [b"ok"] * 10
            wait_until(lambda: not server.active_children)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_children_reaped_by_the_program_are_forgotten(server_of):
    """Its own waitpid(-1), against ours."""
    server = server_of("ForkingTCPServer", max_children=2)
    over = threading.Event()

    def reap():
        while not over.is_set():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)

    with serving(server, INTERVAL_S):
        from support.serving import Background

        reaping = Background(reap)
        try:
            assert [exchange(server) for _ in range(20)] == [b"ok"] * 20
            wait_until(lambda: not server.active_children)
        finally:
            over.set()
            reaping.join()


def test_pid_put_into_active_children_is_reaped(server_of):
    """A child that the program forked for the server."""
    server = server_of("ForkingTCPServer")
    with serving(server, INTERVAL_S):
        exchange(server)
        wait_until(lambda: not server.active_children)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        server.active_children.add(pid)
        nudge(server)
        wait_until(lambda: not server.active_children and not living_children())


def test_pid_of_no_child_in_active_children_is_forgotten(server_of):
    """Process 1, say."""
    server = server_of("ForkingTCPServer")
    server.active_children = {1}
    with serving(server, INTERVAL_S):
        exchange(server)
        # Somebody else's process does not exit: the next collection finds out.
        server.collect_children(blocking=True)
        assert 1 not in server.active_children


def test_max_children_reached_does_not_delay_shutdown(server_of):
    """Children that do not end, and a client that waits."""
    server = server_of("ForkingTCPServer", reply_when_told, max_children=2)
    with connect(server) as one, connect(server) as two, connect(server) as three:
        loop = Loop(server, INTERVAL_S)
        wait_until(lambda: len(server.active_children or ()) == 2)
        loop.stop()
        assert len(server.active_children) == 2
        for client in (one, two):
            client.sendall(b".")
            assert read_to_end(client) == b"ok"
        with serving(server, INTERVAL_S):
            three.sendall(b".")
            assert read_to_end(three) == b"ok"


def test_max_children_reached_serves_the_next_as_soon_as_one_exits(server_of):
    """Without any tick."""
    server = server_of("ForkingTCPServer", reply_when_told, max_children=1)
    with serving(server, INTERVAL_S), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(5)]
        for client in clients:
            client.sendall(b".")
        assert [read_to_end(client) for client in clients] == [b"ok"] * 5


def test_server_close_in_a_child_does_not_wait_for_its_siblings(server_of):
    """As many siblings as max_children, made by handle_request(); none ends by itself."""
    reader, writer = os.pipe()

    def handler(request, client_address, server):
        server.server_close()
        os.write(writer, b".")
        request.recv(1)

    server = server_of("ForkingTCPServer", handler, max_children=1)
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(connect(server))
                server.handle_request()
                ready, _, _ = select.select([reader], [], [], 10)
                assert ready, "server_close() did not return in the child"
                os.read(reader, 1)
    finally:
        for pid in living_children():
            os.kill(pid, signal.SIGKILL)
        os.close(reader)
        os.close(writer)


def test_process_forked_while_children_run_leaves_them_to_the_parent(server_of):
    """It serves the same listener; a child of its parent exits, which it hears of first."""
    blocked, go_on = threading.Event(), threading.Event()

    def verify_request(self, request, client_address):
        if blocking:
            blocked.set()
            assert go_on.wait(20)
        return True

    blocking = []
    server = server_of("ForkingTCPServer", reply_when_told, verify_request=verify_request)
    with serving(server, INTERVAL_S), connect(server) as slow:
        wait_until(lambda: server.active_children)
        (pid,) = server.active_children
        blocking.append(1)
        with connected(server) as held_up:
            assert blocked.wait(10)

            def serve_until_told():
                server.verify_request = lambda *_: True
                threading.Timer(0.5, server.shutdown).start()
                server.serve_forever(INTERVAL_S)
                return sorted(server.active_children)

            def end_slow():
                slow.sendall(b".")

            threading.Timer(0.1, end_slow).start()
            ask_child(serve_until_told)
            blocking.clear()
            go_on.set()
            assert read_to_end(held_up) == b"ok"
        assert read_to_end(slow) == b"ok"
        wait_until(lambda: pid not in server.active_children)
        wait_until(lambda: not living_children())


def test_max_children_of_the_parent_are_none_of_a_forked_process(server_of):
    """Forked while as many run as may: it has no child at all, and serves."""
    server = server_of("ForkingTCPServer", reply_when_told, max_children=1)
    with connect(server) as slow:
        loop = Loop(server, INTERVAL_S)
        wait_until(lambda: server.active_children)
        loop.stop()

        def serve():
            with serving(server, INTERVAL_S):
                return exchange(server, b".").decode()

        assert ask_child(serve) == "ok"
        slow.sendall(b".")
        assert read_to_end(slow) == b"ok"


def test_child_that_serves_and_forks_reaps_its_own(server_of):
    """A forking server within a child of a forking server."""

    def handler(request, client_address, server):
        if server.depth:
            request.sendall(b"inner")
            return
        inner = type(server)(("127.0.0.1", 0), handler)
        inner.depth = 1
        with inner, serving(inner, INTERVAL_S):
            assert exchange(inner) == b"inner"
            wait_until(lambda: not inner.active_children)
        request.sendall(b"outer")

    server = server_of("ForkingTCPServer", handler, depth=0)
    with serving(server, INTERVAL_S):
        assert [exchange(server) for _ in range(3)] == [b"outer"] * 3


def test_server_close_racing_the_loop_raises_nothing_and_keeps_no_descriptor(server_of):
    """Both reap the same children; what one has just forgotten, the other may have seen."""

    def serve_and_close():
        server = server_of("ForkingTCPServer")
        loop = Loop(server, INTERVAL_S)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connect(server)) for _ in range(4)]
            for client in clients[:2]:
                client.recv(2)
            server.server_close()
        loop.join()
        while server.active_children:  # forked while server_close() was at it
            server.collect_children(blocking=True)
        server.server_close()

    serve_and_close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(150):
        serve_and_close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_collect_children_from_many_threads_takes_each_child_once(server_of):
    """While the loop goes on forking."""
    server = server_of("ForkingTCPServer")
    stopped = threading.Event()

    def collect():
        while not stopped.is_set():
            server.collect_children()

    with serving(server, INTERVAL_S):
        collectors = [Background(collect) for _ in range(3)]
        try:
            for _ in range(100):
                exchange(server)
        finally:
            stopped.set()
        for collector in collectors:
            collector.join()
        wait_until(lambda: not server.active_children)
