"""Runs ``servers.lifecycle``: how long ``shutdown()`` takes, what start/stop leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from harness.cpus import prefer
from harness.errors import MeasurementError
from harness.implementations import IMPLEMENTATIONS

CYCLE_LIMIT_S = 3.0  # the standard module needs about 0.5 s


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


def start_cycles(impl: str, cycles: int) -> subprocess.Popen:
    """Begin the cycles; several implementations may go on side by side."""
    implementation = IMPLEMENTATIONS[impl]
    command = [sys.executable, "-m", "servers.lifecycle"]
    process = subprocess.Popen(
        [*command, "--impl", implementation.module, "--cycles", str(cycles)],
        env=implementation.process_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    prefer(process.pid)
    return process


def finish_cycles(process: subprocess.Popen, cycles: int) -> Lifecycle:
    """Wait for the end of what `start_cycles` began."""
    try:
        output, errors = process.communicate(timeout=30 + cycles * CYCLE_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise MeasurementError(f"{cycles} start/stop cycles did not end") from None
    if process.returncode:
        raise MeasurementError(f"start/stop cycles: {errors.strip().splitlines()[-1]}")
    return Lifecycle(**json.loads(output))
