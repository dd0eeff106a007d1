"""Settings that the standard module does not have, in one object that cannot collide."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from fastsocketserver._workers import MAX_THREADS, THREAD_IDLE_TIMEOUT_S


@dataclass(frozen=True)
class Limits:
    """Bounds on what a server may use; give a server class `limits = Limits(...)`.

    An attribute `limits` of any other type is not ours: it is left alone, and the server has
    the values below.

    Args:
        thread_idle_timeout: seconds (0 or more) that an idle worker thread of
            `ThreadingMixIn` waits for its next request before it ends. 0 gives each
            request a new thread, as the standard module does. Idle workers also end when
            `serve_forever()` does, and all but 16 after a second in which nobody needed them.
        max_threads: most worker threads of one server at once (1 or more), None for any
            number. While all are busy, `serve_forever()` accepts no connection; they wait
            in the backlog.

    Raises:
        TypeError, ValueError: naming the field and the value.
    """

    thread_idle_timeout: float = THREAD_IDLE_TIMEOUT_S
    max_threads: int | None = MAX_THREADS

    def __post_init__(self) -> None:
        seconds = self.thread_idle_timeout
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise TypeError(f"thread_idle_timeout must be a number of seconds, not {seconds!r}")
        if not 0 <= seconds <= threading.TIMEOUT_MAX:  # neither is NaN
            raise ValueError(f"thread_idle_timeout must be finite and >= 0, not {seconds!r}")
        count = self.max_threads
        if count is None:
            return
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"max_threads must be a number of threads or None, not {count!r}")
        if count < 1:
            raise ValueError(f"max_threads must be >= 1, not {count!r}")
