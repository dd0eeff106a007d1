"""Guards the speed of a release: CPU per request as a ratio to the standard module.

``python benchmarks/guard.py`` compares with the ratios in ``guard.json`` and
exits with 1 if one got worse; ``--update`` stores the present ones, under the
commit that they were made of. ``--check`` measures nothing: it says whether the
stored ones were made of the sources that are here. Ratios, not times: both
sides run in turns on the same machine, so it may be any machine.

Here the best round of each side counts, not the median: whatever disturbs a
machine only adds CPU time, and over nine rounds the ratio of the least stays
within a few percent where that of the medians moves by twenty.
"""

from __future__ import annotations

import argparse
import json
import sys

from rich.console import Console

from harness.cases import BOTH, Case, all_cases
from harness.console import make_console, make_progress
from harness.environment import environment
from harness.errors import MeasurementError
from harness.implementations import OURS, STANDARD, why_missing
from harness.measure import measure_case
from harness.native import BENCHMARKS
from harness.provenance import OUR_CHECKOUT, SAME_SOURCES, why_not_storable
from harness.tables import Table, percent, times

STORED = BENCHMARKS / "guard.json"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
CASES = (
    "crc_inline_16",
    "crc_threaded_16",
    "crc_streams_16",
    "crc_forking_16",
    "line_echo_50",
    "payload_echo_10k",
    "udp_32",
    "udp_threaded_32",
    "http_keep_nodelay_16",  # with Nagle the standard module mostly waits
    "http_close_16",
)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="store the present ratios")
    parser.add_argument("--check", action="store_true", help="are they of these sources?")
    parser.add_argument("--tolerance", type=float, default=0.10, help="0.10: 10 %% worse")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.4, help="of each round")
    return parser.parse_args()


def measure_ratio(case: Case, options: argparse.Namespace) -> float:
    """Least CPU per request, ours to the standard module's."""
    results = measure_case(case, list(BOTH), options.rounds, options.seconds)
    for impl, result in results.items():
        if result.error:
            raise MeasurementError(f"{case.name}, {impl}: {result.error}")
    return results[OURS].least("cpu_us") / results[STANDARD].least("cpu_us")


def is_worse(ratio: float, stored: float | None, tolerance: float) -> bool:
    return stored is not None and ratio > stored * (1 + tolerance)


def measure_all(
    console: Console, options: argparse.Namespace, stored: dict[str, float]
) -> dict[str, float]:
    """All ratios; one that is worse is measured again, and the better one counts."""
    cases = [case for case in all_cases() if case.name in CASES]
    ratios = {}
    with make_progress(console) as progress:
        task = progress.add_task("", total=len(cases))
        for case in cases:
            progress.update(task, description=case.name)
            ratio = measure_ratio(case, options)
            if is_worse(ratio, stored.get(case.name), options.tolerance):
                ratio = min(ratio, measure_ratio(case, options))
            ratios[case.name] = ratio
            progress.advance(task)
    return ratios


def guard_table(
    ratios: dict[str, float], stored: dict[str, float], tolerance: float, origin: str
) -> Table:
    rows = []
    for name, ratio in ratios.items():
        before = stored.get(name)
        change = None if before is None else ratio / before - 1
        verdict = "WORSE" if is_worse(ratio, before, tolerance) else "ok"
        row = [name, times(before), times(ratio), percent(change)]
        rows.append([*row, "new" if before is None else verdict])
    title = f"CPU per request, {OURS} to {STANDARD}, Python {PYTHON}; stored: {origin}"
    return Table(title, ["", "stored", "now", "change", ""], rows)


def read_stored() -> dict:
    return json.loads(STORED.read_text()) if STORED.exists() else {}


def describe_origin(entry: dict) -> str:
    """The commit that ratios were made of, and how it compares with what is here."""
    if not entry:
        return "nothing"
    commit = entry["origin"]["commit"]
    return f"commit {commit[:12]}, {OUR_CHECKOUT.since(commit)}"


def check_origins(console: Console, everything: dict) -> int:
    """1 unless all that is stored was made of the sources that are here."""
    origins = {python: describe_origin(entry) for python, entry in everything.items()}
    for python, origin in origins.items():
        console.print(f"Python {python}: {origin}")
    return 0 if all(origin.endswith(SAME_SOURCES) for origin in origins.values()) else 1


def store(everything: dict, ratios: dict[str, float]) -> None:
    """Replace this Python's ratios; those of other versions stay."""
    known = environment()
    origin = {name: known[name] for name in ("commit", "time", "cpu", "kernel")}
    rounded = {name: round(ratio, 3) for name, ratio in ratios.items()}
    everything[PYTHON] = {"origin": origin, "ratios": rounded}
    STORED.write_text(json.dumps(everything, indent=2, sort_keys=True) + "\n")


def main() -> int:
    options = parse_options()
    console = make_console()
    if missing := why_missing(OURS):
        console.print(missing)
        return 1
    everything = read_stored()
    if options.check:
        return check_origins(console, everything)
    stored = everything.get(PYTHON, {}).get("ratios", {})
    if not stored and not options.update:
        console.print(f"Nothing is stored for Python {PYTHON}: run with --update first.")
        return 1
    commit = OUR_CHECKOUT.commit()
    if options.update and (reason := why_not_storable()):
        console.print(f"--update: {reason}")
        return 1
    try:
        ratios = measure_all(console, options, {} if options.update else stored)
    except MeasurementError as error:
        console.print(f"[bold red]No figure:[/] {error}")
        return 1
    origin = describe_origin(everything.get(PYTHON, {}))
    table = guard_table(ratios, stored, options.tolerance, origin)
    console.print(table.to_rich(console.width))
    if options.update:
        if OUR_CHECKOUT.commit() != commit:
            console.print("--update: the checkout has changed meanwhile; nothing is stored.")
            return 1
        store(everything, ratios)
        return 0
    worse = [
        name for name in ratios if is_worse(ratios[name], stored.get(name), options.tolerance)
    ]
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
