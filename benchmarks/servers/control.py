"""How the runner talks to a server process: one JSON line out per line in.

Out, once: ``{"port": ..., "pid": ...}``. Then, for each line on stdin:

- ``stats``: CPU time, peak memory and voluntary context switches so far;
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
    """Return when no thread is left but the main one and this one, if serving can end."""
    if not _at_finish:
        return
    while _at_finish:
        _at_finish.pop()()
    deadline_s = time.monotonic() + FINISH_LIMIT_S
    while threading.active_count() > 2 and time.monotonic() < deadline_s:
        time.sleep(0.01)


def announce(port: int) -> None:
    """Tell the runner where to connect."""
    print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)


def wait_for_end() -> None:
    """For a main thread that has finished: the runner still asks, and ends the process."""
    threading.Event().wait()


def obey_runner() -> None:
    """Answer the runner until it closes stdin, then end the process at once."""
    for line in sys.stdin:
        if line.strip() == "finish":
            finish()
        print(json.dumps(usage()), flush=True)
    os._exit(0)


def obey_runner_in_background() -> None:
    """As `obey_runner`, on a thread that sleeps in ``read`` while we serve."""
    threading.Thread(target=obey_runner, name="control", daemon=True).start()
