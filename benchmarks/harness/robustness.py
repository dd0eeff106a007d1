"""What is no throughput: stopping, resting, bursts, faults, interrupts, floods.

Every server is a fresh process that has imported nothing but the module under
test. Each measurement gives named values; `goals` says what they are and what
ours should reach.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness import faults, flood, interrupts, sharing
from harness.errors import MeasurementError
from harness.faults import Values
from harness.implementations import OURS, STANDARD
from harness.lifecycle import measure_cycles
from harness.tables import Table, number, times

INLINE, THREADED = "TCPServer", "ThreadingTCPServer"


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    cycles: dict[str, int]  # start/stop cycles by implementation
    # Some 3,000 of them come within the accept of the standard module.
    interrupts: int = 10_000
    requests: int = 20_000  # on a shared listener
    flood_s: float = 3.0

    @property
    def impls(self) -> list[str]:
        return list(self.cycles)


@dataclass(frozen=True)
class Goal:
    """One line of the table."""

    title: str
    limit: float | None = None  # ours should not be above it; None: only shown
    beyond_standard: bool = False  # the limit is added to the standard module's value

    def limit_of(self, standard: float | None) -> float | None:
        """What ours should not be above, given the standard module's value."""
        if self.limit is None or not self.beyond_standard:
            return self.limit
        return None if standard is None else standard + self.limit


def _interrupt_goals(server_class: str, effort: Effort) -> dict[str, Goal]:
    where = f"{effort.interrupts:,} interrupts while accepting, {server_class}"
    return {
        f"interrupts_{server_class}": Goal(f"{where}: interrupts in all"),
        f"touched_{server_class}": Goal(f"{where}: descriptors of the program touched", 0),
        f"ended_loops_{server_class}": Goal("serve_forever() ended by an OSError", 0),
        f"mixed_up_{server_class}": Goal(
            "clients that got something else than their answer", 0
        ),
        f"hung_{server_class}": Goal("clients neither answered nor closed", 0),
        # One interrupt can cost the request that it hits; no more than that one.
        f"unserved_each_{server_class}": Goal("clients not served, per interrupt", 1),
    }


def goals(effort: Effort) -> dict[str, Goal]:
    """What each value means."""
    counts = ", ".join(f"{count} x {impl}" for impl, count in effort.cycles.items())
    waiting = f"{faults.WAITING_CLIENTS} clients waiting"
    shared = f"{effort.requests:,} requests, {sharing.PROCESSES} processes, one listener"
    return {
        "shutdown_p50_ms": Goal(f"shutdown() on an idle server, p50, ms ({counts})", 5),
        "shutdown_p99_ms": Goal("shutdown() on an idle server, p99, ms", 5),
        "threads_left": Goal("threads left by those start/stop cycles", 0),
        "descriptors_left": Goal("descriptors left by them", 0),
        "idle_wake_ups": Goal(f"wake-ups of an idle serving thread in {faults.IDLE_S:g} s", 0),
        "burst_s": Goal(
            f"{faults.BURST_CLIENTS} simultaneous connects, default backlog: all answered, s",
            0.9,
        ),
        "burst_unanswered": Goal(
            f"clients of them not answered after {faults.PATIENCE_S:g} s", 0
        ),
        "exhausted_cpu_percent": Goal(f"CPU while out of descriptors, {waiting}, %", 5),
        "recovery_s": Goal("after relief: all of them answered, s", 1),
        "exhausted_imports": Goal("modules imported because of that", 0),
        "unpolled_cpu_percent": Goal(
            f"the same, none free when serving began: CPU, {waiting}, %", 5
        ),
        "unpolled_recovery_s": Goal("after relief: all of them answered, s", 1),
        "unpolled_shutdown_ms": Goal("shutdown() without relief, ms", 500, True),
        **_interrupt_goals(INLINE, effort),
        **_interrupt_goals(THREADED, effort),
        "process_silent_ms": Goal(f"{shared}: longest silence of a process, ms", 50, True),
        "asleep_ms": Goal("of it, not for want of a CPU: asleep with the GIL, ms", 50, True),
        "call_silent_ms": Goal("longest time between two returns of handle_request(), ms"),
        "shared_p999_ms": Goal("latency of a request, p99.9, ms", 50, True),
        "shared_max_ms": Goal("latency of a request, longest, ms", 50, True),
        "least_served": Goal("share of the process that served least"),
        "flood_threads": Goal(
            f"datagram flood of {effort.flood_s:g} s, 1 ms handlers: most threads at once", 64
        ),
        "flood_threads_left": Goal(f"threads that are left {flood.SETTLE_S:g} s later"),
        "flood_handled_per_s": Goal("datagrams handled per second"),
    }


def measure_lifecycles(cycles: dict[str, int]) -> dict[str, Values]:
    """Start/stop cycles, in turns."""
    return {
        impl: {
            "shutdown_p50_ms": lifecycle.shutdown_ms(0.5),
            "shutdown_p99_ms": lifecycle.shutdown_ms(0.99),
            "threads_left": lifecycle.threads_left,
            "descriptors_left": lifecycle.descriptors_left,
        }
        for impl, lifecycle in measure_cycles(cycles).items()
    }


def measure_interrupts(impl: str, server_class: str, count: int) -> Values:
    found = interrupts.measure_interrupts(impl, server_class, count)
    return {f"{name}_{server_class}": value for name, value in found.items()}


def _one_by_one(effort: Effort) -> dict[str, Callable[[str], Values]]:
    """What is measured for each implementation on its own."""
    return {
        "burst": faults.measure_burst,
        "exhaustion": faults.measure_exhaustion,
        "exhausted start": faults.measure_exhausted_start,
        "exhausted stop": faults.measure_exhausted_stop,
        "interrupted accepts": lambda impl: measure_interrupts(impl, INLINE, effort.interrupts),
        "interrupted accepts, threads": lambda impl: measure_interrupts(
            impl, THREADED, effort.interrupts
        ),
        "shared listener": lambda impl: sharing.measure_sharing(impl, effort.requests),
        "datagram flood": lambda impl: flood.measure_flood(impl, effort.flood_s),
    }


TOGETHER = ("start and stop", "idle servers")


def measurement_names() -> list[str]:
    """What `measure_robustness` can be restricted to."""
    return [*TOGETHER, *_one_by_one(Effort({}))]


def _plan(effort: Effort) -> Iterator[tuple[str, str, Callable[[], dict[str, Values]]]]:
    """Each step's measurement, what to call it, and how to do it."""
    together = (
        lambda: measure_lifecycles(effort.cycles),
        lambda: faults.measure_idle(effort.impls),
    )
    for name, measurement in zip(TOGETHER, together, strict=True):
        yield name, name, measurement
    for name, measure in _one_by_one(effort).items():
        for impl in effort.impls:
            step = f"{name}, {impl}"
            yield name, step, lambda measure=measure, impl=impl: {impl: measure(impl)}


def measure_robustness(
    effort: Effort,
    on_step: Callable[[str], None] = lambda step: None,
    only: str = "*",
) -> tuple[dict[str, Values], list[str]]:
    """All values by implementation, and the errors of what gave none.

    Args:
        effort: how much, and of whom.
        on_step: told what comes next.
        only: a pattern of `measurement_names`.
    """
    values: dict[str, Values] = {impl: {} for impl in effort.impls}
    errors = []
    for name, step, measurement in _plan(effort):
        if not fnmatch.fnmatch(name, only):
            continue
        on_step(step)
        try:
            for impl, found in measurement().items():
                values[impl] |= found
        except MeasurementError as error:
            errors.append(f"{step}: {error}")
    return values, errors


def _verdict(mine: float | None, limit: float | None) -> str:
    if mine is None or limit is None:
        return "-"
    return "yes" if mine <= limit else "NO"


def robustness_table(values: dict[str, Values], effort: Effort) -> Table:
    """The standard module, ours, the ratio and whether the goal is met."""
    standard, ours = values.get(STANDARD, {}), values.get(OURS, {})
    rows = []
    for name, goal in goals(effort).items():
        mine, theirs = ours.get(name), standard.get(name)
        if mine is None and theirs is None:
            continue
        ratio = mine / theirs if mine is not None and theirs else None
        limit = goal.limit_of(theirs)
        shown = (
            "-"
            if limit is None
            else f"<= {number(limit) if goal.beyond_standard else f'{limit:g}'}"
        )
        cells = number(theirs), number(mine), times(ratio), shown, _verdict(mine, limit)
        rows.append([goal.title, *cells])
    columns = ["", STANDARD, OURS, "ratio", "goal", "met"]
    return Table("Robustness, each server a fresh process", columns, rows)
