"""shutdown() in a forked process: it waits for threads of that process, for no other."""

from __future__ import annotations

import threading

import pytest

from fastsocketserver._state import state_of
from native.processes import ask_child
from support.clients import connected, exchange, read_to_end
from support.handlers import Gate
from support.serving import Background, Loop, serving, wait_for

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
HOUR_S = 3600


def shut_down_in_threads(server):
    """From this thread and from new ones, which may get the idents of the parent's."""
    server.shutdown()
    for _ in range(3):
        Background(server.shutdown).join()
    return sorted(state_of(server).serving_idents())


def test_shutdown_in_a_fork_does_not_wait_for_a_loop_of_the_parent(server_of):
    """Its thread does not exist there."""
    server = server_of("TCPServer")
    with serving(server, HOUR_S):
        exchange(server)
        assert state_of(server).serving_idents()
        assert ask_child(shut_down_in_threads, server) == []
        assert exchange(server) == b"ok"


def test_shutdown_in_a_fork_of_the_serving_thread_waits_for_its_loop(server_of):
    """The child goes on in the loop, on the thread that forked."""
    gate = Gate()
    events = []

    def stop_from_a_thread(server):
        def stop():
            server.shutdown()
            events.append("stopped")

        stopping = Background(stop)
        stopping.thread.join(0.1)
        return stopping

    def verify_request(self, request, client_address):
        def in_the_child():
            stopping = stop_from_a_thread(self)
            still_waiting = stopping.thread.is_alive()
            self.shutdown()  # on the serving thread: returns
            self._BaseServer__is_shut_down.set()
            stopping.join()
            return [still_waiting, threading.get_ident() in state_of(self).serving_idents()]

        events.append(ask_child(in_the_child))
        return True

    server = server_of("TCPServer", handler=gate, verify_request=verify_request)
    loop = Loop(server, HOUR_S)
    with connected(server) as client:
        wait_for(gate.entered)
        gate.opened.set()
        assert read_to_end(client) == b"inout"
    server.shutdown()
    loop.join()
    assert events == [[True, True]]
