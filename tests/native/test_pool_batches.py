"""Requests that are held back for one worker: none waits for another, none is lost."""

from __future__ import annotations

import contextlib
import itertools
import socketserver
import sys
import threading

import pytest

from fastsocketserver import _workers
from native.batches import AtRequest, serve_one, waiting_clients
from support.clients import DEADLINE_S, connect, exchange, read_exactly, read_to_end
from support.handlers import Gate, reply_ok
from support.serving import Background, Loop, serving, wait_for
from support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Left(BaseException):
    """What no `except Exception` holds up."""


def stop(server):
    server._BaseServer__shutdown_request = True


def leave(server):
    raise Left


def close(server):
    """From another thread, as `server_close()` waits for requests that run."""
    Background(server.server_close).join()


def meeting(count):
    """A handler that answers when the first `count` requests are inside."""
    barrier = threading.Barrier(count, timeout=DEADLINE_S)
    numbers = itertools.count()

    def handler(request, client_address, server):
        if next(numbers) < count:
            barrier.wait()
        request.sendall(b"met")

    return handler


@pytest.mark.parametrize("count", [2, 8, 64])
def test_batch_of_handlers_that_wait_for_each_other_gets_going(server_of, count):
    """One worker alone would wait in the first for ever."""
    server = server_of()
    for _ in range(3):
        server.RequestHandlerClass = reply_ok
        serve_one(server)
        server.RequestHandlerClass = meeting(count)
        with waiting_clients(server, count) as clients, serving(server):
            assert [read_to_end(client) for client in clients] == [b"met"] * count


def test_batch_behind_a_handler_that_never_ends_is_served(server_of):
    """The worker that the batch waits for is the one that does not come back."""
    gate = Gate()
    address = None

    def handler(request, client_address, server):
        blocks = client_address == address
        (gate if blocks else reply_ok)(request, client_address, server)

    server = server_of(handler=handler)
    serve_one(server)
    with waiting_clients(server, 20) as clients:
        first, *others = clients
        address = first.getsockname()
        with serving(server):
            assert [read_to_end(client) for client in others] == [b"ok"] * 19
            gate.opened.set()
            assert read_to_end(first) == b"inout"


def test_batches_behind_handlers_that_never_end_are_all_served(server_of):
    """Some block, some do not, in all orders; the attempt to hold back goes on and off."""
    release = threading.Event()
    held = []

    def handler(request, client_address, server):
        if request.recv(1) == b"b":
            held.append(1)
            release.wait(DEADLINE_S * 4)
        request.sendall(b"ok")

    server = server_of(handler=handler)
    with serving(server), contextlib.ExitStack() as stack:
        blocked = []
        try:
            for number in range(60):
                group = [stack.enter_context(connect(server)) for _ in range(20)]
                for place, client in enumerate(group):
                    client.sendall(b"b" if place == number % 20 else b"a")
                blocked.append(group.pop(number % 20))
                assert [read_to_end(client) for client in group] == [b"ok"] * 19
        finally:
            release.set()
        assert [read_to_end(client) for client in blocked] == [b"ok"] * 60


@pytest.mark.parametrize(
    ("action", "served"), [(stop, 5), (leave, 4), (close, 5)], ids=["stop", "leave", "close"]
)
@pytest.mark.parametrize("daemon", [False, True])
def test_batch_held_back_when_the_loop_ends_is_served(server_of, action, served, daemon):
    """Stopped, left by an exception or closed at the fifth request of eight."""
    at_request = AtRequest({5: action}, daemon)
    server = server_of(handler=meeting(4), daemon_threads=at_request)
    serve_one(server)
    with waiting_clients(server, 8) as clients:
        at_request.arm()
        loop = Loop(server)
        failure = loop.failure()
        assert isinstance(failure, Left if action is leave else type(None))
        assert [read_to_end(client) for client in clients[:served]] == [b"met"] * served
        server.server_close()


def test_batch_held_back_when_the_loop_ends_is_joined_by_server_close(server_of):
    """The requests that were accepted are finished when server_close() returns."""
    done = []
    at_request = AtRequest({6: stop})

    def handler(request, client_address, server):
        barrier.wait()
        done.append(1)

    barrier = threading.Barrier(6, timeout=DEADLINE_S)
    server = server_of(handler=handler, daemon_threads=at_request)
    serve_one(server)
    with waiting_clients(server, 8):
        at_request.arm()
        server.serve_forever()
        server.server_close()
        assert len(done) == 6


def test_request_taken_while_the_server_is_closed_leaves_no_idle_worker(server_of, fast):
    """server_close() by another thread between taking a request and handing it over."""
    at_request = AtRequest({3: close})
    limits = fast.Limits(thread_idle_timeout=3600)
    server = server_of(daemon_threads=at_request, limits=limits)
    serve_one(server)
    with waiting_clients(server, 3) as clients:
        at_request.arm()
        server.serve_forever()
        assert [read_to_end(client) for client in clients] == [b"ok"] * 3
        # Nobody will ever give another request to these.
        wait_until(lambda: not _workers._live)


@pytest.mark.parametrize("error", [Left, SystemExit, KeyboardInterrupt])
def test_worker_that_dies_in_a_batch_takes_no_other_request_with_it(
    server_of, error, monkeypatch
):
    """Every third request ends its thread by BaseException."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    numbers = iter(range(10_000))

    def handler(request, client_address, server):
        if next(numbers) % 3 == 0:
            raise error
        request.sendall(b"ok")

    server = server_of(handler=handler)
    serve_one(server)
    for _ in range(5):
        with waiting_clients(server, 30) as clients, serving(server):
            replies = [read_to_end(client) for client in clients]
        assert (replies.count(b"ok"), replies.count(b"")) == (20, 10)


@pytest.fixture
def no_thread(monkeypatch):
    """No thread can be started, as at the limit of the system."""

    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_workers.Worker, "start", start)


@pytest.mark.parametrize("count", [1, 10])
def test_batch_without_any_thread_is_closed_and_reported(server_of, request, fast, count):
    """handle_error and shutdown_request for each; serving goes on."""
    reported, closed = [], []

    def handle_error(self, request, client_address):
        reported.append((sys.exc_info()[0], request.fileno() >= 0))

    def shutdown_request(self, request):
        closed.append(request)
        request.close()

    server = server_of(
        handle_error=handle_error,
        shutdown_request=shutdown_request,
        limits=fast.Limits(thread_idle_timeout=0.001),
    )
    serve_one(server)
    wait_until(lambda: not _workers._live)
    closed.clear()
    request.getfixturevalue("no_thread")
    with waiting_clients(server, count) as clients, serving(server):
        assert [read_to_end(client) for client in clients] == [b""] * count
        wait_until(lambda: len(closed) == count)
        assert reported == [(RuntimeError, True)] * count
        assert len(set(closed)) == count
        request.getfixturevalue("monkeypatch").undo()
        assert exchange(server) == b"ok"


def test_batch_without_any_thread_and_a_raising_handle_error_closes_every_request(
    server_of, request, fast
):
    """It leaves the loop, but not the other requests of the batch."""
    reported, closed = [], []

    def handle_error(self, request, client_address):
        reported.append(request)
        raise

    def shutdown_request(self, request):
        closed.append(request)
        request.close()

    server = server_of(
        handle_error=handle_error,
        shutdown_request=shutdown_request,
        limits=fast.Limits(thread_idle_timeout=0.2),
    )
    serve_one(server)
    # The worker is idle now; have it gone, but its pool there.
    wait_until(lambda: not _workers._live)
    closed.clear()
    request.getfixturevalue("no_thread")
    at_request = AtRequest({5: stop})
    type(server).daemon_threads = at_request
    at_request.arm()
    with waiting_clients(server, 5) as clients:
        assert isinstance(Loop(server).failure(), RuntimeError)
        # As in the standard module, a request whose handle_error raises is left as it is.
        for left in reported:
            left.close()
        assert len({*reported, *closed}) == len(clients)


def test_hook_patched_in_the_middle_of_a_batch_may_wait_for_its_requests(server_of):
    """A process_request that allows one request at a time, put in while requests are held."""
    slots = threading.Semaphore(2)

    def patch(server):
        kind = type(server)
        stock_process, stock_thread = kind.process_request, kind.process_request_thread

        def process_request(self, request, client_address):
            assert slots.acquire(timeout=DEADLINE_S), "no request was ever served"
            stock_process(self, request, client_address)

        def process_request_thread(self, request, client_address):
            try:
                stock_thread(self, request, client_address)
            finally:
                slots.release()

        kind.process_request = process_request
        kind.process_request_thread = process_request_thread

    at_request = AtRequest({3: patch})
    server = server_of(daemon_threads=at_request)
    serve_one(server)
    with waiting_clients(server, 12) as clients:
        at_request.arm()
        with serving(server):
            assert [read_to_end(client) for client in clients] == [b"ok"] * 12


def test_daemon_threads_changed_within_a_batch_is_honoured(server_of):
    """The requests before the change and those after it."""
    flags = []

    def handler(request, client_address, server):
        flags.append(threading.current_thread().daemon)

    def toggle(server):
        at_request.value = not at_request.value

    at_request = AtRequest(dict.fromkeys((4, 7, 9), toggle))
    server = server_of(handler=handler, daemon_threads=at_request)
    serve_one(server)
    with waiting_clients(server, 10) as clients:
        at_request.arm()
        with serving(server):
            assert [read_to_end(client) for client in clients] == [b""] * 10
        server.server_close()
    assert sorted(flags) == [False] * 5 + [True] * 5


def test_daemon_threads_toggled_while_serving_loses_no_request(server_of):
    """By another thread, as fast as it can."""
    over = threading.Event()
    server = server_of()

    def toggle():
        while not over.is_set():
            server.daemon_threads = not server.daemon_threads

    with serving(server):
        toggling = Background(toggle)
        try:
            for _ in range(10):
                with waiting_clients(server, 30) as clients:
                    assert [read_to_end(client) for client in clients] == [b"ok"] * 30
        finally:
            over.set()
            toggling.join()


def test_semaphore_of_process_request_blocks_only_the_serving_thread(server_of, fast):
    """Taken in process_request, given back in process_request_thread; batches are waiting."""
    slots = threading.BoundedSemaphore(3)

    class Bounded(fast.ThreadingTCPServer):
        def process_request(self, request, client_address):
            assert slots.acquire(timeout=DEADLINE_S)
            super().process_request(request, client_address)

        def process_request_thread(self, request, client_address):
            try:
                super().process_request_thread(request, client_address)
            finally:
                slots.release()

    with Bounded(("127.0.0.1", 0), reply_ok) as server:
        serve_one(server)
        with waiting_clients(server, 60) as clients, serving(server):
            assert [read_to_end(client) for client in clients] == [b"ok"] * 60


def test_gate_of_a_batch_keeps_no_request_from_a_second_loop(server_of):
    """Stopped at each request of a batch, begun again: every client is answered."""
    at_request = AtRequest(dict.fromkeys(range(1, 40), stop))
    server = server_of(daemon_threads=at_request)
    serve_one(server)
    with waiting_clients(server, 39) as clients:
        at_request.arm()
        for _ in range(39):
            server.serve_forever()
        assert [read_exactly(client, 2) for client in clients] == [b"ok"] * 39


def test_event_of_a_running_request_is_set_once_it_is_done(server_of):
    """join() on a worker, from many threads, while requests come and go."""
    gate = Gate()
    server = server_of(handler=gate)
    with serving(server), connect(server) as client:
        wait_for(gate.entered)
        (worker,) = server._threads
        joiners = [Background(worker.join) for _ in range(10)]
        assert worker.is_alive()
        worker.join(0.01)
        gate.opened.set()
        for joiner in joiners:
            joiner.join()
        assert read_to_end(client) == b"inout"
        wait_until(lambda: not worker.is_alive())


@pytest.mark.parametrize("standard_mixin", [False, True])
def test_batch_held_back_is_served_when_the_server_closes_itself(
    fast, server_of, standard_mixin
):
    """server_close() waits for a request that runs, and that one for one that is held back."""
    reached, release = threading.Event(), threading.Event()

    def handler(request, client_address, server):
        if not reached.is_set():
            reached.set()
            assert release.wait(DEADLINE_S)
        else:
            release.set()
        request.sendall(b"ok")

    bases = (fast.ThreadingTCPServer,)
    if standard_mixin:  # as `ThreadingHTTPServer` has it, with the standard twin in between
        bases = (fast.ThreadingMixIn, socketserver.ThreadingTCPServer, fast.TCPServer)
    at_request = AtRequest({2: lambda server: server.server_close()})
    kind = type("Server", bases, {"daemon_threads": at_request})
    with kind(("127.0.0.1", 0), reply_ok) as server:
        serve_one(server)
        server.RequestHandlerClass = handler
        with contextlib.ExitStack() as stack:
            loop = Loop(server)
            first = stack.enter_context(connect(server))
            wait_for(reached)
            server.shutdown()
            loop.join()
            with waiting_clients(server, 2) as clients:
                at_request.arm()
                Background(server.serve_forever).join()
                assert [read_to_end(client) for client in (first, *clients)] == [b"ok"] * 3
