"""One listener, several processes in `handle_request()`: does any of them fall silent?"""

from __future__ import annotations

import ast
import time

from harness.bare_process import BareProcess
from harness.errors import MeasurementError
from harness.token_clients import Tally, run_clients

PROCESSES = 8
CLIENTS = 16
PATIENCE_S = 10.0
# A process that is stuck in accept(2) goes on with the next connection, at once under
# load: only where none comes for a while can it be told from one that waits its turn.
WAVE = 40
PAUSE_S = 0.08


def measure_sharing(impl: str, requests: int) -> dict[str, float]:
    """So many requests, spread over processes that are on all CPUs.

    Raises: MeasurementError if a client was not served, or a process did not come back.
    """
    # Not pinned: what one process does to another takes two that run at a time.
    with BareProcess(impl, "sharing", PROCESSES, cpu=None) as server:
        tally = Tally()
        while tally.ended < requests:
            tally += run_clients(
                server.announced["port"], CLIENTS, PATIENCE_S, lambda wave: wave.ended < WAVE
            )
            time.sleep(PAUSE_S)
        results = server.tell("end")
    if tally.answered < tally.ended:
        raise MeasurementError(
            f"{tally.hung} clients hung, {tally.unanswered} unanswered, {tally.wrong} mixed up"
        )
    if "" in results:
        raise MeasurementError(
            f"{results.count('')} of {PROCESSES} processes did not come back"
        )
    found = [ast.literal_eval(result) for result in results]
    return {
        "process_silent_ms": max(one["process_silent_s"] for one in found) * 1e3,
        "asleep_ms": max(one["asleep_s"] for one in found) * 1e3,
        "call_silent_ms": max(one["call_silent_s"] for one in found) * 1e3,
        "shared_p999_ms": tally.latency_ms(0.999),
        "shared_max_ms": tally.latency_ms(1),
        "least_served": min(one["served"] for one in found) / tally.answered,
    }
