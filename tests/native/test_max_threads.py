"""`Limits(max_threads=N)` with every worker blocked: who waits is served when one is free, and
stopping waits for nobody."""

from __future__ import annotations

import contextlib
import signal
import threading

import pytest

from fastsocketserver import _workers
from support.clients import connect, read_exactly, read_to_end
from support.idle import wait_until_asleep
from support.serving import Background, Loop, wait_for
from support.waiting import wait_until

HOUR_S = 3600
MOST = 2


class Blocking:
    """A handler that answers its thread's name, then blocks until it is let go."""

    def __init__(self):
        self.entered = threading.Semaphore(0)
        self.leave = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.inside = self.most_inside = 0

    def __call__(self, request, client_address, server):
        with self.lock:
            self.inside += 1
            self.most_inside = max(self.inside, self.most_inside)
        self.entered.release()
        assert self.leave.acquire(timeout=20), "never let go"
        with self.lock:
            self.inside -= 1
        request.sendall(b"ok")

    def wait_for_requests(self, count):
        for _ in range(count):
            assert self.entered.acquire(timeout=20), "no request came"

    def let_go(self, count):
        self.leave.release(count)


@pytest.fixture
def limited(server_of, fast):
    """Make a server of `MOST` threads; its handlers are let go at the end."""
    made = []

    def make(**namespace):
        handler = Blocking()
        limits = fast.Limits(max_threads=MOST)
        server = server_of(handler=handler, limits=limits, **namespace)
        made.append(handler)
        return server, handler

    yield make
    for handler in made:
        handler.let_go(1000)


@contextlib.contextmanager
def clients_of(server, count):
    """So many connections."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connect(server)) for _ in range(count)]


@contextlib.contextmanager
def waiting_clients(server, handler, extra=3):
    """`MOST` clients that are being served, and some more that wait. Give all of them."""
    with clients_of(server, MOST) as served:
        handler.wait_for_requests(MOST)
        with clients_of(server, extra) as waiting:
            yield served, waiting


def is_served(client):
    return read_exactly(client, 2) == b"ok" and read_to_end(client) == b""


# -- serve_forever --------------------------------------------------------------------


def test_worker_becoming_free_serves_the_next_without_a_tick(limited):
    """The loop sleeps, muted, and wakes up for the worker."""
    server, handler = limited()
    loop = Loop(server, HOUR_S)
    with waiting_clients(server, handler, 6) as (served, waiting):
        wait_until_asleep(loop.thread)
        for _ in range(6):
            handler.let_go(1)
            handler.wait_for_requests(1)
        handler.let_go(MOST)
        assert all(is_served(client) for client in served + waiting)
    loop.stop()
    assert handler.most_inside == MOST


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_worker_that_dies_makes_room_for_the_next(limited):
    """Its exception ends its thread; the place is free."""
    server, handler = limited(
        process_request_thread=lambda self, request, address: die(self, request, handler)
    )

    def die(server, request, handler):
        handler.entered.release()
        assert handler.leave.acquire(timeout=20)
        server.shutdown_request(request)
        raise SystemError("dead")

    loop = Loop(server, HOUR_S)
    with waiting_clients(server, handler) as (served, waiting):
        wait_until_asleep(loop.thread)
        for _ in waiting:
            handler.let_go(1)
            handler.wait_for_requests(1)
        handler.let_go(MOST)
        assert [read_to_end(client) for client in served + waiting] == [b""] * 5
    loop.stop()


@pytest.mark.parametrize("daemon", [False, True])
def test_shutdown_while_saturated_is_at_once(limited, daemon):
    """It waits for no worker; who waits in the backlog is served by the next loop."""
    server, handler = limited(daemon_threads=daemon)
    with contextlib.ExitStack() as stack:
        loop = Loop(server, HOUR_S)
        served, waiting = stack.enter_context(waiting_clients(server, handler))
        wait_until_asleep(loop.thread)
        loop.stop()
        assert handler.inside == MOST
        loop = Loop(server, HOUR_S)
        wait_until_asleep(loop.thread)
        handler.let_go(5)
        assert all(is_served(client) for client in served + waiting)
        loop.stop()


def test_server_close_while_saturated_ends_the_loop_and_waits_for_the_workers(limited):
    """Without a shutdown(); who waited in the backlog is reset."""
    server, handler = limited()
    loop = Loop(server, HOUR_S)
    with waiting_clients(server, handler) as (served, waiting):
        wait_until_asleep(loop.thread)
        closing = Background(server.server_close)
        loop.join()
        assert closing.thread.is_alive()
        handler.let_go(MOST)
        closing.join()
        assert all(is_served(client) for client in served)
        for client in waiting:
            with pytest.raises(ConnectionResetError):
                client.recv(1)


def test_server_close_while_saturated_waits_for_no_daemon(limited):
    """Threads that nobody waits for."""
    server, handler = limited(daemon_threads=True)
    loop = Loop(server, HOUR_S)
    with waiting_clients(server, handler) as (served, _):
        wait_until_asleep(loop.thread)
        server.server_close()
        loop.join()
        handler.let_go(MOST)
        assert all(is_served(client) for client in served)


def interrupting(handler):
    """In another thread: SIGINT for the main thread, once it sleeps with all workers busy."""
    handler.wait_for_requests(MOST)
    wait_until_asleep(threading.main_thread())
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def test_keyboard_interrupt_while_saturated_leaves_serve_forever(limited):
    """The main thread sleeps without looking at the listener."""
    server, handler = limited()
    with clients_of(server, MOST + 1) as clients:
        sending = Background(interrupting, handler)
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever(HOUR_S)
        sending.join()
        handler.let_go(MOST + 1)
        loop = Loop(server, HOUR_S)
        assert all(is_served(client) for client in clients)
        loop.stop()


def test_limit_raised_while_saturated_serves_who_waits_at_the_next_wake_up(limited, fast):
    """`limits` is read at each request; a worker becoming free is a wake-up."""
    server, handler = limited()
    loop = Loop(server, HOUR_S)
    with waiting_clients(server, handler) as (served, waiting):
        wait_until_asleep(loop.thread)
        server.limits = fast.Limits(max_threads=50)
        handler.let_go(1)
        handler.wait_for_requests(len(waiting))
        handler.let_go(10)
        assert all(is_served(client) for client in served + waiting)
    loop.stop()


@pytest.mark.parametrize("hook", ["process_request", "get_request", "verify_request"])
def test_hook_calling_super_keeps_the_limit(limited, fast, hook):
    """A request that is taken by a method of a subclass is counted all the same."""

    def override(self, *args):
        return getattr(fast.ThreadingTCPServer, hook)(self, *args)

    server, handler = limited(**{hook: override})
    loop = Loop(server, HOUR_S)
    with waiting_clients(server, handler) as (served, waiting):
        wait_until_asleep(loop.thread)
        handler.let_go(5)
        assert all(is_served(client) for client in served + waiting)
    loop.stop()
    assert handler.most_inside == MOST


def test_service_actions_goes_on_while_saturated(limited):
    """An override has its ticks."""
    ticked = threading.Event()
    server, handler = limited(service_actions=lambda self: ticked.set())
    loop = Loop(server, 0.01)
    with waiting_clients(server, handler):
        for _ in range(3):
            ticked.clear()
            wait_for(ticked)
        loop.stop()


# -- programs' own loops --------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 0, 0.05])
def test_handle_request_in_an_own_loop_keeps_the_limit_and_serves_all(limited, timeout):
    """It blocks in `process_request()` until a worker is free."""
    server, handler = limited(timeout=timeout)
    over = threading.Event()

    def serve():
        while not over.is_set():
            server.handle_request()

    serving = Background(serve)
    with waiting_clients(server, handler, 6) as (served, waiting):
        wait_until_asleep(serving.thread)
        for _ in waiting:
            handler.let_go(1)
            handler.wait_for_requests(1)
        handler.let_go(MOST)
        assert all(is_served(client) for client in served + waiting)
        over.set()
        with connect(server) as last:
            handler.let_go(1)
            serving.join()
            del last
    assert handler.most_inside == MOST


@pytest.mark.parametrize("count", [1, 3])
def test_noblock_in_own_loops_keeps_the_limit_and_serves_all(limited, count):
    """`select()` and `_handle_request_noblock()`, on one thread or on several."""
    import select

    server, handler = limited()
    over = threading.Event()
    # Several threads may see the same connection: without a timeout all but one would block.
    server.socket.settimeout(0.01)

    def serve():
        while not over.is_set():
            if select.select([server], [], [], 0.02)[0]:
                server._handle_request_noblock()

    serving = [Background(serve) for _ in range(count)]
    with waiting_clients(server, handler, 6) as (served, waiting):
        for _ in waiting:
            handler.let_go(1)
            handler.wait_for_requests(1)
        handler.let_go(MOST)
        assert all(is_served(client) for client in served + waiting)
        over.set()
        for each in serving:
            each.join()
    assert handler.most_inside == MOST


def test_threads_that_make_a_worker_at_once_keep_to_the_limit(server_of, fast, monkeypatch):
    """Two in handle_request(), each about to make the only worker that is allowed."""
    together = threading.Barrier(2)

    class Slow(_workers.Worker):
        def __init__(self, *args):
            super().__init__(*args)
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait(0.2)

    monkeypatch.setattr(_workers, "Worker", Slow)
    handler = Blocking()
    server = server_of(handler=handler, limits=fast.Limits(max_threads=1))
    with clients_of(server, 2):
        serving = [Background(server.handle_request) for _ in range(2)]
        handler.wait_for_requests(1)
        assert not handler.entered.acquire(timeout=0.5)
        handler.let_go(2)
        handler.wait_for_requests(1)
        for each in serving:
            each.join()


def test_handle_request_that_waits_for_a_worker_goes_on_when_the_server_is_closed(limited):
    """Nobody else would wake it; its request is served."""
    server, handler = limited(daemon_threads=True)
    with clients_of(server, MOST + 1) as clients:
        for _ in range(MOST):
            server.handle_request()
        handler.wait_for_requests(MOST)
        waiting = Background(server.handle_request)
        wait_until_asleep(waiting.thread)
        server.server_close()
        waiting.join()
        handler.let_go(MOST + 1)
        assert all(is_served(client) for client in clients)


def serve_all(server, call, clients):
    for _ in clients:
        getattr(server, call)()


@pytest.mark.parametrize("call", ["handle_request", "_handle_request_noblock"])
def test_keyboard_interrupt_while_saturated_leaves_own_loops(limited, call):
    """The main thread waits for a worker, with a request in hand: that is closed."""
    server, handler = limited()
    with clients_of(server, MOST + 1) as clients:
        sending = Background(interrupting, handler)
        with pytest.raises(KeyboardInterrupt):
            serve_all(server, call, clients)
        sending.join()
        assert read_to_end(clients[MOST]) == b""
        handler.let_go(MOST)
        assert all(is_served(client) for client in clients[:MOST])
    # The thread that gave up takes nobody else's place.
    with clients_of(server, MOST) as clients:
        for _ in clients:
            getattr(server, call)()
        handler.wait_for_requests(MOST)
        handler.let_go(MOST)
        assert all(is_served(client) for client in clients)


def test_handle_request_while_saturated_is_served_when_the_server_closes(limited):
    """server_close() waits for the workers; the request in hand is served, not lost."""
    server, handler = limited()
    with clients_of(server, MOST + 1) as clients:
        for _ in range(MOST):
            server.handle_request()
        handler.wait_for_requests(MOST)
        blocked = Background(server.handle_request)
        wait_until_asleep(blocked.thread)
        closing = Background(server.server_close)
        wait_until(lambda: server.socket.fileno() < 0)
        handler.let_go(MOST + 1)
        blocked.join()
        closing.join()
        assert all(is_served(client) for client in clients)


@pytest.mark.parametrize("daemon", [False, True])
def test_handle_request_of_several_threads_while_saturated_serves_all(limited, daemon):
    """Each waits for a worker of its own."""
    server, handler = limited(daemon_threads=daemon)
    with clients_of(server, 8) as clients:
        serving = [Background(server.handle_request) for _ in clients]
        handler.wait_for_requests(MOST)
        for _ in range(8 - MOST):
            handler.let_go(1)
            handler.wait_for_requests(1)
        for each in serving:
            each.join()
        handler.let_go(MOST)
        assert all(is_served(client) for client in clients)
    assert handler.most_inside == MOST
