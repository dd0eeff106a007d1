"""Measures unmodified programs, plain and grafted: under load, stopping, starting.

As `measure` does: both alive at once, loaded in turns, ratios within a round.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from harness.cases import Case
from harness.cpus import SERVER_CPU, pin, starting_on
from harness.errors import MeasurementError
from harness.measure import CaseResult, ImplResult, measure_in_turns
from harness.program_cases import PREFIXES, START_UPS, ProgramCase, load_of
from harness.program_process import ProgramProcess, environment

# As servers.programs.REST_S: any phase of the standard poll_interval of 0.5 s.
REST_S = (0.05, 0.55)
STOP_LIMIT_S = 3.0  # a cycle; the standard module needs about a second

Milliseconds = dict[str, list[float]]


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    python: str  # that runs the programs
    clients: int
    rounds: int
    seconds: float  # of each round
    stops: int
    starts: int


@dataclass
class ProgramResult:
    """One row: the load, and how the program stops."""

    load: CaseResult
    stops_ms: Milliseconds
    errors: list[str]


def _comparable(case: ProgramCase, answer: bytes) -> tuple[bytes, bytes]:
    """What must be the same, grafted or not: of HTTP, the status and the body."""
    if not case.is_http:
        return b"", answer
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.partition(b"\r\n")[0], body


def measure_load(
    case: ProgramCase, effort: Effort, on_step: Callable[[str], None]
) -> CaseResult:
    """Rounds of load on both; no figures for either when one of them fails to start.

    Raises: MeasurementError if one does not start, or they answer differently.
    """
    results = {impl: ImplResult() for impl in PREFIXES}
    with ExitStack() as stack:
        servers = {
            impl: stack.enter_context(ProgramProcess(case, effort.python, impl))
            for impl in PREFIXES
        }
        answers = {_comparable(case, server.answer) for server in servers.values()}
        if len(answers) > 1:
            raise MeasurementError("the grafted program answers differently")
        load = load_of(case, next(iter(servers.values())).answer, effort.clients)
        common = Case(case.name, case.title, "", load)
        measure_in_turns(common, servers, results, effort.rounds, effort.seconds, on_step)
    return results


def measure_stops(case: ProgramCase, python: str, cycles: int) -> Milliseconds:
    """How long an idle program takes to stop, `cycles` times each, in ms."""
    return (_by_itself if case.stops else _by_interrupt)(case, python, cycles)


def _by_itself(case: ProgramCase, python: str, cycles: int) -> Milliseconds:
    """Its own `shutdown()`; both at once, as they mostly sleep."""
    running = {impl: _start_cycles(case, python, impl, cycles) for impl in PREFIXES}
    try:
        return {impl: _finish_cycles(process, cycles) for impl, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
            process.communicate()


def _start_cycles(case: ProgramCase, python: str, impl: str, cycles: int) -> subprocess.Popen:
    process = subprocess.Popen(
        case.command(python, impl, 0, "--stops", str(cycles)),
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pin(process.pid, SERVER_CPU)
    return process


def _finish_cycles(process: subprocess.Popen, cycles: int) -> list[float]:
    try:
        output, errors = process.communicate(timeout=30 + cycles * STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise MeasurementError("it did not stop") from None
    if process.returncode:
        last = (errors.strip().splitlines() or ["no message"])[-1]
        raise MeasurementError(f"stopping: {last}")
    return [latency_s * 1e3 for latency_s in json.loads(output.splitlines()[-1])]


def _by_interrupt(case: ProgramCase, python: str, cycles: int) -> Milliseconds:
    """From SIGINT to the end of the process, in turns."""
    stops_ms: Milliseconds = {impl: [] for impl in PREFIXES}
    for _ in range(cycles):
        for impl, found in stops_ms.items():
            with ProgramProcess(case, python, impl) as server:
                time.sleep(random.uniform(*REST_S))
                found.append(server.interrupted_s() * 1e3)
    return stops_ms


def measure_program(
    case: ProgramCase, effort: Effort, on_step: Callable[[str], None]
) -> ProgramResult:
    """Everything about one program; what fails gives no figure, but an error."""
    result = ProgramResult({impl: ImplResult() for impl in PREFIXES}, {}, [])
    try:
        result.load = measure_load(case, effort, on_step)
        for impl, found in result.load.items():
            if found.error:
                result.errors.append(f"{case.name}, {impl}: {found.error}")
    except MeasurementError as error:
        result.errors.append(f"{case.name}: {error}")
    try:
        if not case.shares_stop:
            on_step("stop")
            result.stops_ms = measure_stops(case, effort.python, effort.stops)
    except MeasurementError as error:
        result.errors.append(f"{case.name}: {error}")
    return result


def measure_start_ups(effort: Effort) -> Milliseconds:
    """Whole processes from start to end, in turns, in ms."""
    found: Milliseconds = {label: [] for label in START_UPS}
    for number in range(-1, effort.starts):  # -1: what reads the files from the disk
        for label, arguments in START_UPS.items():
            elapsed_ms = _timed_process_ms([effort.python, *arguments])
            if number >= 0:
                found[label].append(elapsed_ms)
    return found


def _timed_process_ms(command: list[str]) -> float:
    with starting_on(SERVER_CPU):
        begin_s = time.perf_counter()
        done = subprocess.run(command, env=environment(), capture_output=True, text=True)
        elapsed_s = time.perf_counter() - begin_s
    if done.returncode or done.stderr:
        raise MeasurementError(f"start-up: {(done.stderr.splitlines() or ['failed'])[-1]}")
    return elapsed_s * 1e3


def median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
