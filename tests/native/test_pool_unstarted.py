"""Requests that are held back when their pool ends, and get no thread then."""

from __future__ import annotations

import sys

import pytest

from fastsocketserver import _workers
from native.batches import AtRequest, serve_one, waiting_clients
from support.clients import read_to_end
from support.serving import Background, Loop


def close(server):
    """As another thread does."""
    Background(server.server_close).join()


def replace_pool(server):
    """Another `daemon_threads` is for another pool."""
    at_request = type(server).__dict__["daemon_threads"]
    at_request.value = not at_request.value


def stop(server):
    server._BaseServer__shutdown_request = True


@pytest.mark.parametrize("end_pool", [close, replace_pool])
def test_batch_that_gets_no_thread_when_its_pool_ends_is_reported(
    server_of, fast, monkeypatch, end_pool
):
    """handle_error and shutdown_request for each, as `process_request` raising has it."""
    reported, shut = [], []

    def handle_error(self, request, client_address):
        reported.append((sys.exc_info()[0], client_address, request.fileno() >= 0))

    def shutdown_request(self, request):
        shut.append(request)
        request.close()

    def start(self):
        raise RuntimeError("can't start new thread")

    at_request = AtRequest({4: end_pool, 5: stop})
    server = server_of(
        daemon_threads=at_request,
        handle_error=handle_error,
        shutdown_request=shutdown_request,
        limits=fast.Limits(thread_idle_timeout=3600),
    )
    serve_one(server)
    # No idle worker is left to take them, but the pool is there.
    for worker in list(_workers._live):
        worker.join_really()
    shut.clear()
    monkeypatch.setattr(_workers.Worker, "start", start)
    with waiting_clients(server, 5) as clients:
        addresses = [client.getsockname() for client in clients]
        at_request.arm()
        loop = Loop(server)
        # After server_close() the loop ends by itself, before the fifth.
        loop.join()
        expected = addresses[:4] if end_pool is close else addresses
        assert sorted(reported) == sorted((RuntimeError, each, True) for each in expected)
        assert len(shut) == len(set(shut)) == len(expected)
        server.server_close()
        assert [read_to_end(client) for client in clients[:4]] == [b""] * 4
