"""One peer sends as many datagrams as it can: how many threads are there at once?"""

from __future__ import annotations

import socket
import time

from harness.bare_process import BareProcess
from harness.cpus import CLIENT_CPU, starting_on
from harness.kernel_view import thread_count

HANDLER_S = 0.001
DATAGRAM = b"x" * 32
DATAGRAMS_PER_LOOK = 50
SETTLE_S = 1.0
OTHER_THREADS = 2  # the serving one, and the one that answers us


def measure_flood(impl: str, seconds: float) -> dict[str, float]:
    """Threads that handle requests: the most at any look, and those still there later."""
    with (
        BareProcess(impl, "flood", HANDLER_S) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        starting_on(CLIENT_CPU),
    ):
        peer.connect(("127.0.0.1", server.announced["port"]))
        most = 0
        begin_s = now_s = time.monotonic()
        while now_s < begin_s + seconds:
            for _ in range(DATAGRAMS_PER_LOOK):
                peer.send(DATAGRAM)
            most = max(most, thread_count(server.pid))
            now_s = time.monotonic()
        handled = server.tell("handled")
        time.sleep(SETTLE_S)
        left = thread_count(server.pid)
    return {
        "flood_threads": most - OTHER_THREADS,
        "flood_threads_left": left - OTHER_THREADS,
        "flood_handled_per_s": handled / seconds,
    }
