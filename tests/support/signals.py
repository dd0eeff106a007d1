"""Signal handlers that are put back."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def handling(number: int, handler: Callable[..., Any]) -> Iterator[None]:
    """A signal handler for the time of the block."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
