"""How the runner talks to a server process: one JSON line out per line in.

Out, once: ``{"port": ..., "pid": ...}``. Then, for each line on stdin:

- ``stats``: CPU time, peak memory and voluntary context switches so far;
- ``exhaust``: take every descriptor the process may have;
- ``relieve``: give them back;
- ``finish``: stop serving, let the threads end; then as ``stats``.

The end of stdin ends the process, so a runner that dies leaves no server.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable

# Descriptors that stay possible when the limit is lowered: a process limit far
# above the number in use would mean opening thousands of files.
SPARE_DESCRIPTORS = 20


# Kept open: it is read, too, while the process has no descriptor to spare.
_own_status = open("/proc/self/status")  # noqa: SIM115


def peak_rss_kib() -> int:
    """VmHWM; ``ru_maxrss`` would include the process that started this one."""
    _own_status.seek(0)
    for line in _own_status:
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def usage() -> dict:
    """What this process and its reaped children have used so far."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_s": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        "peak_rss_kib": peak_rss_kib(),
        "voluntary_switches": own.ru_nvcsw + children.ru_nvcsw,
    }


# What ends serving, where workers may be idle until then.
_at_finish: list[Callable[[], None]] = []
FINISH_LIMIT_S = 10.0


def at_finish(stop: Callable[[], None]) -> None:
    """Call this, from another thread, when the runner wants no more of us."""
    _at_finish.append(stop)


def finish() -> None:
    """Return when no thread is left but the main one and this one."""
    while _at_finish:
        _at_finish.pop()()
    deadline_s = time.monotonic() + FINISH_LIMIT_S
    while threading.active_count() > 2 and time.monotonic() < deadline_s:
        time.sleep(0.01)


class Hoard:
    """Every descriptor the process may have, so that ``accept`` finds none."""

    def __init__(self) -> None:
        self._fds: list[int] = []
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def fill(self) -> None:
        hard = self._limits[1]
        in_use = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + SPARE_DESCRIPTORS, hard))
        try:
            while True:
                self._fds.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return  # EMFILE: full

    def release(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)
        while self._fds:
            os.close(self._fds.pop())


def announce(port: int) -> None:
    """Tell the runner where to connect."""
    print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)


def wait_for_end() -> None:
    """For a main thread that has finished: the runner still asks, and ends the process."""
    threading.Event().wait()


def obey_runner() -> None:
    """Answer the runner until it closes stdin, then end the process at once."""
    hoard = Hoard()
    for line in sys.stdin:
        command = line.strip()
        if command == "exhaust":
            hoard.fill()
        elif command == "relieve":
            hoard.release()
        elif command == "finish":
            finish()
        print(json.dumps(usage()), flush=True)
    os._exit(0)


def obey_runner_in_background() -> None:
    """As `obey_runner`, on a thread that sleeps in ``read`` while we serve."""
    threading.Thread(target=obey_runner, name="control", daemon=True).start()
