"""ForkingMixIn where the exit of a child wakes nobody: pidfd_open(2) fails."""

from __future__ import annotations

import errno
import os

import pytest

from support.clients import DEADLINE_S, connect, nudge, read_exactly, read_to_end
from support.serving import Background, Loop
from support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

HOUR_S = 3600


@pytest.fixture(params=[errno.ENOSYS, errno.EMFILE], ids=errno.errorcode.get, autouse=True)
def failing_pidfd(request, monkeypatch):
    """How many calls of pidfd_open() may still succeed: none. For a test to change."""
    allowed = [0]
    stock = os.pidfd_open

    def pidfd_open(pid, flags=0):
        if allowed[0] > 0:
            allowed[0] -= 1
            return stock(pid, flags)
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    return allowed


def reply_when_told(request, client_address, server):
    """Stay until the client sends; later children have copies of its socket."""
    request.settimeout(DEADLINE_S)
    request.sendall(b"in")
    request.recv(1)
    request.sendall(b"ok")


def release(client):
    """Let the client's child end."""
    with client:
        client.sendall(b".")
        assert read_to_end(client) == b"ok"


def stop(server, loop):
    """End a loop that looks around once an hour."""
    server._BaseServer__shutdown_request = True
    nudge(server)
    loop.join()


def test_max_children_reached_serves_the_next_when_one_exits(make_server):
    """The standard loop waits in waitpid() by then; it needs no poll to go on."""
    server = make_server("ForkingTCPServer", handler=reply_when_told, max_children=2)
    loop = Loop(server, HOUR_S)
    clients = [connect(server) for _ in range(5)]
    for number, client in enumerate(clients):
        assert read_exactly(client, 2) == b"in", number
        release(client)
    stop(server, loop)


@pytest.mark.parametrize("first_watched", [False, True])
@pytest.mark.parametrize("leaving", [0, 1])
def test_collect_children_at_the_maximum_waits_for_any(
    make_server, failing_pidfd, leaving, first_watched
):
    """`os.waitpid(-1, 0)`: whichever exits first, and however many descriptors there were."""
    failing_pidfd[0] = int(first_watched)
    server = make_server("ForkingTCPServer", handler=reply_when_told, max_children=2)
    clients = []
    for _ in range(2):
        clients.append(connect(server))
        server.handle_request()
        assert read_exactly(clients[-1], 2) == b"in"
    collecting = Background(server.collect_children)
    try:
        release(clients.pop(leaving))
        collecting.join()
        assert len(server.active_children) == 1
    finally:
        release(*clients)


def test_server_close_waits_for_all(make_server):
    """Each child is waited for by its own number."""
    server = make_server("ForkingTCPServer", handler=reply_when_told)
    clients = []
    for _ in range(3):
        clients.append(connect(server))
        server.handle_request()
        assert read_exactly(clients[-1], 2) == b"in"
    closing = Background(server.server_close)
    wait_until(lambda: server.socket.fileno() < 0)
    assert closing.thread.is_alive()
    for client in clients:
        release(client)
    closing.join()
    assert not server.active_children
