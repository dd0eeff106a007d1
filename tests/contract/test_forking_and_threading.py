"""A class with both mix-ins: some requests get a process, others a thread."""

from __future__ import annotations

import os
import threading

import pytest

from support.clients import DEADLINE_S, connect, exchange, read_exactly, read_to_end
from support.serving import serving
from support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def tell_where(request, client_address, server):
    """Where this runs; then stay until the client sends a second byte."""
    where = b"child" if os.getpid() != server.pid else b"main"
    if where == b"main" and threading.current_thread() is not server.serving_thread:
        where = b"thread"
    if request.recv(1) == b"s":
        request.sendall(b"in")
        request.settimeout(DEADLINE_S)
        request.recv(1)
    request.sendall(where)


@pytest.fixture
def server_with_both(impl):
    """Made with the mix-ins in the order asked for: even requests fork, odd ones thread."""
    servers = []

    def make(forking_first=True, **namespace):
        mixins = [impl.ForkingMixIn, impl.ThreadingMixIn]
        counts = iter(range(1000))

        def process_request(self, request, client_address):
            self.serving_thread = threading.current_thread()
            mixin = mixins[0] if next(counts) % 2 == 0 else mixins[1]
            mixin.process_request(self, request, client_address)

        bases = (*(mixins if forking_first else mixins[::-1]), impl.TCPServer)
        attributes = {"process_request": process_request, "pid": os.getpid(), **namespace}
        server_class = type("Server", bases, attributes)
        servers.append(server_class(("127.0.0.1", 0), tell_where))
        return servers[-1]

    yield make
    for server in servers:
        server.server_close()


@pytest.mark.parametrize("forking_first", [True, False])
def test_requests_of_both_kinds_are_served(server_with_both, forking_first):
    """Each mix-in keeps its own account; the loop serves both."""
    server = server_with_both(forking_first)
    with serving(server):
        replies = [exchange(server, b".") for _ in range(12)]
    assert replies == [b"child", b"thread"] * 6


@pytest.mark.parametrize("forking_first", [True, False])
def test_children_are_reaped_beside_threads(server_with_both, forking_first):
    """`service_actions` is that of the forking mix-in, wherever it stands."""
    server = server_with_both(forking_first)
    with serving(server):
        for _ in range(4):
            exchange(server, b".")
        wait_until(lambda: server.active_children == set())


@pytest.mark.parametrize("forking_first", [True, False])
def test_server_close_waits_for_both(server_with_both, forking_first):
    """Each `server_close()` calls the next one's."""
    server = server_with_both(forking_first)
    with serving(server):
        clients = [connect(server) for _ in range(2)]
        for client in clients:
            client.sendall(b"s")
            assert read_exactly(client, 2) == b"in"
    closing = threading.Thread(target=server.server_close)
    closing.start()
    replies = []
    for client in clients:
        assert closing.is_alive()
        with client:
            client.sendall(b".")
            replies.append(read_to_end(client))
    closing.join(DEADLINE_S)
    assert not closing.is_alive()
    assert replies == [b"child", b"thread"]
    assert not server.active_children
    assert not [thread for thread in (server._threads or ()) if thread.is_alive()]


def test_max_children_reached_holds_up_the_threads_too(server_with_both):
    """The loop waits until a child exits, whatever the next request would be."""
    server = server_with_both(max_children=1)
    with serving(server), connect(server) as child, connect(server) as thread:
        child.sendall(b"s")
        assert read_exactly(child, 2) == b"in"
        wait_until(lambda: server.active_children)
        thread.sendall(b".")
        thread.settimeout(0.1)
        with pytest.raises(TimeoutError):
            thread.recv(1)
        thread.settimeout(DEADLINE_S)
        child.sendall(b".")
        assert read_to_end(child) == b"child"
        assert read_to_end(thread) == b"thread"


def test_request_in_a_child_of_a_threading_server_may_use_threads(server_with_both):
    """The pool of the parent is none of the child's; `server_close()` there waits for none."""
    server = server_with_both()

    def finish_request(request, client_address):
        if os.getpid() != server.pid:
            server.server_close()
        request.sendall(b"done")

    server.finish_request = finish_request
    with serving(server):
        assert [exchange(server) for _ in range(4)] == [b"done"] * 4
