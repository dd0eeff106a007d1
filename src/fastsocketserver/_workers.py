"""Worker threads, and the threads that programs see in their place.

A `Worker` is the real thread; it outlives a request. A `RequestThread` is what a program
finds: one for each request, with its own name, its own attributes, and an end that can be
waited for. `Worker.start()` returns without waiting for the thread, since the serving thread
never waits.

State that several threads touch: `_live`, under the GIL (single set operations).
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable

from fastsocketserver._pool import BaseRequestThread, BaseWorker, Pool
from fastsocketserver._pool import live_workers as _live

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

# What `Limits` says for servers that say nothing. A worker that waits ten seconds for its
# next request saves a thread start wherever requests come more often than that.
THREAD_IDLE_TIMEOUT_S = 10.0
MAX_THREADS: int | None = None

_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
# The interpreter is about to join its threads: from now on none may idle.
_exiting = False


class _StartedEvent(threading.Event):
    """`Thread.start()` waits on this event last; that wait is what we leave out."""

    def wait(self, timeout: float | None = None) -> bool:
        return True

    wait_really = threading.Event.wait


class Worker(BaseWorker, threading.Thread):
    """One thread of a pool. `run()` is compiled."""

    def __init__(self, daemon: bool) -> None:
        """Args: daemon: whether the interpreter may exit without waiting for its request."""
        # A name, since drawing one would leave a gap in those of the requests.
        threading.Thread.__init__(self, name="fastsocketserver worker", daemon=daemon)
        self._started = _StartedEvent()
        # A fork marks those in there as ended. In a child that a handler forked this thread
        # goes on, and the request's thread speaks for it.
        threading._dangling.discard(self)  # type: ignore[attr-defined]

    def join_really(self) -> None:
        """Wait until the thread has ended."""
        self._started.wait_really()
        self.join()
        while self.is_alive():  # 3.12: a signal may cut the join short
            time.sleep(0.001)


class RequestThread(BaseRequestThread, threading.Thread):
    """The thread of one request, from `process_request()` until the request is done.

    What it does not know itself (identifiers, locks) is its worker's.
    """

    _initialized = True


def new_pool(
    loops: list[Any],
    daemon: bool,
    idle_timeout_s: float,
    max_threads: int | None,
    present_max_threads: Callable[[], int | None] | None = None,
) -> Pool:
    """A pool of the given settings, see `Pool.configure()`.

    Args:
        loops: the running loops to wake when a worker becomes free.
        present_max_threads: tells `max_threads` anew while the pool is full.
    """

    def new_worker(daemon: bool) -> Worker:
        return Worker(daemon)

    pool = Pool(new_worker, RequestThread, loops, present_max_threads or (lambda: max_threads))
    pool.configure(daemon, idle_timeout_s, max_threads)
    _pools.add(pool)
    return pool


def is_exiting() -> bool:
    """Whether the interpreter waits for its threads: none may idle any more."""
    return _exiting


def end_pool(pool: Pool) -> None:
    """End the idle workers of `pool`, and wait until they have ended."""
    for worker in pool.end_workers():
        worker.join_really()


def _end_idle_workers() -> None:
    """Let the interpreter exit: it waits for threads that are no daemons."""
    global _exiting
    _exiting = True
    for pool in list(_pools):
        pool.close()  # nothing is held back any more
        pool.rest()
        while pool.starting:
            time.sleep(0.001)
    for worker in list(_live):
        # Not begun yet: until 3.12 the interpreter's own join knows nothing of it. One that
        # could not be started, or was interrupted, is taken out by who tried.
        while worker in _live and worker.exists and not worker._started.is_set():
            time.sleep(0.001)


# Before the interpreter joins its threads; atexit functions run only after that.
getattr(threading, "_register_atexit", atexit.register)(_end_idle_workers)
