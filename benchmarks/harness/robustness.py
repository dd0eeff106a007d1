"""What is no throughput: stopping, resting, bursts, running out of descriptors.

Each measurement takes an implementation and returns named values; `GOALS`
says what they are and what ours should reach.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from harness.errors import MeasurementError
from harness.implementations import OURS, STANDARD
from harness.lifecycle import finish_cycles, start_cycles
from harness.load_process import Load, LoadProcess
from harness.server_process import ServerProcess
from harness.tables import Table, number, times

IDLE_S = 4.0
BURST_CLIENTS = 400
BURST_ROUNDS = 3
EXHAUSTED_S = 2.0
WAITING_CLIENTS = 120
# What does not fit the backlog of 5 is retried by TCP after 1, 3, 7, ... s, and
# some clients of the standard server are never answered: patience ends here.
PATIENCE_S = 3.0
EXHAUSTION_LIMIT_S = 30.0

Values = dict[str, float]


@dataclass(frozen=True)
class Goal:
    """One line of the table."""

    title: str
    limit: float  # ours should not be above it


def goals(cycles: dict[str, int]) -> dict[str, Goal]:
    """What each value means; `cycles` as given to `measure_robustness`."""
    counts = ", ".join(f"{count} x {impl}" for impl, count in cycles.items())
    return {
        "shutdown_p50_ms": Goal(f"shutdown() on an idle server, p50, ms ({counts})", 5),
        "shutdown_p99_ms": Goal("shutdown() on an idle server, p99, ms", 5),
        "threads_left": Goal("threads left by those start/stop cycles", 0),
        "descriptors_left": Goal("descriptors left by them", 0),
        "idle_wake_ups": Goal(f"wake-ups of an idle serving thread in {IDLE_S:g} s", 0),
        "burst_s": Goal(
            f"{BURST_CLIENTS} simultaneous connects, default backlog: all answered, s", 0.9
        ),
        "burst_unanswered": Goal(f"clients of them not answered after {PATIENCE_S:g} s", 0),
        "exhausted_cpu_percent": Goal(
            f"CPU while out of descriptors, {WAITING_CLIENTS} clients waiting, %", 5
        ),
        "recovery_s": Goal("after relief: all of them answered, s", 1),
    }


def measure_lifecycles(cycles: dict[str, int]) -> dict[str, Values]:
    """Start/stop cycles; side by side, as the processes mostly sleep."""
    running = {impl: start_cycles(impl, count) for impl, count in cycles.items()}
    values = {}
    for impl, process in running.items():
        lifecycle = finish_cycles(process, cycles[impl])
        values[impl] = {
            "shutdown_p50_ms": lifecycle.shutdown_ms(0.5),
            "shutdown_p99_ms": lifecycle.shutdown_ms(0.99),
            "threads_left": lifecycle.threads_left,
            "descriptors_left": lifecycle.descriptors_left,
        }
    return values


def _main_thread_switches(pid: int) -> int:
    """How often the serving thread (here the main one) has gone to sleep."""
    with open(f"/proc/{pid}/task/{pid}/status") as status:
        for line in status:
            if line.startswith("voluntary_ctxt_switches:"):
                return int(line.split()[1])
    raise MeasurementError("this kernel does not count context switches")


def measure_idle(impls: Iterable[str]) -> dict[str, Values]:
    """Wake-ups of servers that nobody uses, side by side; each ends in a new sleep."""
    with ExitStack() as stack:
        servers = {
            impl: stack.enter_context(ServerProcess(impl, "crc_threaded", 32)) for impl in impls
        }
        time.sleep(0.5)  # start-up is over
        before = {impl: _main_thread_switches(server.pid) for impl, server in servers.items()}
        time.sleep(IDLE_S)
        return {
            impl: {"idle_wake_ups": _main_thread_switches(server.pid) - before[impl]}
            for impl, server in servers.items()
        }


def measure_burst(impl: str) -> Values:
    """The backlog as the class has it."""
    load = Load("burst", BURST_CLIENTS, timeout_s=PATIENCE_S)
    times_s, unanswered = [], []
    with ServerProcess(impl, "crc_default_backlog", 32) as server:
        for _ in range(BURST_ROUNDS):
            with LoadProcess(load, server.port, 1.0) as burst:
                burst.begin()
                result = burst.result(tolerated=frozenset({"timeout"}))
                times_s.append(result["elapsed_s"])
                unanswered.append(result["error_total"])
    return {
        "burst_s": statistics.median(times_s),
        "burst_unanswered": statistics.median(unanswered),
    }


def measure_exhaustion(impl: str) -> Values:
    """Clients wait in the backlog while `accept` finds no descriptor."""
    load = Load("burst", WAITING_CLIENTS, timeout_s=EXHAUSTION_LIMIT_S)
    with (
        ServerProcess(impl, "crc_threaded", 32) as server,
        LoadProcess(load, server.port, 1.0) as burst,
    ):
        server.ask("exhaust")
        burst.begin()
        time.sleep(0.3)
        before, begin_s = server.usage(), time.monotonic()
        time.sleep(EXHAUSTED_S)
        cpu_s = server.usage().cpu_s - before.cpu_s
        elapsed_s = time.monotonic() - begin_s
        relieved_s = time.monotonic()
        server.ask("relieve")
        burst.result()
        recovery_s = time.monotonic() - relieved_s
    return {"exhausted_cpu_percent": cpu_s / elapsed_s * 100, "recovery_s": recovery_s}


def measure_robustness(
    cycles: dict[str, int], on_step: Callable[[str], None] = lambda step: None
) -> tuple[dict[str, Values], list[str]]:
    """All values by implementation, and the errors of what gave none.

    Args:
        cycles: start/stop cycles by implementation.
        on_step: told what comes next.
    """
    values: dict[str, Values] = {impl: {} for impl in cycles}
    errors = []
    for name, measurement in _plan(cycles):
        on_step(name)
        try:
            for impl, found in measurement().items():
                values[impl] |= found
        except MeasurementError as error:
            errors.append(f"{name}: {error}")
    return values, errors


def _plan(cycles: dict[str, int]) -> Iterator[tuple[str, Callable[[], dict[str, Values]]]]:
    yield "start and stop", lambda: measure_lifecycles(cycles)
    yield "idle servers", lambda: measure_idle(cycles)
    for impl in cycles:
        yield f"burst, {impl}", lambda impl=impl: {impl: measure_burst(impl)}
    for impl in cycles:
        yield f"exhaustion, {impl}", lambda impl=impl: {impl: measure_exhaustion(impl)}


def robustness_table(values: dict[str, Values], cycles: dict[str, int]) -> Table:
    """The standard module, ours, the ratio and whether the goal is met."""
    standard, ours = values.get(STANDARD, {}), values.get(OURS, {})
    rows = []
    for name, goal in goals(cycles).items():
        mine, theirs = ours.get(name), standard.get(name)
        ratio = mine / theirs if mine is not None and theirs else None
        verdict = "-" if mine is None else ("yes" if mine <= goal.limit else "NO")
        cells = number(theirs), number(mine), times(ratio), f"<= {goal.limit:g}", verdict
        rows.append([goal.title, *cells])
    columns = ["", STANDARD, OURS, "ratio", "goal", "met"]
    return Table("Robustness", columns, rows)
