"""The event that tells whether a server is being served, and by whom."""

from __future__ import annotations

import threading


class ServingEvent(threading.Event):
    """A `threading.Event` that remembers which thread cleared it.

    `serve_forever()` clears it first and sets it last, also in the copies of that method
    that programs carry. So `shutdown()` can tell a server that never ran, and the serving
    thread itself, from a server that has to be waited for.

    Each serving thread adds its ident before the event is cleared; others look after they
    have requested the stop: either they see it, or the loop sees them.
    """

    def __init__(self) -> None:
        """Nobody serves."""
        super().__init__()
        self._serving_idents: set[int] = set()

    def clear(self) -> None:
        """Serving starts, on this thread."""
        self._serving_idents.add(threading.get_ident())
        super().clear()

    def set(self) -> None:
        """Serving has ended."""
        super().set()
        self._serving_idents.discard(threading.get_ident())

    def serving_elsewhere(self) -> bool:
        """Whether a thread other than the caller's is serving."""
        return bool(self._serving_idents - {threading.get_ident()})
