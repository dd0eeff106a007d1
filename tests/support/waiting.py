"""Wait for a state that no event announces."""

from __future__ import annotations

import time
from collections.abc import Callable

from support.clients import DEADLINE_S


def wait_until(condition: Callable[[], object]) -> None:
    """Return as soon as the condition holds; fail when it does not within the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{condition!r} never held"
        time.sleep(0.002)
