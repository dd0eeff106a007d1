"""Servers and fork: serving in children that share a listener, or that were made before."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from support.clients import exchange
from support.serving import serving

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@contextlib.contextmanager
def forked(function, *args):
    """Run the function in a child, which is ended with SIGTERM and waited for."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            function(*args)
        finally:
            os._exit(1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def reply_pid(request, client_address, server):
    request.sendall(b"%d" % os.getpid())


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_server_made_before_fork_serves_in_the_child(make_server, base):
    """Nothing at construction: neither a thread nor a descriptor is missing in the child."""
    server = make_server(base, handler=reply_pid)
    with forked(server.serve_forever, 0.01) as pid:
        assert [int(exchange(server)) for _ in range(3)] == [pid] * 3


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_server_shared_by_several_children_serves_all(make_server, base):
    """Preforking by hand: one listener, several loops; none blocks in accept()."""
    server = make_server(base, handler=reply_pid)
    with (
        forked(server.serve_forever, 0.01) as one,
        forked(server.serve_forever, 0.01) as two,
        forked(server.serve_forever, 0.01) as three,
    ):
        pids = {int(exchange(server)) for _ in range(60)}
    assert pids <= {one, two, three}


def test_server_that_has_served_serves_in_a_child(make_server):
    """Forked between two loops."""
    server = make_server("ThreadingTCPServer", handler=reply_pid)
    with serving(server):
        assert int(exchange(server)) == os.getpid()
    with forked(server.serve_forever, 0.01) as pid:
        assert int(exchange(server)) == pid
    with serving(server):
        assert int(exchange(server)) == os.getpid()


def test_child_holding_copies_of_all_descriptors_disturbs_nobody(make_server):
    """Forked while the loop runs, for something else."""
    server = make_server(handler=reply_pid)
    with serving(server):
        exchange(server)
        with forked(signal.pause):
            assert {int(exchange(server)) for _ in range(10)} == {os.getpid()}
        assert int(exchange(server)) == os.getpid()


def test_child_ending_its_loop_leaves_the_parents_running(make_server):
    """A flag on the shared listener must not change for the others."""
    server = make_server(handler=reply_pid)

    def serve_one_then_wait():
        server.handle_request()
        signal.pause()

    with serving(server), forked(serve_one_then_wait) as pid:
        pids = {int(exchange(server)) for _ in range(30)}
        assert pids <= {pid, os.getpid()}
        assert [bool(exchange(server)) for _ in range(10)] == [True] * 10


def test_multiprocessing_process_serves(make_server):
    """`multiprocessing.Process(target=server.serve_forever)`."""
    import multiprocessing

    server = make_server(handler=reply_pid)
    process = multiprocessing.get_context("fork").Process(target=server.serve_forever)
    process.start()
    try:
        assert int(exchange(server)) == process.pid
    finally:
        process.terminate()
        process.join(10)
        process.close()
