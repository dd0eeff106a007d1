"""What the kernel tells of a process: nothing has to run inside it for that."""

from __future__ import annotations

import os
import time

from harness.errors import MeasurementError

_CPUCLOCK_SCHED = 2  # <linux/posix-timers_types.h>
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat, counted from behind the name; proc(5).
_MINFLT, _CMINFLT, _CUTIME, _CSTIME = 7, 8, 13, 14


def cpu_s(pid: int) -> float:
    """CPU time of all its threads (clock_getcpuclockid(3)), the ended ones included.

    Children do not count.
    """
    try:
        return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
    except OSError as error:
        raise MeasurementError("the process has ended") from error


def _status(pid: int, field: str, task: int | None = None) -> int:
    path = f"/proc/{pid}/status" if task is None else f"/proc/{pid}/task/{task}/status"
    try:
        with open(path) as status:
            return next(int(line.split()[1]) for line in status if line.startswith(field))
    except (OSError, StopIteration) as error:
        raise MeasurementError(f"the process has ended, or has no {field}") from error


def peak_rss_kib(pid: int) -> int:
    return _status(pid, "VmHWM:")


def thread_count(pid: int) -> int:
    return _status(pid, "Threads:")


def main_thread_switches(pid: int) -> int:
    """How often the main thread has gone to sleep."""
    return _status(pid, "voluntary_ctxt_switches:", task=pid)


def _stat(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()
    except OSError as error:
        raise MeasurementError("the process has ended") from error


def minor_faults(pid: int) -> int:
    """Page faults without I/O of the process itself; children do not count."""
    return int(_stat(pid)[_MINFLT])


def reaped_minor_faults(pid: int) -> int:
    """Those of the children that it has waited for."""
    return int(_stat(pid)[_CMINFLT])


def reaped_cpu_s(pid: int) -> float:
    """CPU time of the children that it has waited for, in whole ticks (10 ms)."""
    stat = _stat(pid)
    return (int(stat[_CUTIME]) + int(stat[_CSTIME])) / _TICKS_PER_S


def descriptors(pid: int) -> list[int]:
    """What it has open."""
    return sorted(map(int, os.listdir(f"/proc/{pid}/fd")))
