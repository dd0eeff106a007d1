"""ThreadingMixIn: each request on a worker thread."""

from __future__ import annotations

import _socket
import socketserver
import sys
import weakref

from fastsocketserver._loop import report_unstarted
from fastsocketserver._pool import Pool, append, reap
from fastsocketserver._state import state_if_any, state_of
from fastsocketserver._workers import (
    MAX_THREADS,
    THREAD_IDLE_TIMEOUT_S,
    end_pool,
    is_exiting,
    new_pool,
)

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

_NoThreads = socketserver._NoThreads  # type: ignore[attr-defined]


class _Threads(socketserver._Threads):  # type: ignore[name-defined,misc]
    """The threads that `server_close()` has to wait for.

    Source: `socketserver._Threads`.
    """

    # As there, in compiled code: append() is called at each request.
    append = append
    reap = reap


class ThreadingMixIn(socketserver.ThreadingMixIn):
    """Serve each request on a thread of its own: an idle worker, or a new one.

    Attributes, on the class or the instance, read at each request:
        daemon_threads: the interpreter may exit while requests are being served.
        block_on_close: `server_close()` waits for the requests being served, unless their
            threads are daemons.
        limits: a `Limits`; how long workers stay idle, and how many there may be.

    Hook, beside those of the server that it is mixed with:
        process_request_thread(request, client_address): serve one request, on the worker
            thread: `finish_request()`, for an Exception `handle_error()`, and in any case
            `shutdown_request()`. What an override raises ends the worker thread, by way of
            `threading.excepthook`.

    Source: `socketserver.ThreadingMixIn`.
    """

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the request to a worker thread, in a fresh `contextvars` context.

        Returns at once, unless `limits.max_threads` are busy; `serve_forever()` does not
        take a request while they are.

        Raises:
            RuntimeError: no thread can be started; the loop reports it and goes on.
        Threads: any.
        Source: `socketserver.ThreadingMixIn.process_request`.
        """
        if self.block_on_close:
            vars(self).setdefault("_threads", _Threads())
        pool = _pool_of(self)
        threads = self._threads  # type: ignore[attr-defined]
        try:
            pool.submit(self.process_request_thread, request, client_address, threads)
        except BaseException:
            # A signal handler may raise here although it was submitted; who called us closes
            # the request.
            pool.withdraw(request)
            raise

    def server_close(self) -> None:
        """Close the server, wait for the requests that `block_on_close` is about, and end
        idle workers.

        The wait has no limit: it is as long as the longest of those requests.

        Raises:
            RuntimeError: "cannot join current thread", when called while serving one of
                those requests, on its worker thread. The server is closed all the same.
            BaseException: what `handle_error()` raises for a request that no thread can be
                started for.
        Threads: any but such a worker. May be called twice.
        Source: `socketserver.ThreadingMixIn.server_close`.
        """
        try:
            start_held(self)
        finally:
            try:
                super().server_close()  # the standard twin's waits for the workers
            finally:
                end_workers(self)


def start_held(server: Any) -> None:
    """Have workers started for requests that the loop holds back.

    Before somebody waits for those that run, which may wait for one of these.
    """
    state = state_if_any(server)
    if state is not None and state.pool is not None:
        report_unstarted(server, state.pool.start_all())


def end_workers(server: Any) -> None:
    """Wait for the requests of a closed server, and end its idle workers.

    What an exception keeps it from, the next call does.
    """
    state = state_if_any(server)
    if state is None or state.pool is None:
        return
    pool = state.pool
    pool.close()
    try:
        # Another thread's loop may have held requests back until the listener was closed.
        report_unstarted(server, pool.start_all())
        if isinstance(server._threads, _Threads):  # one of the program's is joined once
            server._threads.join()
    finally:
        end_pool(pool)
    if state.pool is pool:
        state.pool = None


def _thread_limits(server: Any) -> tuple[float, int | None]:
    """The idle time-out in seconds and the most threads, from `server.limits`."""
    limits = getattr(server, "limits", None)
    if limits is not None:
        # Importing it (dataclasses: 10 ms, and files) is for who makes a Limits.
        module = sys.modules.get("fastsocketserver._limits")
        if module is not None and isinstance(limits, module.Limits):
            return limits.thread_idle_timeout, limits.max_threads
    return THREAD_IDLE_TIMEOUT_S, MAX_THREADS


def _pool_of(server: Any) -> Pool:
    """The present pool, with the present settings; made by the first request, so that
    nothing is there before."""
    state = state_of(server)
    daemon = bool(server.daemon_threads)
    idle_timeout_s, max_threads = _thread_limits(server)
    if is_exiting() or _is_closed(server):
        idle_timeout_s = 0.0  # nobody comes to end an idle worker
    pool = state.pool
    if pool is not None and not pool.closed:
        pool.configure(daemon, idle_timeout_s, max_threads)
        return pool
    fresh = _new_pool(server, state.loops, daemon, idle_timeout_s, max_threads)
    if state.pool is pool:  # else another thread was quicker; no Python code in between
        state.pool = fresh
        if pool is not None:
            report_unstarted(server, pool.start_all())
            pool.end_workers()
    return state.pool or fresh


def _new_pool(
    server: Any, loops: list[Any], daemon: bool, idle_timeout_s: float, max_threads: int | None
) -> Pool:
    """A pool that does not keep the server alive, and ends with it."""

    def present_max_threads() -> int | None:
        present = reference()
        return None if present is None else _thread_limits(present)[1]

    def end(_: Any) -> None:
        pool = pool_reference()
        if pool is not None:
            pool.close()
            pool.end_workers()

    reference = weakref.ref(server, end)
    pool = new_pool(loops, daemon, idle_timeout_s, max_threads, present_max_threads)
    pool_reference = weakref.ref(pool)
    return pool


def _is_closed(server: Any) -> bool:
    listener = getattr(server, "socket", None)
    # Not `socket.socket`: a program may have put anything in its place.
    return isinstance(listener, _socket.socket) and listener.fileno() < 0
