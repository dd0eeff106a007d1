"""How long ``shutdown()`` takes, and what starting and stopping leaves behind."""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import dataclass

from harness.bare_process import BareProcess
from harness.kernel_view import descriptors

IDLE_LIMIT_S = 0.05  # a server that has just served is not yet at rest


@dataclass(frozen=True)
class Lifecycle:
    """What N start/stop cycles have shown."""

    shutdowns_s: list[float]
    threads_left: int
    descriptors_left: int

    def shutdown_ms(self, fraction: float) -> float:
        """A percentile of the latency of ``shutdown()``."""
        ordered = sorted(self.shutdowns_s)
        return ordered[min(int(len(ordered) * fraction), len(ordered) - 1)] * 1e3


def _cycle(process: BareProcess) -> float:
    return process.tell("cycle", random.uniform(0, IDLE_LIMIT_S))


def _held(process: BareProcess) -> tuple[int, int]:
    return process.tell("threads"), len(descriptors(process.pid))


def measure_cycles(cycles: dict[str, int]) -> dict[str, Lifecycle]:
    """So many cycles of each, in turns: on the server's CPU, where only one is at work."""
    shutdowns_s: dict[str, list[float]] = {impl: [] for impl in cycles}
    with ExitStack() as stack:
        running = {impl: stack.enter_context(BareProcess(impl, "cycles")) for impl in cycles}
        for process in running.values():
            _cycle(process)  # what a first use opens for good is no leak
        before = {impl: _held(process) for impl, process in running.items()}
        for number in range(max(cycles.values())):
            for impl, process in running.items():
                if number < cycles[impl]:
                    shutdowns_s[impl].append(_cycle(process))
        after = {impl: _held(process) for impl, process in running.items()}
    return {
        impl: Lifecycle(
            shutdowns_s[impl],
            after[impl][0] - before[impl][0],
            after[impl][1] - before[impl][1],
        )
        for impl in cycles
    }
