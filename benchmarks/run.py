"""Measures the standard module, ours and their peers, interleaved in one run.

``python benchmarks/run.py --quick`` (three minutes) or without it (twenty).
Exit status 1 if anything gave no figure because of an error.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from harness import wrk
from harness.cases import Case, all_cases
from harness.console import make_console, make_progress
from harness.cpus import SHARED
from harness.environment import environment
from harness.implementations import OURS, STANDARD, add_baseline, why_missing
from harness.measure import measure_case
from harness.native import BENCHMARKS
from harness.provenance import why_not_storable
from harness.report import Run
from harness.robustness import Effort, measure_robustness
from harness.tables import case_table

QUICK_CYCLES = {STANDARD: 20, OURS: 100}  # the standard module takes 0.5 s for each
FULL_CYCLES = {STANDARD: 100, OURS: 100}
QUICK_EFFORT = Effort(QUICK_CYCLES, interrupts=400, requests=4000, flood_s=1.0)
ROBUSTNESS = "robustness"


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="main cases, ours and standard")
    parser.add_argument(
        "--cases",
        metavar="PATTERNS",
        help=f"comma-separated, such as 'crc_*,udp_32'; also '{ROBUSTNESS}'",
    )
    parser.add_argument("--impls", metavar="NAMES", help="only these, comma-separated")
    parser.add_argument("--baseline", metavar="DIR", help="another build of ours to compare")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.8, help="of each round")
    parser.add_argument("--output", type=Path, default=BENCHMARKS / "results", metavar="DIR")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    options = parser.parse_args()
    refuse_unknown(parser, options)
    return options


def refuse_unknown(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """A misspelt name would leave something out in silence."""
    cases = all_cases()
    known = sorted({impl for case in cases for impl in case.impls})
    for impl in (options.impls or "").split(","):
        if impl and impl not in known:
            parser.error(f"--impls: {impl!r} is none of {', '.join(known)}")
    names = [*(case.name for case in cases), ROBUSTNESS]
    for pattern in (options.cases or "").split(","):
        if pattern and not fnmatch.filter(names, pattern):
            parser.error(f"--cases: no case matches {pattern!r} (see --list)")


def is_wanted(name: str, options: argparse.Namespace) -> bool:
    patterns = (options.cases or "*").split(",")
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def wanted_cases(options: argparse.Namespace, run: Run) -> list[Case]:
    """The cases to measure; a missing wrk is noted once."""
    cases = [
        case
        for case in all_cases()
        if is_wanted(case.name, options) and (case.quick or options.cases or not options.quick)
    ]
    if any(case.client == "wrk" for case in cases) and not wrk.is_installed():
        run.skipped.append(wrk.MISSING)
        cases = [case for case in cases if case.client != "wrk"]
    return cases


def wanted_impls(case: Case, options: argparse.Namespace, run: Run) -> list[str]:
    """Who takes part in a case; one that is missing is noted once."""
    impls = [STANDARD, OURS] if options.quick and not options.impls else list(case.impls)
    if options.impls:
        impls = [impl for impl in impls if impl in options.impls.split(",")]
    if options.baseline:
        impls.append(add_baseline(options.baseline))
    missing = {impl: why_missing(impl) for impl in impls}
    run.skipped += [line for line in missing.values() if line and line not in run.skipped]
    return [impl for impl in impls if not missing[impl]]


def measure_cases(console: Console, options: argparse.Namespace, run: Run) -> None:
    """Measure case by case; each one's table is shown as soon as it is there."""
    plan = [(case, wanted_impls(case, options, run)) for case in wanted_cases(options, run)]
    for line in run.skipped:
        console.print(f"[yellow]{line}[/]")
    with make_progress(console) as progress:
        steps = sum(len(impls) for _, impls in plan) * (options.rounds + 1)
        task = progress.add_task("", total=steps)
        for case, impls in plan:
            if not impls:
                continue

            def on_step(impl: str, name: str = case.name) -> None:
                progress.update(task, advance=1, description=f"{name}: {impl}")

            results = measure_case(case, impls, options.rounds, options.seconds, on_step)
            run.cases[case.name], run.results[case.name] = case, results
            run.errors += [
                f"{case.name}, {impl}: {result.error}"
                for impl, result in results.items()
                if result.error
            ]
            progress.print(case_table(case, results).to_rich(console.width))


def measure_robust(console: Console, options: argparse.Namespace, run: Run) -> None:
    effort = QUICK_EFFORT if options.quick else Effort(FULL_CYCLES)
    present = {impl: count for impl, count in effort.cycles.items() if not why_missing(impl)}
    run.effort = replace(effort, cycles=present)
    with console.status("") as status:
        run.robustness, errors = measure_robustness(run.effort, status.update)
    run.errors += errors


def draw_charts(console: Console, options: argparse.Namespace, run: Run) -> None:
    try:
        from harness import charts
    except ImportError:
        install = f"{sys.executable} -m pip install matplotlib"
        console.print(f"[yellow]No charts (no matplotlib); to install: {install}[/]")
        return
    for path in charts.draw(run, options.output):
        console.print(f"Chart: {path}")


def main() -> int:
    options = parse_options()
    console = make_console()
    if options.list:
        for case in all_cases():
            console.print(f"{case.name:24} {case.title}")
        return 0
    run = Run(environment(), options.rounds, options.seconds, not_storable=why_not_storable())
    if SHARED:
        console.print("[yellow]Only one CPU: the client takes time from the server.[/]")
    measure_cases(console, options, run)
    if is_wanted(ROBUSTNESS, options):
        measure_robust(console, options, run)
    for table in run.summary_tables():
        console.print(table.to_rich(console.width))
    run.write(options.output)
    draw_charts(console, options, run)
    console.print(f"Results: {options.output}/results.md and results.json")
    if run.not_storable:
        console.print(f"[yellow]Not to be published:[/] {run.not_storable}")
    for error in run.errors:
        console.print(f"[bold red]No figure:[/] {error}")
    return 1 if run.errors else 0


if __name__ == "__main__":
    sys.exit(main())
