"""The event that tells whether a server is being served, and by whom."""

from __future__ import annotations

import threading


class ServingEvent(threading.Event):
    """A `threading.Event` that remembers which thread cleared it.

    `serve_forever()` clears it first and sets it last, also in the copies of that method
    that programs carry. So `shutdown()` can tell a server that never ran, and the serving
    thread itself, from a server that has to be waited for.

    The ident is written by the serving thread before the event is cleared and read by
    others after they have requested the stop: either they see it, or the loop sees them.
    """

    _serving_ident: int | None = None

    def clear(self) -> None:
        """Serving starts, on this thread."""
        self._serving_ident = threading.get_ident()
        super().clear()

    def set(self) -> None:
        """Serving has ended."""
        super().set()
        self._serving_ident = None

    def serving_elsewhere(self) -> bool:
        """Whether a thread other than the caller's is serving."""
        ident = self._serving_ident
        return ident is not None and ident != threading.get_ident()
