"""Snapshots of what a process holds, to show that a test gave all of it back.

Descriptors are compared with what they point to, so that one closed and opened
again under the same number is noticed; threads by identity, since pooled ones
share names; children by process id.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

# A worker or a child that was told to end needs a moment to be gone.
GRACE_S = 5.0


@dataclass(frozen=True)
class Snapshot:
    """What the process held at one moment."""

    descriptors: frozenset[tuple[int, str]]
    threads: frozenset[threading.Thread]
    children: frozenset[int]


def open_descriptors() -> frozenset[tuple[int, str]]:
    """Each open descriptor with what it points to."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        # The descriptor of the listing itself is gone by now.
        with contextlib.suppress(FileNotFoundError):
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
    return frozenset(found)


def living_children() -> frozenset[int]:
    """Process ids of all children, exited ones that nobody waited for included."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.update(map(int, (task / "children").read_text().split()))
    return frozenset(found)


def take_snapshot() -> Snapshot:
    """What the process holds now."""
    return Snapshot(open_descriptors(), frozenset(threading.enumerate()), living_children())


def additions(before: Snapshot, after: Snapshot) -> list[str]:
    """A line for each thing that `after` holds and `before` does not."""
    lines = [f"descriptor {fd}: {to}" for fd, to in after.descriptors - before.descriptors]
    lines += [f"thread {thread!r}" for thread in after.threads - before.threads]
    lines += [f"child process {pid}" for pid in after.children - before.children]
    return sorted(lines)


def settled_additions(before: Snapshot, grace_s: float = GRACE_S) -> list[str]:
    """What is still additional when the grace has passed; empty at once when clean."""
    deadline = time.monotonic() + grace_s
    while leaked := additions(before, take_snapshot()):
        if time.monotonic() > deadline:
            return leaked
        gc.collect()  # a kept exception holds frames, and with them sockets
        time.sleep(0.01)
    return []
