"""Worker threads: real `threading.Thread`s that outlive a request.

The life of a worker: `start()` returns without waiting for the thread (the serving thread
never waits); `run()` serves requests as its pool tells it; between two requests it is
idle, and to `join()` and `is_alive()` it then looks ended, as the standard module's
one-request thread would be.

State that several threads touch: `_live`, under the GIL (single set operations).
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable

from fastsocketserver._pool import Pool, Seat

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

# What `Limits` says for servers that say nothing. A worker that waits ten seconds for its
# next request saves a thread start wherever requests come more often than that.
THREAD_IDLE_TIMEOUT_S = 10.0
MAX_THREADS: int | None = None

_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
_live: set[Worker] = set()
# The interpreter is about to join its threads: from now on none may idle.
_exiting = False


class _StartedEvent(threading.Event):
    """`Thread.start()` waits on this event last; that wait is what we leave out."""

    def wait(self, timeout: float | None = None) -> bool:
        return True

    wait_really = threading.Event.wait


class Worker(threading.Thread):
    """One thread of a pool."""

    def __init__(self, pool: Pool, target: Callable[..., Any], daemon: bool) -> None:
        """
        Args:
            pool: whose requests to serve.
            target: gives the thread its name, as the standard module's threads have it.
            daemon: whether the interpreter may exit without waiting for the request.
        """
        super().__init__(target=target, daemon=daemon)
        self._target = None  # keeps the server alive otherwise
        self._started = _StartedEvent()
        self.pool = pool
        self.seat = Seat(self)

    def start(self) -> None:
        """Start the thread without waiting for it to run."""
        _live.add(self)
        try:
            super().start()
        except BaseException:
            _live.discard(self)
            raise

    def run(self) -> None:
        """Serve requests until the pool says that it is enough."""
        try:
            self.pool.work(self.seat)
        finally:
            _live.discard(self)

    def is_alive(self) -> bool:
        """Whether a request is being served."""
        return self.seat.busy or self is threading.current_thread()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the present request is done.

        Args:
            timeout: seconds, None for ever.
        Raises:
            RuntimeError: called on the worker's own thread.
        """
        if self is threading.current_thread():
            raise RuntimeError("cannot join current thread")
        finished = self.seat.finishing()
        if finished is not None:
            finished.wait(timeout)

    def join_really(self) -> None:
        """Wait until the thread has ended."""
        self._started.wait_really()
        threading.Thread.join(self)
        while threading.Thread.is_alive(self):  # 3.12: a signal may cut the join short
            time.sleep(0.001)


def new_pool(
    daemon: bool, idle_timeout_s: float, max_threads: int | None, loops: list[Any]
) -> Pool:
    """A pool whose workers are daemon threads or not; for the rest see `Limits`."""

    def new_worker(pool: Pool, target: Callable[..., Any]) -> Worker:
        return Worker(pool, target, daemon)

    pool = Pool(new_worker, loops, (daemon, idle_timeout_s, max_threads))
    _pools.add(pool)
    return pool


def is_exiting() -> bool:
    """Whether the interpreter waits for its threads: none may idle any more."""
    return _exiting


def close_pool(pool: Pool) -> None:
    """End the idle workers of `pool`, and wait until they have ended."""
    for worker in pool.close():
        worker.join_really()


def _end_idle_workers() -> None:
    """Let the interpreter exit: it waits for threads that are no daemons."""
    global _exiting
    _exiting = True
    for worker in list(_live):
        if worker.seat.exists:
            worker._started.wait_really()  # not there yet for the interpreter's own join
    for pool in list(_pools):
        pool.close()


# Before the interpreter joins its threads; atexit functions run only after that.
getattr(threading, "_register_atexit", atexit.register)(_end_idle_workers)
