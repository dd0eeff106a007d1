"""What importing costs, and what each request costs a forking server's parent.

``python benchmarks/footprint.py`` (a minute): whole interpreters that import the
standard module or ours, and page faults and CPU of forking servers that have
imported nothing else. Exit status 1 if anything gave no figure.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from harness.console import make_console
from harness.errors import MeasurementError
from harness.footprint import (
    FORKING_COSTS,
    IMPORT_COSTS,
    Cost,
    Series,
    measure_forking,
    measure_imports,
)
from harness.implementations import OURS, STANDARD, why_missing
from harness.measure import Ratio
from harness.native import program
from harness.tables import Table, number, times_between


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=41, help="of each interpreter")
    parser.add_argument("--rounds", type=int, default=9, help="of the forking servers")
    parser.add_argument("--seconds", type=float, default=0.8, help="of each round")
    return parser.parse_args()


def cost_table(title: str, found: Series, costs: dict[str, Cost]) -> Table:
    """Medians, ours to the standard module's, and the goal where there is one."""
    rows = []
    for metric, cost in costs.items():
        ratio = Ratio.of(found[OURS][metric], found[STANDARD][metric])
        medians = [number(statistics.median(values[metric])) for values in found.values()]
        goal, met = "-", "-"
        if cost.limit is not None:
            goal = f"<= {cost.limit:g}x"
            met = "yes" if ratio.median <= cost.limit else "NO"
        rows.append([cost.title, *medians, times_between(ratio), goal, met])
    return Table(title, ["", *found, "ratio", "goal", "met"], rows)


def main() -> int:
    options = parse_options()
    console = make_console()
    if missing := why_missing(OURS):
        console.print(missing)
        return 1
    program("load")
    try:
        with console.status("importing"):
            imports = measure_imports(options.starts)
        title = f"Interpreters that import, whole processes, medians of {options.starts}"
        console.print(cost_table(title, imports, IMPORT_COSTS).to_rich(console.width))
        with console.status("forking"):
            forking = measure_forking(options.rounds, options.seconds)
    except MeasurementError as error:
        console.print(f"[bold red]No figure:[/] {error}")
        return 1
    title = f"ForkingTCPServer, fresh processes, medians of {options.rounds} rounds in turns"
    console.print(cost_table(title, forking, FORKING_COSTS).to_rich(console.width))
    return 0


if __name__ == "__main__":
    sys.exit(main())
