"""ForkingMixIn: a process per request, counted, bounded and reaped.

Requests are waiting before the server forks wherever that suffices: forking with a
second thread around is what Python 3.12 and newer warn about.
"""

from __future__ import annotations

import os
import signal
import socket
import threading

import pytest

from support.clients import (
    DEADLINE_S,
    ask,
    connect,
    connected,
    datagram_client,
    exchange,
    read_exactly,
    read_to_end,
)
from support.serving import Background, serving
from support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def reply_pid(request, client_address, server):
    request.sendall(b"%d" % os.getpid())


def wait_for_client(request, client_address, server):
    """Stay until the client sends; later children have copies of its socket."""
    request.settimeout(DEADLINE_S)
    request.sendall(b"in")
    request.recv(1)


def handle_request(server):
    """`handle_request()`; a child that comes out of it would go on with the test."""
    parent = os.getpid()
    try:
        server.handle_request()
    finally:
        if os.getpid() != parent:
            os._exit(99)


def serve_one(server, client):
    """handle_request() for a client that waits; its whole reply."""
    handle_request(server)
    return read_to_end(client)


def hold_one(server):
    """A connected client whose child waits for it."""
    client = connect(server)
    handle_request(server)
    assert read_exactly(client, 2) == b"in"
    return client


def release(client):
    """Let the client's child end; its last bytes."""
    with client:
        client.sendall(b"x")
        return read_to_end(client)


@pytest.mark.parametrize("base", ["ForkingTCPServer", "ForkingUnixStreamServer"])
def test_request_runs_in_a_child_process(impl, make_server, base):
    """`pid = os.fork()`."""
    if not hasattr(impl, base):
        pytest.skip(f"{base} came with Python 3.12; ours has it everywhere")
    server = make_server(base, handler=reply_pid)
    with connected(server) as client:
        pid = int(serve_one(server, client))
    assert pid != os.getpid()
    assert server.active_children == {pid}


def test_requests_run_beside_each_other(make_server):
    """The parent does not wait for the child."""
    server = make_server("ForkingTCPServer", handler=wait_for_client)
    clients = [hold_one(server) for _ in range(3)]
    assert len(server.active_children) == 3
    assert [release(client) for client in clients] == [b""] * 3


def test_serve_forever_serves_many(make_server):
    """Children come and go while the loop runs."""
    server = make_server("ForkingTCPServer")
    with serving(server):
        assert [exchange(server) for _ in range(10)] == [b"ok"] * 10


def test_active_children_is_none_before_the_first_request(make_server):
    """A class attribute; a set from the first request on."""
    server = make_server("ForkingTCPServer")
    assert server.active_children is None
    server.collect_children()
    server.collect_children(blocking=True)
    assert server.active_children is None
    with connected(server) as client:
        serve_one(server, client)
    assert isinstance(server.active_children, set)
    assert type(server).active_children is None


def test_defaults_are_the_standard_ones(impl):
    """timeout 300, max_children 40, block_on_close."""
    mixin = impl.ForkingMixIn
    assert (mixin.timeout, mixin.max_children, mixin.block_on_close) == (300, 40, True)


def test_collect_children_takes_those_that_have_exited(make_server):
    """waitpid(pid, WNOHANG) for each."""
    server = make_server("ForkingTCPServer")
    with connected(server) as client:
        assert serve_one(server, client) == b"ok"

    def collected():
        server.collect_children()
        return not server.active_children

    wait_until(collected)


def test_collect_children_leaves_running_ones(make_server):
    """It does not wait unless asked to."""
    server = make_server("ForkingTCPServer", handler=wait_for_client)
    client = hold_one(server)
    server.collect_children()
    assert len(server.active_children) == 1
    release(client)


def test_collect_children_blocking_waits_for_all(make_server):
    """`blocking=True`, by keyword only."""
    server = make_server("ForkingTCPServer", handler=wait_for_client)
    clients = [hold_one(server) for _ in range(2)]
    collecting = Background(lambda: server.collect_children(blocking=True))
    collecting.thread.join(0.1)
    assert collecting.thread.is_alive()
    for client in clients:
        release(client)
    collecting.join()
    assert server.active_children == set()
    with pytest.raises(TypeError):
        server.collect_children(True)


def test_collect_children_at_the_maximum_waits_for_one(make_server):
    """`while len(self.active_children) >= self.max_children`."""
    server = make_server("ForkingTCPServer", handler=wait_for_client, max_children=2)
    first, second = hold_one(server), hold_one(server)
    collecting = Background(server.collect_children)
    collecting.thread.join(0.1)
    assert collecting.thread.is_alive()
    release(first)
    collecting.join()
    assert len(server.active_children) == 1
    release(second)


def test_max_children_set_after_construction_is_used(make_server):
    """werkzeug sets it on the instance."""
    server = make_server("ForkingTCPServer", handler=wait_for_client)
    server.max_children = 1
    client = hold_one(server)
    collecting = Background(server.collect_children)
    collecting.thread.join(0.1)
    assert collecting.thread.is_alive()
    release(client)
    collecting.join()
    assert server.active_children == set()


def test_max_children_bounds_the_running_ones_while_serving(make_server):
    """The loop takes no further request until a child has exited."""
    server = make_server("ForkingTCPServer", handler=wait_for_client, max_children=2)
    with serving(server):
        clients = [connect(server) for _ in range(4)]
        for client in clients[:2]:
            assert read_exactly(client, 2) == b"in"
        wait_until(lambda: len(server.active_children) == 2)  # the child may be first
        clients[2].settimeout(0.1)
        with pytest.raises(TimeoutError):
            clients[2].recv(2)
        clients[2].settimeout(10)
        for leaving, entering in ((0, 2), (1, 3)):
            release(clients[leaving])
            assert read_exactly(clients[entering], 2) == b"in"
        for client in clients[2:]:
            release(client)


def test_collect_children_reaped_by_somebody_else_forgets_them(make_server):
    """ChildProcessError: "someone else reaped it"."""
    server = make_server("ForkingTCPServer", handler=reply_pid)
    with connected(server) as client:
        pid = int(serve_one(server, client))
    os.waitpid(pid, 0)
    server.collect_children()
    assert server.active_children == set()


def test_collect_children_leaves_a_foreign_child_alone(make_server):
    """Below the maximum only pids of active_children are waited for."""
    foreign = os.fork()
    if foreign == 0:
        os._exit(5)
    server = make_server("ForkingTCPServer")
    with connected(server) as client:
        serve_one(server, client)
    server.collect_children(blocking=True)
    _, status = os.waitpid(foreign, 0)
    assert os.waitstatus_to_exitcode(status) == 5


def test_collect_children_takes_pids_added_by_others(make_server):
    """`active_children` is public: whatever is in it is waited for."""
    server = make_server("ForkingTCPServer")
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    server.active_children = {pid}
    server.collect_children(blocking=True)
    assert server.active_children == set()


def test_serve_forever_reaps_while_idle(make_server):
    """service_actions collects at each tick; no further request is needed."""
    server = make_server("ForkingTCPServer")
    with serving(server):
        assert exchange(server) == b"ok"
        wait_until(lambda: server.active_children == set())


def test_handle_timeout_collects_children(make_server):
    """`timeout` seconds of inactivity in handle_request()."""
    server = make_server("ForkingTCPServer", timeout=0.01)
    with connected(server) as client:
        serve_one(server, client)

    def idle():
        assert server.handle_request() is None
        return not server.active_children

    wait_until(idle)


@pytest.mark.parametrize("hook", ["handle_timeout", "service_actions", "server_close"])
def test_collect_children_overridden_is_called_by(make_server, hook):
    """Through self."""
    calls = []

    def collect_children(self, *, blocking=False):
        calls.append(blocking)

    server = make_server("ForkingTCPServer", collect_children=collect_children)
    getattr(server, hook)()
    assert calls == [hook == "server_close"]


def test_service_actions_overridden_calling_super_still_reaps(impl, make_server):
    """Extended by supervision code."""
    ticks = []

    def service_actions(self):
        ticks.append(1)
        impl.ForkingTCPServer.service_actions(self)

    server = make_server("ForkingTCPServer", service_actions=service_actions)
    with serving(server):
        assert exchange(server) == b"ok"
        wait_until(lambda: server.active_children == set())
    assert ticks


def test_server_close_waits_for_children(make_server):
    """`self.collect_children(blocking=self.block_on_close)`."""
    server = make_server("ForkingTCPServer", handler=wait_for_client)
    client = hold_one(server)
    closing = Background(server.server_close)
    closing.thread.join(0.1)
    assert closing.thread.is_alive()
    release(client)
    closing.join()
    assert server.active_children == set()


def test_server_close_without_block_on_close_returns(make_server):
    """The child goes on by itself, and can be collected later."""
    server = make_server("ForkingTCPServer", handler=wait_for_client, block_on_close=False)
    client = hold_one(server)
    server.server_close()
    assert len(server.active_children) == 1
    assert release(client) == b""
    server.collect_children(blocking=True)
    assert server.active_children == set()


def test_block_on_close_is_read_at_server_close(make_server):
    """Set on the instance after the request."""
    server = make_server("ForkingTCPServer", handler=wait_for_client)
    client = hold_one(server)
    server.block_on_close = False
    server.server_close()
    assert len(server.active_children) == 1
    release(client)
    server.collect_children(blocking=True)


def collect_status(server):
    """The exit status of the only child, taken by ourselves."""
    (pid,) = server.active_children
    _, status = os.waitpid(pid, 0)
    server.collect_children()
    return os.waitstatus_to_exitcode(status)


def test_child_exits_with_zero(make_server):
    """`status = 0; os._exit(status)`."""
    server = make_server("ForkingTCPServer")
    with connected(server) as client:
        serve_one(server, client)
    assert collect_status(server) == 0


def test_child_exception_goes_to_handle_error_and_exits_with_one(make_server):
    """In the child: handle_error, shutdown_request, os._exit(1)."""

    def handler(*_):
        raise ValueError

    server = make_server(
        "ForkingTCPServer",
        handler=handler,
        handle_error=lambda self, request, address: request.sendall(b"sorry"),
    )
    with connected(server) as client:
        assert serve_one(server, client) == b"sorry"
    assert collect_status(server) == 1


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, BaseException])
def test_child_baseexception_never_returns_from_the_child(make_server, error):
    """`This must never return, hence os._exit()!`"""

    def handler(*_):
        raise error

    server = make_server(
        "ForkingTCPServer",
        handler=handler,
        handle_error=lambda self, request, address: request.sendall(b"handled"),
    )
    with connected(server) as client:
        assert serve_one(server, client) == b""
    assert collect_status(server) == 1


def test_child_failing_in_shutdown_request_still_exits(make_server):
    """`finally: os._exit(status)`."""
    parent = os.getpid()

    def shutdown_request(self, request):
        assert os.getpid() != parent
        raise RuntimeError

    server = make_server("ForkingTCPServer", shutdown_request=shutdown_request)
    with connected(server) as client:
        assert serve_one(server, client) == b"ok"
    assert collect_status(server) == 0


def test_parent_only_closes_its_copy_of_the_request(impl, make_server):
    """`self.close_request(request)`: without SHUT_WR, which would end the child's."""
    log, parent = [], os.getpid()

    def close_request(self, request):
        if os.getpid() == parent:
            log.append(request)
        impl.TCPServer.close_request(self, request)

    def shutdown_request(self, request):
        if os.getpid() == parent:
            log.append("shutdown_request")
        impl.TCPServer.shutdown_request(self, request)

    server = make_server(
        "ForkingTCPServer",
        handler=wait_for_client,
        close_request=close_request,
        shutdown_request=shutdown_request,
    )
    client = hold_one(server)
    assert len(log) == 1
    assert log[0].fileno() == -1
    release(client)


def test_child_changes_nothing_in_the_parent(make_server):
    """A process of its own."""
    state = []
    server = make_server("ForkingTCPServer", handler=lambda *_: state.append(1))
    with connected(server) as client:
        serve_one(server, client)
    assert not state


def test_verify_request_runs_in_the_parent(make_server):
    """Up to process_request all of it happens here."""
    pids = []

    def verify_request(self, request, client_address):
        pids.append(os.getpid())
        return True

    server = make_server("ForkingTCPServer", verify_request=verify_request)
    with connected(server) as client:
        serve_one(server, client)
    assert pids == [os.getpid()]


def test_fork_that_fails_goes_to_handle_error_and_serving_goes_on(make_server, monkeypatch):
    """OSError out of process_request: handle_error, shutdown_request."""
    import sys

    errors = []
    server = make_server(
        "ForkingTCPServer", handle_error=lambda self, *args: errors.append(sys.exc_info()[0])
    )

    def fork():
        raise BlockingIOError

    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", fork)
        with connected(server) as client:
            assert serve_one(server, client) == b""
    with connected(server) as client:
        assert serve_one(server, client) == b"ok"
    assert errors == [BlockingIOError]


def test_child_killed_by_a_signal_is_collected(make_server):
    """Any end of a child is an end."""
    server = make_server("ForkingTCPServer", handler=wait_for_client)
    with serving(server), connect(server) as client:
        assert read_exactly(client, 2) == b"in"
        wait_until(lambda: server.active_children)  # the child may be first
        (pid,) = server.active_children
        os.kill(pid, signal.SIGKILL)
        assert read_to_end(client) == b""
        wait_until(lambda: server.active_children == set())


def test_children_ignored_by_the_system_are_forgotten(make_server):
    """SIGCHLD ignored: the kernel reaps; waitpid says ChildProcessError."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        server = make_server("ForkingTCPServer", handler=reply_pid)
        with connected(server) as client:
            serve_one(server, client)
        server.collect_children(blocking=True)
        assert server.active_children == set()
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_collect_children_blocking_ends_with_children_ignored_by_the_system(make_server):
    """waitpid() waits for the exit even so, and then says ChildProcessError."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        server = make_server("ForkingTCPServer", handler=wait_for_client)
        client = hold_one(server)
        collecting = Background(lambda: server.collect_children(blocking=True))
        collecting.thread.join(0.1)
        assert collecting.thread.is_alive()
        release(client)
        collecting.join()
        assert server.active_children == set()
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_request_datagram_is_answered_by_the_child(make_server):
    """python-osc: ForkingUDPServer; parent and child share the listener."""

    def handler(request, client_address, server):
        request[1].sendto(b"%d" % os.getpid(), client_address)

    server = make_server("ForkingUDPServer", handler=handler)
    with serving(server), datagram_client(server) as client:
        pids = {int(ask(client, b"x")) for _ in range(5)}
    assert len(pids) == 5
    assert os.getpid() not in pids


def test_request_datagrams_waiting_together_are_each_served_once(make_server):
    """No child serves what the parent took for another one."""

    def handler(request, client_address, server):
        request[1].sendto(request[0], client_address)

    server = make_server("ForkingUDPServer", handler=handler)
    with datagram_client(server) as client:
        for number in range(20):
            client.send(b"%d" % number)
        with serving(server):
            replies = sorted(int(client.recv(10)) for _ in range(20))
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(10)
    assert replies == list(range(20))


def test_process_request_overridden_without_forking_serves_here(impl, make_server):
    """An override that decides by request."""
    server = make_server(
        "ForkingTCPServer", handler=reply_pid, process_request=impl.TCPServer.process_request
    )
    with connected(server) as client:
        assert int(serve_one(server, client)) == os.getpid()
    assert server.active_children is None


def test_child_may_use_threads_and_sockets(make_server):
    """The child is a whole process."""

    def handler(request, client_address, server):
        results = []
        thread = threading.Thread(target=lambda: results.append(socket.gethostname()))
        thread.start()
        thread.join()
        request.sendall(results[0].encode())

    server = make_server("ForkingTCPServer", handler=handler)
    with connected(server) as client:
        assert serve_one(server, client) == socket.gethostname().encode()


@pytest.mark.parametrize("hook", ["service_actions", "collect_children"])
def test_max_children_with_a_hook_that_collects_none_is_no_limit(make_server, hook):
    """Nothing in the standard loop looks at `max_children` but `collect_children()`."""
    server = make_server("ForkingTCPServer", max_children=2, **{hook: lambda *_, **__: None})
    with serving(server):
        assert [exchange(server) for _ in range(6)] == [b"ok"] * 6
        wait_until(lambda: len(server.active_children) == 6)
    for pid in server.active_children:
        os.waitpid(pid, 0)


def test_max_children_with_service_actions_overridden_bounds_the_running_ones(
    impl, make_server
):
    """`super().service_actions()` after each request waits until there are fewer."""
    most = []

    def service_actions(self):
        most.append(len(self.active_children or ()))
        impl.ForkingTCPServer.service_actions(self)

    server = make_server("ForkingTCPServer", max_children=2, service_actions=service_actions)
    clients = [connect(server) for _ in range(5)]  # as many as its backlog holds
    with serving(server):
        for client in clients:
            with client:
                assert read_to_end(client) == b"ok"
    assert max(most) <= 2
