"""A real `http.server` with and without fastsocketserver, side by side under load.

``python benchmarks/demo.py``: about a minute; needs `rich` and a C compiler.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from harness.cases import Case, all_cases
from harness.console import make_console, make_progress
from harness.cpus import CLIENT_CPU, SERVER_CPU, SHARED
from harness.errors import MeasurementError
from harness.implementations import OURS, STANDARD, why_missing
from harness.lifecycle import Lifecycle, measure_cycles
from harness.measure import CaseResult, measure_case
from harness.native import program
from harness.tables import Table, number, times_between

GROUPS = {
    "http_keep_16": "HTTP/1.1 keep-alive",
    "http_keep_nodelay_16": "the same, TCP_NODELAY on both",
    "http_close_16": "Connection: close",
}
METRICS = (
    ("requests/s", "rate"),
    ("server CPU per request, us", "cpu_us"),
    ("p50 latency, us", "p50_us"),
    ("p99 latency, us", "p99_us"),
)
SHUTDOWN_CYCLES = 10


def measure(
    console: Console, cases: list[Case], rounds: int, seconds: float
) -> dict[str, CaseResult]:
    """All cases, with a progress bar."""
    with make_progress(console) as progress:
        task = progress.add_task("", total=len(cases) * 2 * (rounds + 1))
        results = {}
        for case in cases:

            def on_step(impl: str, case_name: str = case.name) -> None:
                progress.update(task, advance=1, description=f"{case_name}: {impl}")

            results[case.name] = measure_case(case, [STANDARD, OURS], rounds, seconds, on_step)
    return results


def measure_shutdowns() -> dict[str, Lifecycle]:
    """``shutdown()`` on idle servers, in turns."""
    return measure_cycles(dict.fromkeys((STANDARD, OURS), SHUTDOWN_CYCLES))


def case_rows(case: Case, results: CaseResult) -> list[list[str]]:
    standard, ours = results[STANDARD], results[OURS]
    for result in (standard, ours):
        if result.error:
            raise MeasurementError(f"{GROUPS[case.name]}: {result.error}")
    rows = [[f"[bold]{GROUPS[case.name]}[/]", "", "", ""]]
    for label, metric in METRICS:
        medians = number(standard.median(metric)), number(ours.median(metric))
        rows.append([f"  {label}", *medians, times_between(ours.ratio(metric, standard))])
    return rows


def shutdown_rows(shutdowns: dict[str, Lifecycle]) -> list[list[str]]:
    standard_ms, ours_ms = (shutdowns[impl].shutdown_ms(0.5) for impl in (STANDARD, OURS))
    latencies = f"{standard_ms:.2f}", f"{ours_ms:.2f}"
    row = ["  shutdown() latency, ms", *latencies, f"{ours_ms / standard_ms:.4f}x"]
    return [["[bold]an idle server[/]", "", "", ""], row]


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round")
    return parser.parse_args()


def main() -> int:
    options = parse_options()
    console = make_console()
    if missing := why_missing(OURS):
        console.print(missing)
        return 1
    console.print("Compiling the load generator ...")
    program("load")
    cpus = "one CPU for all" if SHARED else f"server on CPU {SERVER_CPU}, load on {CLIENT_CPU}"
    console.print(f"http.server.ThreadingHTTPServer with and without fastsocketserver; {cpus}.")
    cases = [case for case in all_cases() if case.name in GROUPS]
    try:
        results = measure(console, cases, options.rounds, options.seconds)
        console.print("Starting and stopping servers ...")
        rows = [row for case in cases for row in case_rows(case, results[case.name])]
        rows += shutdown_rows(measure_shutdowns())
    except MeasurementError as error:
        console.print(f"[red]No figures: {error}[/]")
        return 1
    rounds = f"medians of {options.rounds} interleaved rounds of {options.seconds:g} s"
    title = f"1 KiB pages, 16 clients; {rounds}"
    table = Table(title, ["", "standard", "fastsocketserver", "ratio"], rows)
    console.print(table.to_rich(console.width))
    console.print(
        "Keep-alive: Nagle's algorithm and delayed ACKs cost the standard server 40 ms a\n"
        "reply; the second group shows what remains when it is switched off in both."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
