"""Tell that a thread sleeps without any tick: its context switches stand still."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from support.waiting import wait_until

# A thread that waits for the GIL looks again every 5 ms (sys.getswitchinterval).
STILL_S = 0.05


def switches(thread: threading.Thread) -> tuple[str, str]:
    """The thread's state letter and how often it has given up its processor."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return fields["State"][0], fields["voluntary_ctxt_switches"]


def wait_until_asleep(thread: threading.Thread) -> None:
    """Return when the thread has slept for a while without waking up."""

    def still() -> bool:
        before = switches(thread)
        time.sleep(STILL_S)
        return before[0] == "S" and switches(thread) == before

    wait_until(still)
