"""`limits` and `daemon_threads` changed while requests are served; the end of workers."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from fastsocketserver import _workers
from fastsocketserver._state import state_of
from native.processes import run_program
from support.clients import connect, exchange, read_to_end
from support.handlers import Gate
from support.idle import wait_until_asleep
from support.serving import Background, Loop, serving, wait_for
from support.waiting import wait_until


def test_limit_raised_while_all_workers_are_busy_counts_at_the_next_wake_up(server_of, fast):
    """No worker has to become free first."""
    gate = Gate()
    server = server_of(handler=gate, limits=fast.Limits(max_threads=1))
    loop = Loop(server, 3600)
    with connect(server) as first:
        wait_for(gate.entered)
        gate.entered.clear()
        with connect(server) as second:
            wait_until_asleep(loop.thread)
            server.limits = fast.Limits(max_threads=2)
            assert not state_of(server).pool.full()
            for running in state_of(server).loops:
                running.wake()
            wait_for(gate.entered)
            gate.opened.set()
            assert read_to_end(first) == read_to_end(second) == b"inout"
    loop.stop()


@pytest.mark.parametrize("change", ["daemon_threads", "limits"])
def test_setting_changed_while_all_workers_are_busy_starts_none_beyond_the_limit(
    server_of, fast, change
):
    """Those that are busy count, whatever they were started for."""
    gate = Gate()
    server = server_of(handler=gate, limits=fast.Limits(max_threads=2))
    with connect(server) as first, connect(server) as second, connect(server) as third:
        for _ in range(2):
            server.handle_request()
        if change == "limits":
            server.limits = fast.Limits(max_threads=2, thread_idle_timeout=5)
        else:
            server.daemon_threads = True
        waiting = Background(server.handle_request)
        wait_until_asleep(waiting.thread)
        assert len(_workers._live) == 2
        gate.opened.set()
        waiting.join()
        assert {read_to_end(client) for client in (first, second, third)} == {b"inout"}


def test_busy_worker_ends_when_another_daemon_flag_was_set_meanwhile(server_of, fast):
    """It cannot serve the next request, whose thread has to have the other."""
    gate = Gate()
    server = server_of(handler=gate, limits=fast.Limits(thread_idle_timeout=3600))
    with serving(server), connect(server) as first:
        wait_for(gate.entered)
        server.daemon_threads = True
        with connect(server) as second:
            gate.opened.set()
            assert read_to_end(first) == read_to_end(second) == b"inout"
        wait_until(lambda: [worker.daemon for worker in _workers._live] == [True])


def test_threads_of_served_requests_are_not_kept_in_the_list(server_of, fast):
    """One of each request, of which the next append takes out those that have ended."""
    limits = fast.Limits(thread_idle_timeout=0)
    references = []
    server = server_of(
        handler=lambda *_: references.append(weakref.ref(threading.current_thread())),
        limits=limits,
    )
    with serving(server):
        for _ in range(50):
            exchange(server)
        wait_until(lambda: not _workers._live)
        exchange(server)
        wait_until(lambda: not _workers._live)
        assert len(server._threads) == 1
        gc.collect()
        assert sum(reference() is not None for reference in references) <= 2


def test_busy_worker_ends_after_its_request_when_the_server_was_closed_without_a_loop(
    server_of, fast
):
    """A program's own loop on handle_request(): nothing but server_close() tells it to end."""
    gate = Gate()
    server = server_of(
        handler=gate, block_on_close=False, limits=fast.Limits(thread_idle_timeout=3600)
    )
    with connect(server) as client:
        server.handle_request()
        wait_for(gate.entered)
        server.server_close()
        gate.opened.set()
        assert read_to_end(client) == b"inout"
        wait_until(lambda: not _workers._live)


@pytest.mark.parametrize("daemon", [False, True])
def test_idle_worker_keeps_no_server_alive_and_ends_with_it(fast, daemon):
    """A server that nobody closed; it is collected while its worker is idle."""

    class Server(fast.ThreadingTCPServer):
        daemon_threads = daemon
        limits = fast.Limits(thread_idle_timeout=3600)

    server = Server(("127.0.0.1", 0), lambda *_: None)
    with connect(server) as client:
        server.handle_request()
        assert read_to_end(client) == b""
    pool = state_of(server).pool
    wait_until(lambda: pool.idle_count == 1)
    server.socket.close()
    dropped = weakref.ref(server)
    del server
    wait_until(lambda: gc.collect() is None or dropped() is None)
    wait_until(lambda: not _workers._live)


def test_exit_while_a_worker_cannot_be_started_does_not_wait_for_it():
    """A daemonic loop starts a thread when the interpreter exits, and fails."""
    program = """
    import _thread, socket, threading, time
    import fastsocketserver

    exiting, trying = threading.Event(), threading.Event()
    threading._register_atexit(exiting.set)
    name = next(
        name for name in ("_start_joinable_thread", "_start_new_thread")
        if hasattr(threading, name)
    )
    stock = getattr(threading, name)

    def start(function, *args, **kwargs):
        if isinstance(function.__self__, fastsocketserver._workers.Worker):
            trying.set()
            exiting.wait()
            time.sleep(0.2)  # the interpreter's time to go wrong; nothing else depends on it
            raise RuntimeError("can't start new thread")
        return stock(function, *args, **kwargs)

    setattr(threading, name, start)

    class Server(fastsocketserver.ThreadingTCPServer):
        def handle_error(self, request, address):
            pass

    server = Server(("127.0.0.1", 0), lambda *_: None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = socket.create_connection(server.server_address, 20)
    trying.wait()
    print("main ends", flush=True)
    """
    assert run_program(program) == ["main ends"]
