"""Forking a process that has workers: the child has none of them, and needs none."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading

import pytest

from native.batches import serve_one, waiting_clients
from native.processes import CHILD_DEADLINE_S, ask_child, child_process, run_program
from support.clients import connect, exchange, read_to_end
from support.handlers import Gate, reply_ok
from support.leaks import living_children
from support.serving import Background, Loop, serving, wait_for
from support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def _no_child_is_left():
    """A test that failed leaves none to the next one."""
    yield
    for pid in living_children():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def serve_in_this_process(server, count=3):
    """Serve a few clients of one's own; what they were answered."""
    with serving(server):
        replies = [exchange(server).decode() for _ in range(count)]
    server.server_close()
    return replies


@pytest.mark.parametrize("daemon", [False, True])
def test_fork_while_workers_are_idle_child_serves_joins_and_closes(server_of, daemon):
    """The parent's idle workers are no threads of the child."""
    server = server_of(daemon_threads=daemon)
    serve_one(server)
    assert ask_child(serve_in_this_process, server) == ["ok"] * 3
    with serving(server):
        assert exchange(server) == b"ok"


@pytest.mark.parametrize("daemon", [False, True])
def test_fork_while_workers_are_busy_child_serves_joins_and_closes(server_of, daemon):
    """server_close() in the child does not wait for a request of the parent."""
    gate = Gate()
    server = server_of(handler=gate, daemon_threads=daemon)
    loop = Loop(server)
    with connect(server) as client:
        wait_for(gate.entered)
        server.shutdown()
        loop.join()
        server.RequestHandlerClass = reply_ok
        assert ask_child(serve_in_this_process, server) == ["ok"] * 3
        gate.opened.set()
        assert read_to_end(client) == b"inout"


def test_fork_while_all_allowed_workers_are_busy_child_serves(server_of, fast):
    """max_threads of the parent says nothing about the child, which has no thread yet."""
    gate = Gate()
    server = server_of(handler=gate, limits=fast.Limits(max_threads=1))
    loop = Loop(server)
    with connect(server) as client:
        wait_for(gate.entered)
        server.shutdown()
        loop.join()
        server.RequestHandlerClass = reply_ok
        try:
            assert ask_child(serve_in_this_process, server) == ["ok"] * 3
        finally:
            gate.opened.set()
        assert read_to_end(client) == b"inout"


def test_fork_in_a_third_thread_while_serving_child_serves(server_of):
    """The parent's loop sleeps meanwhile; the child begins one of its own."""
    server = server_of(handler=lambda request, *_: request.sendall(b"%d" % os.getpid()))
    with serving(server):
        exchange(server)
        with child_process(server.serve_forever) as pid:
            wait_until(lambda: int(exchange(server)) == pid)
            wait_until(lambda: int(exchange(server)) == os.getpid())
        assert {int(exchange(server)) for _ in range(20)} == {os.getpid()}


def fork_and_end(request, client_address, server):
    """A handler that forks; its child just returns, as its thread's last act."""
    if os.fork():
        request.sendall(b"parent")


def children_that_are_left():
    """Pids of children; those that have ended are reaped."""
    pids = living_children()
    for pid in pids:
        os.waitpid(pid, os.WNOHANG)
    return pids


def test_fork_in_a_handler_child_that_returns_ends_as_its_thread_does(server_of, fast):
    """Nothing follows in the child: its only thread does not wait for another request."""
    server = server_of(handler=fork_and_end, limits=fast.Limits(thread_idle_timeout=3600))
    with serving(server), connect(server) as client:
        assert client.recv(6) in (b"parent", b"")  # the child may shut the connection first
        wait_until(lambda: not children_that_are_left())


def test_fork_in_a_handler_child_serves_no_request_that_was_held_back(server_of):
    """The first of a batch forks; the others are the parent's to serve, once."""
    first = threading.Lock()
    child_reader, child_writer = os.pipe()

    def handler(request, client_address, server):
        if first.acquire(blocking=False) and os.fork() == 0:
            first.release()  # anything that comes now is the parent's
            server.RequestHandlerClass = tell
            return
        request.sendall(b"ok")

    def tell(request, client_address, server):
        os.write(child_writer, b"served in the child")
        os._exit(0)

    server = server_of(handler=handler)
    serve_one(server)
    try:
        with waiting_clients(server, 12) as clients, serving(server):
            replies = [client.recv(2) for client in clients]
        # The child that ends may shut its one connection first; it has no other.
        assert replies.count(b"ok") >= 11
        wait_until(lambda: not children_that_are_left())
        os.write(child_writer, b"served by nobody else")
        assert os.read(child_reader, 1000) == b"served by nobody else"
    finally:
        os.close(child_reader)
        os.close(child_writer)


def test_fork_with_requests_held_back_child_closes_the_server_and_serves_none(server_of):
    """A child that frees the port, before exec: the requests are the parent's."""
    first = threading.Lock()
    reader, writer = os.pipe()

    def handler(request, client_address, server):
        if first.acquire(blocking=False) and os.fork() == 0:
            server.RequestHandlerClass = lambda *_: os.write(writer, b"served in the child")
            server.block_on_close = False
            server._threads = fast_no_threads
            server.server_close()
            os.write(writer, b"closed")
            threading.Event().wait(0.05)
            os._exit(0)
        request.sendall(b"ok")

    from fastsocketserver import _NoThreads

    fast_no_threads = _NoThreads()
    server = server_of(handler=handler)
    serve_one(server)
    try:
        with waiting_clients(server, 12) as clients, serving(server):
            ready, _, _ = select.select([reader], [], [], CHILD_DEADLINE_S)
            assert ready
            replies = [client.recv(2) for client in clients]
        # The child that ends may shut its one connection first; it has no other.
        assert replies.count(b"ok") >= 11
        wait_until(lambda: not children_that_are_left())
        assert os.read(reader, 100) == b"closed"
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_fork_on_the_serving_thread_child_goes_on_serving(server_of, base):
    """A handler or hook forks, and both processes stay in their loop."""

    def verify_request(self, request, client_address):
        if not hasattr(self, "forked"):
            self.forked = os.fork()
            if self.forked == 0:
                self.RequestHandlerClass = lambda request, *_: request.sendall(b"child")
                os.close(request.detach())  # the parent serves it
                return False
        return True

    server = server_of(
        base,
        handler=lambda request, *_: request.sendall(b"parent"),
        verify_request=verify_request,
    )
    with serving(server):
        assert exchange(server) == b"parent"
        try:
            seen = set()

            def both():
                seen.add(exchange(server))
                return len(seen) == 2

            wait_until(both)
        finally:
            os.kill(server.forked, 9)
            os.waitpid(server.forked, 0)
        assert exchange(server) == b"parent"


def get_request(self):
    """An override, so that the loop goes to sleep after each request."""
    return self.socket.accept()


def test_fork_on_the_serving_thread_child_that_closes_the_server_leaves_the_loop(server_of):
    """As in one process: a closed listener ends the loop, without an exception."""
    reader, writer = os.pipe()

    def handler(request, client_address, server):
        if os.fork() == 0:
            server.server_close()
            server.in_child = True

    server = server_of("TCPServer", handler=handler, get_request=get_request)

    def serve():
        try:
            server.serve_forever()
            outcome = b"ended"
        except BaseException as error:
            outcome = repr(error).encode()
        if hasattr(server, "in_child"):
            os.write(writer, outcome)
            os._exit(0)

    try:
        serving_thread = Background(serve)
        exchange(server)
        ready, _, _ = select.select([reader], [], [], CHILD_DEADLINE_S)
        assert ready, "the child's loop did not end"
        assert os.read(reader, 1000) == b"ended"
        wait_until(lambda: not children_that_are_left())
        server.shutdown()
        serving_thread.join()
    finally:
        os.close(reader)
        os.close(writer)


def test_fork_on_the_serving_thread_child_never_waits_for_a_foreign_descriptor(server_of):
    """The number of the closed listener is somebody else's by now."""
    reader, writer = os.pipe()

    def handler(request, client_address, server):
        if os.fork() == 0:
            number = server.fileno()
            server.server_close()
            os.dup2(reader, number)
            server.in_child = True

    server = server_of("TCPServer", handler=handler, get_request=get_request)

    def serve():
        server.serve_forever()
        if hasattr(server, "in_child"):
            os.write(writer, b"ended")
            os._exit(0)

    try:
        serving_thread = Background(serve)
        exchange(server)
        try:
            ready, _, _ = select.select([reader], [], [], 3)
            assert ready, "the child's loop did not end"
        finally:
            for pid in children_that_are_left():
                with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it ended
                    os.kill(pid, 9)
                    os.waitpid(pid, 0)
        server.shutdown()
        serving_thread.join()
    finally:
        os.close(reader)
        os.close(writer)


def test_fork_with_multiprocessing_in_a_handler_ends_with_the_interpreter():
    """A child made by a worker ends like any other, however many are idle in the parent."""
    assert (
        run_program("""
        import multiprocessing, socket, threading
        import fastsocketserver

        context = multiprocessing.get_context("fork")

        def handler(request, address, server):
            process = context.Process(target=print, args=("child",), kwargs={"flush": True})
            process.start()
            process.join(20)
            request.sendall(b"%d" % process.exitcode)

        class Server(fastsocketserver.ThreadingTCPServer):
            limits = fastsocketserver.Limits(thread_idle_timeout=3600)

        server = Server(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for _ in range(3):
            with socket.create_connection(server.server_address, 20) as client:
                print(client.recv(10).decode(), flush=True)
    """)
        == ["child", "0"] * 3
    )


def test_fork_child_that_exits_normally_does_not_wait_for_idle_workers():
    """sys.exit() in a child of the main thread: none of the workers is there to be joined."""
    assert run_program(
        """
        import os, socket, sys, threading
        import fastsocketserver

        class Server(fastsocketserver.ThreadingTCPServer):
            limits = fastsocketserver.Limits(thread_idle_timeout=3600)

        server = Server(("127.0.0.1", 0), lambda request, *_: request.sendall(b"ok"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with socket.create_connection(server.server_address, 20) as client:
            client.recv(2)
        pid = os.fork()
        if pid == 0:
            print("child", flush=True)
            sys.exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    """,
    ) == ["child", "3"]
