"""Which CPU serves and which one sends the load, undisturbed as far as allowed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_usable = sorted(os.sched_getaffinity(0))
# The lowest CPU often takes the machine's interrupts: that one sends.
CLIENT_CPU = _usable[0]
SERVER_CPU = _usable[-1]
SHARED = CLIENT_CPU == SERVER_CPU
NICENESS = -15  # ahead of ordinary work, behind the kernel's own threads
_CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def pin(pid: int, cpu: int) -> None:
    """Keep a process just started, and what it starts, on one CPU, undisturbed."""
    os.sched_setaffinity(pid, {cpu})
    prefer(pid)


def prefer(pid: int) -> None:
    """Let a process just started go before other work, where we may (as root).

    Servers and clients alike, so no implementation gains by it. Niceness counts
    within a session; between sessions the kernel goes by their "autogroup", so
    the process should have been started in a session of its own.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
        with open(f"/proc/{pid}/autogroup", "w") as autogroup:
            autogroup.write(str(NICENESS))


@contextlib.contextmanager
def starting_on(cpu: int) -> Iterator[None]:
    """What is started inside is on `cpu` from its first moment, with all threads."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


def machine_busy_s() -> float:
    """CPU time the whole machine has spent working since it started.

    Hypervisors that take a CPU away ("steal") count: for us it was not there.
    """
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(
            int, stat.readline().split()[1:9]
        )
    return (user + nice + system + irq + softirq + steal) / _CLOCK_TICKS_PER_S
