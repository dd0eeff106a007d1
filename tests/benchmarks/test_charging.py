"""All CPU that a server uses because of a load is charged to that load."""

from __future__ import annotations

import pytest

from harness import measure
from harness.cases import all_cases
from harness.measure import ImplResult
from harness.server_process import Usage

REQUESTS = 1000
LOAD_S, ENDING_S, BETWEEN_S, FINISH_S = 1.0, 0.5, 0.25, 0.125


class Server:
    """Its threads end after the load, in between, and when it stops serving."""

    def __init__(self) -> None:
        self.cpu_s = 7.0
        self.upcoming = [LOAD_S]

    def use(self, cpu_s: float) -> None:
        self.cpu_s += cpu_s

    def usage(self) -> Usage:
        return Usage(self.cpu_s, 1024, 0)

    def usage_at_end(self) -> Usage:
        self.use(FINISH_S)
        return self.usage()

    def complaints(self) -> list[str]:
        return []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that the load and the pauses between loads use up as told above."""
    server = Server()

    def run_load(*_: object) -> tuple:
        before = measure._look(server)
        server.use(LOAD_S)
        after = measure._look(server)
        server.use(ENDING_S)  # the connections close: their threads end
        result = dict.fromkeys(("rate", "p50_us", "p99_us", "p999_us", "resent"), 0)
        return {**result, "requests": REQUESTS, "client_cpu_s": None}, before, after

    monkeypatch.setattr(measure, "_run_load", run_load)
    return server


def measured_us(server: Server, rounds: int) -> list[float]:
    """CPU per request of each round, of a server that is busy between its turns."""
    results = {"ours": ImplResult()}
    case = all_cases()[0]
    turns = iter(range(rounds + 1))

    def on_step(_: str) -> None:
        if next(turns):
            server.use(BETWEEN_S)  # workers that have been idle for long enough

    measure.measure_in_turns(case, {"ours": server}, results, rounds, 1.0, on_step)
    assert not results["ours"].error
    return [round_.cpu_us for round_ in results["ours"].rounds]


def test_threads_that_end_after_the_load_are_charged(server: Server) -> None:
    """At once, between the rounds, and at the end: the last is shared by all requests."""
    at_end_us = FINISH_S / (3 * REQUESTS) * 1e6  # the warm-up made some of them, too
    at_once_us = (LOAD_S + ENDING_S) / REQUESTS * 1e6 + at_end_us
    between_us = BETWEEN_S / REQUESTS * 1e6
    expected = [at_once_us + between_us, at_once_us]
    assert measured_us(server, rounds=2) == pytest.approx(expected)
