"""Hooks that wait on the serving thread for an earlier request: it must be running by then."""

from __future__ import annotations

import threading

import pytest

from native.batches import serve_one, waiting_clients
from support.clients import DEADLINE_S, read_to_end
from support.serving import serving


@pytest.mark.parametrize(
    "hook", ["_handle_request_noblock", "get_request", "verify_request", "process_request"]
)
def test_hook_that_waits_for_the_request_before_gets_it(server_of, fast, hook):
    """All of them are in the backlog; no request of such a server may be held back."""
    slots = threading.Semaphore(1)

    def handler(request, client_address, server):
        request.sendall(b"ok")
        slots.release()

    stock = getattr(fast.ThreadingTCPServer, hook)

    def wait_and_call(self, *args):
        # Without it as well: the clients get their answers, and the count tells.
        waited.append(slots.acquire(timeout=DEADLINE_S))
        return stock(self, *args)

    waited = []
    server = server_of(handler=handler)
    serve_one(server)
    setattr(type(server), hook, wait_and_call)
    with waiting_clients(server, 4) as clients, serving(server):
        assert [read_to_end(client) for client in clients] == [b"ok"] * 4
    assert all(waited)
