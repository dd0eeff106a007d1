"""Which CPU serves and which one sends the load."""

from __future__ import annotations

import os

_usable = sorted(os.sched_getaffinity(0))
# The lowest CPU often takes the machine's interrupts: that one sends.
CLIENT_CPU = _usable[0]
SERVER_CPU = _usable[-1]
SHARED = CLIENT_CPU == SERVER_CPU


def pin(pid: int, cpu: int) -> None:
    """Keep a process just started, and what it starts, on one CPU."""
    os.sched_setaffinity(pid, {cpu})
