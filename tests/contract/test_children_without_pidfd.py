"""ForkingMixIn where no exit of a child wakes anybody: pidfd_open(2) fails.

Each test runs in a forked child, for which the kernel refuses that call.
"""

from __future__ import annotations

import errno

import pytest

from native.processes import ask_child
from support.clients import DEADLINE_S, connect, exchange, nudge, read_exactly, read_to_end
from support.idle import switches
from support.seccomp import PIDFD_OPEN, refuse
from support.serving import Background, Loop, serving
from support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

HOUR_S = 3600


@pytest.fixture(params=[errno.ENOSYS, errno.EMFILE], ids=errno.errorcode.get)
def without_pidfd(request):
    """Run a function where pidfd_open() fails."""

    def function_without_pidfd(function):
        try:
            refuse(PIDFD_OPEN, request.param)
        except OSError:
            return "cannot refuse"
        return function()

    def run(function):
        if ask_child(function_without_pidfd, function) == "cannot refuse":
            pytest.skip("this kernel refuses no single system call")

    return run


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


def hold(server, count):
    """Clients whose children wait for them."""
    clients = []
    for _ in range(count):
        clients.append(connect(server))
        server.handle_request()
        assert read_exactly(clients[-1], 2) == b"in"
    return clients


def test_children_are_reaped_at_ticks(make_server, without_pidfd):
    """As in the standard loop."""

    def test():
        server = make_server("ForkingTCPServer", max_children=3)
        with serving(server):
            assert [exchange(server) for _ in range(10)] == [b"ok"] * 10
            wait_until(lambda: not server.active_children)
        server.server_close()

    without_pidfd(test)


def test_max_children_reached_serves_the_next_when_one_exits(make_server, without_pidfd):
    """The standard loop waits in waitpid() by then; it needs no poll to go on.

    More clients than it could take with a look each five seconds.
    """

    def test():
        server = make_server(
            "ForkingTCPServer", handler=reply_when_told, max_children=2, request_queue_size=16
        )
        loop = Loop(server, HOUR_S)
        clients = [connect(server) for _ in range(9)]
        for number, client in enumerate(clients):
            assert read_exactly(client, 2) == b"in", number
            # It must not see the exit in passing.
            wait_until(lambda: switches(loop.thread)[0] == "S")
            release(client)
        server._BaseServer__shutdown_request = True
        nudge(server)
        loop.join()
        server.server_close()

    without_pidfd(test)


@pytest.mark.parametrize("leaving", [0, 1])
def test_collect_children_at_the_maximum_waits_for_any(make_server, without_pidfd, leaving):
    """`os.waitpid(-1, 0)`: whichever exits first."""

    def test():
        server = make_server("ForkingTCPServer", handler=reply_when_told, max_children=2)
        clients = hold(server, 2)
        collecting = Background(server.collect_children)
        release(clients.pop(leaving))
        collecting.join()
        assert len(server.active_children) == 1
        release(*clients)
        server.server_close()

    without_pidfd(test)


def test_server_close_waits_for_all(make_server, without_pidfd):
    """Each child is waited for by its own number."""

    def test():
        server = make_server("ForkingTCPServer", handler=reply_when_told)
        clients = hold(server, 3)
        closing = Background(server.server_close)
        wait_until(lambda: server.socket.fileno() < 0)
        assert closing.thread.is_alive()
        for client in clients:
            release(client)
        closing.join()
        assert not server.active_children

    without_pidfd(test)
