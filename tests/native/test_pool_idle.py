"""Idle workers: none is handed a request too late, none stays when nobody needs it."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from fastsocketserver import _threading, _workers
from fastsocketserver._state import state_of
from support.clients import connect, exchange, read_to_end
from support.handlers import Gate
from support.serving import Background, serving, wait_for
from support.waiting import wait_until


class Counter:
    """Counts calls from many threads; list.append is one step."""

    def __init__(self):
        self.calls = []

    def __call__(self, request, client_address):
        self.calls.append(request)


@pytest.mark.parametrize("idle_timeout_s", [1e-6, 1e-5, 1e-4, 1e-3])
def test_idle_timeout_racing_a_hand_over_loses_no_request(idle_timeout_s):
    """Requests come about when the worker gives up waiting."""
    served = Counter()
    pool = _workers.new_pool([], False, idle_timeout_s, None)
    count = 2000
    for number in range(count):
        pool.submit(served, number, None, [])
        until = time.perf_counter() + idle_timeout_s * (number % 20) / 10
        while time.perf_counter() < until:
            pass
    wait_until(lambda: len(served.calls) == count)
    assert sorted(served.calls) == list(range(count))
    wait_until(lambda: pool.size == 0)


def test_idle_timeout_racing_close_leaves_no_worker():
    """close() takes seats off whose workers are about to give up."""
    for number in range(300):
        served = Counter()
        pool = _workers.new_pool([], False, 1e-4 * (number % 10) / 5, None)
        for _ in range(3):
            pool.submit(served, number, None, [])
        wait_until(lambda served=served: len(served.calls) == 3)
        pool.close()
        _workers.end_pool(pool)
        wait_until(lambda pool=pool: pool.size == 0)


def test_idle_timeout_racing_requests_of_many_clients_loses_none(server_of, fast):
    """The whole way, with several clients."""
    server = server_of(limits=fast.Limits(thread_idle_timeout=0.0005))

    def talk():
        for number in range(400):
            assert exchange(server) == b"ok"
            if number % 7 == 0:
                time.sleep(0.0005)

    with serving(server):
        for client in [Background(talk) for _ in range(4)]:
            client.join()


def test_idle_workers_end_by_themselves_while_the_server_goes_on(server_of, fast):
    """All of them, and it starts new ones when requests come."""
    together = threading.Barrier(20, timeout=10)
    server = server_of(
        handler=lambda *_: together.wait(), limits=fast.Limits(thread_idle_timeout=0.01)
    )
    with serving(server):
        for _ in range(3):
            for client in [Background(exchange, server) for _ in range(20)]:
                client.join()
            wait_until(lambda: not _workers._live)


def test_idle_workers_have_ended_when_server_close_returns(server_of, fast):
    """Told to, and joined."""
    together = threading.Barrier(20, timeout=10)
    server = server_of(
        handler=lambda *_: together.wait(), limits=fast.Limits(thread_idle_timeout=3600)
    )
    with serving(server):
        for client in [Background(exchange, server) for _ in range(20)]:
            client.join()
        wait_until(lambda: state_of(server).pool.idle_count == 20)
    server.server_close()
    assert not [t for t in threading.enumerate() if isinstance(t, _workers.Worker)]


def test_idle_workers_end_when_serving_ends_without_server_close(server_of, fast):
    """Programs override server_close() without the base, or never call it."""
    together = threading.Barrier(20, timeout=10)
    server = server_of(
        handler=lambda *_: together.wait(), limits=fast.Limits(thread_idle_timeout=3600)
    )
    for _ in range(2):  # and the next serving starts workers again
        with serving(server):
            for client in [Background(exchange, server) for _ in range(20)]:
                client.join()
        wait_until(lambda: not _workers._live)


def test_busy_worker_ends_after_its_request_when_serving_has_ended(server_of, fast):
    """It does not become idle for nobody."""
    gate = Gate()
    server = server_of(handler=gate, limits=fast.Limits(thread_idle_timeout=3600))
    with connect(server) as client:
        with serving(server):
            wait_for(gate.entered)
        gate.opened.set()
        assert read_to_end(client) == b"inout"
        wait_until(lambda: not _workers._live)


def test_workers_stay_while_another_thread_serves_the_same_server(server_of, fast):
    """The end of one serve_forever() is not the end of serving."""

    class Stop(Exception):
        pass

    def service_actions(server):
        if threading.current_thread().name == "leaves":
            raise Stop

    def serve_and_leave():
        threading.current_thread().name = "leaves"
        server.serve_forever(0.01)

    threads = []
    server = server_of(
        handler=lambda *_: threads.append(threading.get_ident()),
        limits=fast.Limits(thread_idle_timeout=3600),
        service_actions=service_actions,
    )
    with serving(server):
        exchange(server)
        wait_until(lambda: state_of(server).pool.idle_count == 1)
        assert isinstance(Background(serve_and_leave).failure(), Stop)
        exchange(server)
        assert threads[1] == threads[0]


def test_busy_worker_ends_after_its_request_when_the_server_was_closed(server_of, fast):
    """block_on_close = False: it is not waited for, and does not become idle."""
    gate = Gate()
    server = server_of(
        handler=gate, block_on_close=False, limits=fast.Limits(thread_idle_timeout=3600)
    )
    with connect(server) as client:
        with serving(server):
            wait_for(gate.entered)
        server.server_close()
        gate.opened.set()
        assert read_to_end(client) == b"inout"
        wait_until(lambda: not _workers._live)


def test_server_dropped_without_close_is_collected_and_its_workers_end(server_of, fast):
    """Idle workers do not keep it alive, nor for ever themselves."""

    class Server(fast.ThreadingTCPServer):
        limits = fast.Limits(thread_idle_timeout=0.2)

    server = Server(("127.0.0.1", 0), lambda *_: None)
    with serving(server):
        exchange(server)
    server.socket.close()
    dropped = weakref.ref(server)
    del server
    gc.collect()
    wait_until(lambda: gc.collect() is None or dropped() is None)
    wait_until(lambda: not _workers._live)


def test_thread_idle_timeout_of_zero_never_reuses_a_worker(server_of, fast):
    """Threads are as fresh as the standard module's."""
    threads = []
    server = server_of(
        handler=lambda *_: threads.append(threading.current_thread()),
        limits=fast.Limits(thread_idle_timeout=0),
    )
    with serving(server):
        for _ in range(100):
            exchange(server)
    server.server_close()
    assert len(set(threads)) == 100
    assert not _workers._live


def test_first_requests_of_several_threads_share_one_pool(server_of, fast, monkeypatch):
    """Several threads in handle_request(): neither makes a pool that nobody closes."""
    count = 4
    together = threading.Barrier(count)
    new_pool = _threading.new_pool

    def new_pool_together(*args):
        try:
            together.wait(0.5)  # where a lock lets one in only, the others never come
        except threading.BrokenBarrierError:
            pass
        return new_pool(*args)

    monkeypatch.setattr(_threading, "new_pool", new_pool_together)
    server = server_of(limits=fast.Limits(thread_idle_timeout=3600))
    loops = [Background(server.handle_request) for _ in range(count)]
    for client in [Background(exchange, server) for _ in range(count)]:
        assert client.join() == b"ok"
    for loop in loops:
        loop.join()
    server.server_close()
    try:
        wait_until(lambda: not _workers._live)
    finally:
        for pool in list(_workers._pools):
            pool.close()


def test_worker_that_has_ended_can_be_joined_and_asked(server_of, fast):
    """Whoever kept it: is_alive() is False, join() returns."""
    threads = []
    server = server_of(
        handler=lambda *_: threads.append(threading.current_thread()),
        limits=fast.Limits(thread_idle_timeout=0.01),
    )
    with serving(server):
        exchange(server)
        wait_until(lambda: not _workers._live)
    (worker,) = threads
    assert not worker.is_alive()
    worker.join()
