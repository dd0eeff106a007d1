"""Measures one case: all its servers alive at once, loaded in turns.

Round by round (A B C, B C A, ...), so that what the machine does meanwhile
hits all of them alike, and ratios are taken within a round.

What a server does because of a load is charged to it, also if it does so later:
threads that end with their connections, workers that end after they were idle,
and those that end when serving ends.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace

from harness import wrk
from harness.cases import Case
from harness.cpus import machine_busy_s
from harness.errors import MeasurementError
from harness.load_process import LoadProcess
from harness.program_process import ProgramProcess
from harness.server_process import ServerProcess, Usage

WARM_UP_S = 0.3
# A thousand threads take a third of a second to end, which the next server on
# the same CPU would pay for: so each one is let come to rest first.
REST_CHECK_S = 0.03
REST_LIMIT_S = 5.0
RESTING_SHARE = 0.1  # of a CPU; asking costs about a hundredth


@dataclass(frozen=True)
class Round:
    """One load on one server."""

    rate: float
    cpu_us: float  # server CPU, user and system, per request
    p50_us: float
    p99_us: float
    p999_us: float | None
    switches: float | None  # voluntary context switches of the server, per request
    peak_rss_mib: float
    client_busy: float | None  # CPU time of the client / elapsed: near 1, it is the limit
    foreign_cpus: float | None  # CPUs that were busy with anything else: noise
    requests: int
    resent: int


@dataclass(frozen=True)
class Ratio:
    """One implementation to another: over the rounds, each compared within itself."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, mine: list[float], theirs: list[float]) -> Ratio:
        """Of what was measured in the same rounds."""
        pairs = zip(mine, theirs, strict=True)
        ratios = [one / (other or 1e-9) for one, other in pairs]
        return cls(statistics.median(ratios), min(ratios), max(ratios))

    @property
    def spread(self) -> float:
        """Half the range over the rounds."""
        return (self.most - self.least) / 2

    @property
    def is_noise(self) -> bool:
        """Whether the rounds do not agree on who is ahead.

        Where they agree, the medians of both sides are in the same order, so that a
        ratio that is printed cannot contradict the figures beside it.
        """
        return self.least < 1 < self.most


@dataclass
class ImplResult:
    """All rounds of one implementation, or why there is no figure."""

    rounds: list[Round] = field(default_factory=list)
    error: str = ""

    def charge_last(self, cpu_s: float) -> None:
        """What the server has used since its last round is part of that one's costs."""
        last = self.rounds[-1]
        cpu_us = last.cpu_us + cpu_s / last.requests * 1e6
        self.rounds[-1] = replace(last, cpu_us=cpu_us)

    def charge_all(self, cpu_s: float, uncounted: int) -> None:
        """What ending took is shared by all requests, `uncounted` ones of none included."""
        requests = sum(round_.requests for round_ in self.rounds) + uncounted
        each_us = cpu_s / requests * 1e6
        self.rounds = [replace(one, cpu_us=one.cpu_us + each_us) for one in self.rounds]

    def median(self, metric: str) -> float | None:
        """The median over the rounds; None without a figure."""
        values = [getattr(round_, metric) for round_ in self.rounds]
        if self.error or not values or None in values:
            return None
        return statistics.median(values)

    def least(self, metric: str) -> float:
        """The least over the rounds: what it costs when nothing disturbs."""
        return min(getattr(round_, metric) for round_ in self.rounds)

    def spread(self, metric: str) -> float | None:
        """Half the range over the rounds, as a share of the median."""
        median = self.median(metric)
        if not median:
            return None
        values = [getattr(round_, metric) for round_ in self.rounds]
        return (max(values) - min(values)) / 2 / median

    def ratio(self, metric: str, other: ImplResult | None) -> Ratio | None:
        """This / other, round by round; None without figures."""
        if other is None or None in (self.median(metric), other.median(metric)):
            return None
        mine, theirs = (
            [getattr(round_, metric) for round_ in result.rounds] for result in (self, other)
        )
        return Ratio.of(mine, theirs)

    def as_dict(self) -> dict:
        if self.error:
            return {"error": self.error}
        return {
            "median": {name: self.median(name) for name in asdict(self.rounds[0])},
            "rounds": [asdict(round_) for round_ in self.rounds],
        }


CaseResult = dict[str, ImplResult]
Server = ServerProcess | ProgramProcess


@dataclass(frozen=True)
class _Clocks:
    """What had been used when one looked: by the server, by the whole machine."""

    server: Usage
    machine_s: float
    time_s: float


def _look(server: Server) -> _Clocks:
    return _Clocks(server.usage(), machine_busy_s(), time.monotonic())


def _run_load(server: Server, case: Case, seconds: float) -> tuple[dict, _Clocks, _Clocks]:
    """The load's result, and the clocks on both sides of the measured phase."""
    if case.client == "wrk":
        before = _look(server)
        result = wrk.run(server.port, case.load.clients, seconds)
        return result, before, _look(server)
    with LoadProcess(case.load, server.port, seconds) as load:
        before = _look(server)
        load.begin()
        result = load.result()
        time.sleep(case.settle_s)
        return result, before, _look(server)


def _wait_for_rest(server: Server) -> Usage:
    """What the server has used when it has dealt with the end of its connections."""
    deadline_s = time.monotonic() + REST_LIMIT_S
    before, now = server.usage(), None
    while now is None or time.monotonic() < deadline_s:
        time.sleep(REST_CHECK_S)
        now = server.usage()
        if now.cpu_s - before.cpu_s < REST_CHECK_S * RESTING_SHARE:
            break
        before = now
    return now


def _check_stderr(server: Server, case: Case) -> None:
    harmless = wrk.LEAVES_BEHIND if case.client == "wrk" else ()
    for complaint in server.complaints():
        if not complaint.startswith(harmless):
            raise MeasurementError(f"the server complains: {complaint}")


def measure_round(server: Server, case: Case, seconds: float) -> tuple[Round, Usage]:
    """Load the server once, and what it had used when it came to rest.

    Raises: MeasurementError if anything at all went wrong.
    """
    result, before, after = _run_load(server, case, seconds)
    rested = _wait_for_rest(server)
    _check_stderr(server, case)
    requests, client_cpu_s = result["requests"], result["client_cpu_s"]
    switches = client_busy = foreign_cpus = None
    if before.server.voluntary_switches is not None:
        switches = after.server.voluntary_switches - before.server.voluntary_switches
        switches /= requests
    if client_cpu_s is not None:  # wrk does not tell
        client_busy = client_cpu_s / result["elapsed_s"]
        server_s = after.server.cpu_s - before.server.cpu_s
        foreign_s = after.machine_s - before.machine_s - server_s - client_cpu_s
        foreign_cpus = foreign_s / (after.time_s - before.time_s)
    measured = Round(
        rate=result["rate"],
        cpu_us=(rested.cpu_s - before.server.cpu_s) / requests * 1e6,
        p50_us=result["p50_us"],
        p99_us=result["p99_us"],
        p999_us=result["p999_us"],
        switches=switches,
        peak_rss_mib=rested.peak_rss_kib / 1024,
        client_busy=client_busy,
        foreign_cpus=foreign_cpus,
        requests=requests,
        resent=result["resent"],
    )
    return measured, rested


def _start_servers(case: Case, impls: list[str], stack: ExitStack, results: CaseResult) -> dict:
    servers = {}
    for impl in impls:
        try:
            server = ServerProcess(impl, case.work, case.load.size)
            servers[impl] = stack.enter_context(server)
        except MeasurementError as error:
            results[impl].error = str(error)
    return servers


def measure_case(
    case: Case,
    impls: list[str],
    rounds: int,
    seconds: float,
    on_step: Callable[[str], None] = lambda impl: None,
) -> CaseResult:
    """Warm all servers up, then measure `rounds` rounds of `seconds` each.

    An implementation that fails keeps its error, gets no figure and is left
    out of the remaining rounds; the others go on.
    """
    results = {impl: ImplResult() for impl in impls}
    with ExitStack() as stack:
        servers = _start_servers(case, impls, stack, results)
        measure_in_turns(case, servers, results, rounds, seconds, on_step)
    return results


def measure_in_turns(
    case: Case,
    servers: dict,
    results: CaseResult,
    rounds: int,
    seconds: float,
    on_step: Callable[[str], None],
) -> None:
    """The rounds of `measure_case`, on servers that run: into `results`."""
    impls = list(results)
    warmed_up: dict[str, Round] = {}
    rested: dict[str, Usage] = {}
    for number in range(-1, rounds):  # -1: the warm-up
        first = max(number, 0) % len(impls)
        for impl in impls[first:] + impls[:first]:
            on_step(impl)
            if results[impl].error:
                continue
            try:
                if number > 0:
                    since_s = servers[impl].usage().cpu_s - rested[impl].cpu_s
                    results[impl].charge_last(since_s)
                duration_s = WARM_UP_S if number < 0 else seconds
                measured, rested[impl] = measure_round(servers[impl], case, duration_s)
            except MeasurementError as error:
                results[impl].error = str(error)
                continue
            if number < 0:
                warmed_up[impl] = measured
            else:
                results[impl].rounds.append(measured)
    for impl, result in results.items():
        if result.error or not result.rounds:
            continue
        try:
            ending_s = servers[impl].usage_at_end().cpu_s - rested[impl].cpu_s
        except MeasurementError as error:
            result.error = str(error)
            continue
        result.charge_all(ending_s, warmed_up[impl].requests)
