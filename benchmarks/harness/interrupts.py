"""Interrupted accepts: whose descriptors are touched, whose answers are mixed up."""

from __future__ import annotations

import resource
import select

from harness.bare_process import BareProcess
from harness.cpus import CLIENT_CPU, starting_on
from harness.errors import MeasurementError
from harness.token_clients import Tally, run_clients

CLIENTS = 256
# The standard module loses a connection for good when it is interrupted between
# accept(2) and the socket object: who waits for that one should not wait for long.
PATIENCE_S = 1.0
LIMIT_S = 180.0  # a busy machine interrupts fewer accepts


def _is_running(server: BareProcess) -> bool:
    return not select.select([server], [], [], 0)[0]


def _load_until_done(server: BareProcess) -> Tally:
    port = server.announced["port"]
    try:
        return run_clients(port, CLIENTS, PATIENCE_S, lambda _: _is_running(server))
    except MeasurementError as error:
        raise MeasurementError(f"{error}; server: {server.last_error_line()}") from error


def measure_interrupts(impl: str, server_class: str, interrupts: int) -> dict[str, float]:
    """Until so many interrupts came while clients were being accepted; what they did.

    `interrupted_accepts` of them came out of Python code between accept(2) and the socket
    object: none where there is no such code.

    Raises: MeasurementError if the server ended, or was not interrupted so often.
    """
    with BareProcess(impl, "interrupts", server_class) as server:
        _, most = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        # For those connections: each keeps its descriptor.
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (most, most))
        server.send(f"run {interrupts} {LIMIT_S}")
        with starting_on(CLIENT_CPU):
            tally = _load_until_done(server)
        found = server.answer()["value"]
        if found["interrupts"] < interrupts:
            raise MeasurementError(f"only {found['interrupts']} interrupts in {LIMIT_S:g} s")
        ended = server.tell("end")
    return {
        "interrupts": found["interrupts"],
        "interrupted_accepts": found["interrupted_accepts"],
        "ended_loops": found["ended_loops"],
        "touched": ended["touched"],
        "mixed_up": tally.wrong,
        "hung": tally.hung,
        "unserved_each": (tally.unanswered + tally.hung) / found["interrupts"],
    }
