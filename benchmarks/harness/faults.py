"""Resting, bursts, running out of descriptors: each server a fresh process."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterable
from contextlib import ExitStack

from harness.bare_process import BareProcess, start_replies
from harness.errors import MeasurementError
from harness.kernel_view import descriptors, main_thread_switches
from harness.load_process import Load, LoadProcess

IDLE_S = 4.0
BURST_CLIENTS = 400
BURST_ROUNDS = 3
EXHAUSTED_S = 2.0
WAITING_CLIENTS = 120
BACKLOG = 1024
# What does not fit the backlog of 5 is retried by TCP after 1, 3, 7, ... s, and
# some clients of the standard server are never answered: patience ends here.
PATIENCE_S = 3.0
EXHAUSTION_LIMIT_S = 30.0
# Descriptors that stay possible when the limit is lowered: a process limit far
# above the number in use would mean opening thousands of files.
SPARE_DESCRIPTORS = 20

Values = dict[str, float]


def measure_idle(impls: Iterable[str]) -> dict[str, Values]:
    """Wake-ups of servers that nobody uses, side by side; each ends in a new sleep."""
    with ExitStack() as stack:
        servers = {
            impl: stack.enter_context(start_replies(impl, "ThreadingTCPServer"))
            for impl in impls
        }
        for server in servers.values():
            server.tell("serve")
        time.sleep(0.5)  # start-up is over
        before = {impl: main_thread_switches(server.pid) for impl, server in servers.items()}
        time.sleep(IDLE_S)
        return {
            impl: {"idle_wake_ups": main_thread_switches(server.pid) - before[impl]}
            for impl, server in servers.items()
        }


def measure_burst(impl: str) -> Values:
    """The backlog as the class has it."""
    load = Load("burst", BURST_CLIENTS, timeout_s=PATIENCE_S)
    times_s, unanswered = [], []
    with start_replies(impl, "ThreadingTCPServer") as server:
        server.tell("serve")
        for _ in range(BURST_ROUNDS):
            with LoadProcess(load, server.announced["port"], 1.0) as burst:
                burst.begin()
                result = burst.result(tolerated=frozenset({"timeout"}))
                times_s.append(result["elapsed_s"])
                unanswered.append(result["error_total"])
    return {
        "burst_s": statistics.median(times_s),
        "burst_unanswered": statistics.median(unanswered),
    }


class Exhausted:
    """A server without one free descriptor, from `__enter__` until `relieve`."""

    def __init__(self, server: BareProcess) -> None:
        self._server = server
        self._limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        in_use = max(descriptors(server.pid)) + 1
        limit = in_use + SPARE_DESCRIPTORS
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, self._limits[1]))
        if not server.tell("fill"):
            raise MeasurementError("there was no descriptor to take")

    def relieve(self) -> None:
        resource.prlimit(self._server.pid, resource.RLIMIT_NOFILE, self._limits)
        self._server.tell("relieve")


def _clients(server: BareProcess) -> LoadProcess:
    load = Load("burst", WAITING_CLIENTS, timeout_s=EXHAUSTION_LIMIT_S)
    return LoadProcess(load, server.announced["port"], 1.0)


def _cpu_percent(server: BareProcess) -> float:
    before_s, begin_s = server.cpu_s(), time.monotonic()
    time.sleep(EXHAUSTED_S)
    return (server.cpu_s() - before_s) / (time.monotonic() - begin_s) * 100


def _recovery_s(server: BareProcess, exhausted: Exhausted, burst: LoadProcess) -> float:
    relieved_s = time.monotonic()
    exhausted.relieve()
    try:
        burst.result()
    except MeasurementError as error:
        raise MeasurementError(f"{error}; server: {server.last_error_line()}") from error
    return time.monotonic() - relieved_s


def measure_exhaustion(impl: str) -> Values:
    """Clients wait in the backlog while `accept` finds no descriptor."""
    with (
        start_replies(impl, "ThreadingTCPServer", BACKLOG) as server,
        _clients(server) as burst,
    ):
        server.tell("serve")
        exhausted = Exhausted(server)
        burst.begin()
        time.sleep(0.3)
        cpu_percent = _cpu_percent(server)
        recovery_s = _recovery_s(server, exhausted, burst)
        return {
            "exhausted_cpu_percent": cpu_percent,
            "recovery_s": recovery_s,
            "exhausted_imports": len(server.imported_since()),
        }


def measure_exhausted_start(impl: str) -> Values:
    """The descriptors are gone before it serves: it has nothing to poll with."""
    with (
        start_replies(impl, "ThreadingTCPServer", BACKLOG) as server,
        _clients(server) as burst,
    ):
        exhausted = Exhausted(server)
        server.tell("serve")
        burst.begin()
        time.sleep(0.3)
        cpu_percent = _cpu_percent(server)
        recovery_s = _recovery_s(server, exhausted, burst)
    return {"unpolled_cpu_percent": cpu_percent, "unpolled_recovery_s": recovery_s}


def measure_exhausted_stop(impl: str) -> Values:
    """The same, but nothing is given back: `shutdown()` must work."""
    with start_replies(impl, "ThreadingTCPServer", BACKLOG) as server:
        Exhausted(server)
        server.tell("serve")
        time.sleep(0.3)
        return {"unpolled_shutdown_ms": server.tell("shutdown") * 1e3}
