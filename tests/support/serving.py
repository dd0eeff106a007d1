"""`serve_forever` in a thread that is always joined, with what left it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from support.clients import DEADLINE_S

# The standard module notices shutdown() only at its next poll.
TICK_S = 0.01


class Background:
    """A function running in a thread; `join` hands back its result or its exception."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._function = function
        self._args = args
        self._result: Any = None
        self._error: BaseException | None = None
        # Daemonic: a test that failed must not hold up the end of the run.
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._result = self._function(*self._args)
        except BaseException as error:
            self._error = error

    def failure(self) -> BaseException | None:
        """Wait for the end; the exception that left the function, taken out of here."""
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive(), f"{self._function!r} did not end"
        error, self._error = self._error, None
        return error

    def join(self) -> Any:
        """Wait for the end; the function's result, or its exception raised again."""
        error = self.failure()
        if error is not None:
            raise error
        return self._result


class Loop(Background):
    """`serve_forever` of one server, running in a thread."""

    def __init__(self, server: Any, poll_interval: Any = TICK_S) -> None:
        self.server = server
        super().__init__(server.serve_forever, poll_interval)

    def stop(self) -> None:
        """`shutdown()`, wait for the loop's end, raise what left it."""
        self.server.shutdown()
        self.join()


@contextlib.contextmanager
def serving(server: Any, poll_interval: Any = TICK_S) -> Iterator[Loop]:
    """Serve in a thread; shut down and join it at the end."""
    loop = Loop(server, poll_interval)
    try:
        yield loop
    finally:
        loop.stop()


def wait_for(event: threading.Event) -> None:
    """Wait for the event, not for ever."""
    assert event.wait(DEADLINE_S), "the event was never set"
