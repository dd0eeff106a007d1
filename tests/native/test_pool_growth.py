"""How many workers there are: as many as handlers that wait need, soon; few more; not for long.

No number here depends on how fast the machine is: what is asked for is far above what the
pool aims at, and far below what it had without a bound.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from fastsocketserver import _workers
from fastsocketserver._state import state_of
from native.batches import serve_one, waiting_clients
from native.processes import child_process
from support.clients import DEADLINE_S, connect, read_to_end
from support.handlers import Gate
from support.serving import Loop, serving, wait_for
from support.waiting import wait_until

# A flood had 635 to 1,058 workers before there was a bound; it has 64 now.
FEW = 150


def flood(address):
    """Send for ever, more than anybody serves."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        while True:
            client.sendto(b"x", address)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_flood_of_datagrams_from_one_peer_grows_few_workers(server_of):
    """Each handler sleeps for a millisecond; the standard module has about 10 threads."""
    served = threading.Semaphore(0)

    def handler(*_):
        time.sleep(0.001)
        served.release()

    server = server_of("ThreadingUDPServer", handler=handler)
    most = 0
    with serving(server), child_process(flood, server.server_address):
        for _ in range(5000):
            assert served.acquire(timeout=DEADLINE_S)
            most = max(most, len(_workers._live))
    assert most < FEW


@pytest.mark.parametrize("count", [200])
def test_handlers_that_wait_for_each_other_are_all_running(server_of, count):
    """Twice, since the second time the pool knows that handlers wait."""
    together = threading.Barrier(count, timeout=DEADLINE_S)
    server = server_of(handler=lambda *_: together.wait())
    serve_one(server)
    for _ in range(2):
        with waiting_clients(server, count) as clients, serving(server):
            assert [read_to_end(client) for client in clients] == [b""] * count


def test_handlers_that_block_for_ever_hold_up_no_other(server_of):
    """More of them than workers that are added without a look, and one that does not block."""
    gate = Gate()
    blocking = set()

    def handler(request, client_address, server):
        if client_address in blocking:
            gate(request, client_address, server)
        request.sendall(b"ok")

    server = server_of(handler=handler)
    serve_one(server)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(100)]
        blocking.update(client.getsockname() for client in clients)
        with serving(server):
            wait_until(lambda: state_of(server).pool.size >= 100)
            for _ in range(3):
                with connect(server) as quick:
                    assert read_to_end(quick) == b"ok"
            gate.opened.set()
        for client in clients:
            assert read_to_end(client) == b"inoutok"


def test_idle_workers_of_a_burst_end_long_before_their_time(server_of, fast):
    """A hundred were needed once; a few stay for the next requests."""
    together = threading.Barrier(100, timeout=DEADLINE_S)
    server = server_of(
        handler=lambda *_: together.wait(), limits=fast.Limits(thread_idle_timeout=3600)
    )
    with waiting_clients(server, 100) as clients, serving(server):
        assert [read_to_end(client) for client in clients] == [b""] * 100
        pool = state_of(server).pool
        wait_until(lambda: 0 < pool.size == pool.idle_count < 20)


def test_requests_that_wait_for_a_worker_stop_the_loop_from_taking_more(server_of, fast):
    """The kernel keeps them, as with the standard module, and nobody's memory grows."""
    gate = Gate()
    taken = []
    server = server_of(
        handler=gate,
        verify_request=lambda self, request, address: taken.append(address) or True,
        limits=fast.Limits(max_threads=1000),
    )
    serve_one(server)
    taken.clear()
    pool = state_of(server).pool
    with waiting_clients(server, 300) as clients:
        loop = Loop(server)
        wait_for(gate.entered)
        assert len(taken) <= pool.size + 2 * 128
        gate.opened.set()
        assert [read_to_end(client) for client in clients] == [b"inout"] * 300
        loop.stop()
