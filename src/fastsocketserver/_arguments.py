"""Arguments of the loop, with the standard module's exceptions for what makes no sense."""

from __future__ import annotations

import math

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

_INT_MAX = 2**31 - 1  # the longest wait that poll(2) takes, in ms


def descriptor_of(server: Any) -> int:
    """The descriptor to wait for, `server.fileno()`.

    Raises: ValueError, with the words of `selectors.PollSelector.register`.
    """
    try:
        fd = int(server.fileno())
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"Invalid file object: {server!r}") from None
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd


def wait_ms_of(seconds: float | None) -> int:
    """Milliseconds for poll(2), rounded up; -1 (None) waits for ever, 0 (or less) not at all.

    Raises: TypeError, ValueError, OverflowError, as `selectors.PollSelector.select`.
    """
    if seconds is None:
        return -1
    if seconds <= 0:
        return 0
    wait_ms = math.ceil(seconds * 1e3)
    if wait_ms > _INT_MAX:
        raise OverflowError("timeout is too large")
    return wait_ms
