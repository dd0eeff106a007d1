"""What importing costs, and what a forking server's parent pays for each request.

A fork copies the page tables, and each page that parent or child writes to
afterwards costs a fault and a copy. So a forking server pays for what is
imported, and for what its bookkeeping touches between two forks: both show in
the parent's page faults, which are far steadier than its time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

from harness import kernel_view
from harness.bare_process import BareProcess, start_replies
from harness.cpus import SERVER_CPU, starting_on
from harness.errors import MeasurementError
from harness.implementations import IMPLEMENTATIONS, OURS, STANDARD
from harness.load_process import Load, LoadProcess

CLIENTS = 16
BACKLOG = 1024
WARM_UP_S = 0.3
SETTLE_S = 0.6  # the standard module reaps each 0.5 s
NOTHING = "nothing"

Series = dict[str, dict[str, list[float]]]  # by who, by metric: a value per round


@dataclass(frozen=True)
class Cost:
    """One line of a table."""

    title: str
    limit: float | None = None  # of the ratio to the standard module


IMPORT_COSTS = {
    "elapsed_ms": Cost("elapsed, ms"),
    "cpu_ms": Cost("CPU, ms"),
    "faults": Cost("page faults"),
    "modules": Cost("modules in sys.modules"),
}
FORKING_COSTS = {
    "rate": Cost("requests/s"),
    "cpu_us": Cost("CPU per request, parent and child, us", 1.03),
    "parent_cpu_us": Cost("CPU per request, parent alone, us"),
    "parent_faults": Cost("page faults per request, parent"),
    "child_faults": Cost("page faults per request, child"),
}


def _series(names: list[str], costs: dict[str, Cost]) -> Series:
    return {name: {metric: [] for metric in costs} for name in names}


def _import_line(name: str) -> str:
    statement = "pass" if name == NOTHING else f"import {IMPLEMENTATIONS[name].module}"
    return f"{statement}\nimport sys\nprint(len(sys.modules))"


def _timed_import(name: str) -> dict[str, float]:
    """A whole process, from its start to its end."""
    environment = IMPLEMENTATIONS[STANDARD].process_environment()
    with starting_on(SERVER_CPU):
        begin_s = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", _import_line(name)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process.stdout:
            modules = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        elapsed_s = time.perf_counter() - begin_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise MeasurementError(f"importing {name} failed")
    return {
        "elapsed_ms": elapsed_s * 1e3,
        "cpu_ms": (used.ru_utime + used.ru_stime) * 1e3,
        "faults": used.ru_minflt,
        "modules": int(modules),
    }


def measure_imports(starts: int) -> Series:
    """Interpreters that import nothing, the standard module or ours, in turns."""
    names = [NOTHING, STANDARD, OURS]
    found = _series(names, IMPORT_COSTS)
    for number in range(-1, starts):  # -1: what reads the files from the disk
        for name in names:
            used = _timed_import(name)
            if number >= 0:
                for metric, value in used.items():
                    found[name][metric].append(value)
    return found


@dataclass(frozen=True)
class _Look:
    """What a forking server had used at one moment."""

    parent_s: float
    children_s: float
    parent_faults: int
    child_faults: int

    @classmethod
    def at(cls, server: BareProcess) -> _Look:
        pid = server.pid
        return cls(
            server.cpu_s(),
            kernel_view.reaped_cpu_s(pid),
            kernel_view.minor_faults(pid),
            kernel_view.reaped_minor_faults(pid),
        )


def _forking_round(server: BareProcess, seconds: float) -> dict[str, float]:
    with LoadProcess(Load("crc", CLIENTS), server.announced["port"], seconds) as load:
        before = _Look.at(server)
        load.begin()
        result = load.result()
        time.sleep(SETTLE_S)
        after = _Look.at(server)
    if complaints := server.complaints():
        raise MeasurementError(f"the server complains: {complaints[0]}")
    requests = result["requests"]
    parent_s = after.parent_s - before.parent_s
    return {
        "rate": result["rate"],
        "cpu_us": (parent_s + after.children_s - before.children_s) / requests * 1e6,
        "parent_cpu_us": parent_s / requests * 1e6,
        "parent_faults": (after.parent_faults - before.parent_faults) / requests,
        "child_faults": (after.child_faults - before.child_faults) / requests,
    }


def measure_forking(rounds: int, seconds: float) -> Series:
    """Connect-reply-close on forking servers, fresh processes, in turns."""
    impls = [STANDARD, OURS]
    found = _series(impls, FORKING_COSTS)
    with ExitStack() as stack:
        servers = {
            impl: stack.enter_context(start_replies(impl, "ForkingTCPServer", BACKLOG))
            for impl in impls
        }
        for server in servers.values():
            server.tell("serve")
            _forking_round(server, WARM_UP_S)
        for number in range(rounds):
            for impl in impls if number % 2 else impls[::-1]:
                for metric, value in _forking_round(servers[impl], seconds).items():
                    found[impl][metric].append(value)
    return found
