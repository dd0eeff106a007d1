"""Stopping, resting, bursts, faults, interrupts, floods: the standard module beside ours.

``python benchmarks/robustness.py``: every server in a fresh process that has
imported nothing else. ``--only 'interrupted*'`` measures a part of it; `run.py`
includes the same.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys

from harness.console import make_console
from harness.implementations import OURS, STANDARD, why_missing
from harness.native import program
from harness.robustness import (
    Effort,
    measure_robustness,
    measurement_names,
    robustness_table,
)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="PATTERN", default="*", help="see --list")
    parser.add_argument("--cycles", type=int, default=100, help="start/stop cycles of each")
    parser.add_argument("--interrupts", type=int, default=10_000, help="while accepting")
    parser.add_argument("--requests", type=int, default=20_000, help="on a shared listener")
    parser.add_argument("--list", action="store_true", help="name what is measured and stop")
    options = parser.parse_args()
    if not fnmatch.filter(measurement_names(), options.only):
        parser.error(f"--only: nothing matches {options.only!r} (see --list)")
    return options


def main() -> int:
    options = parse_options()
    console = make_console()
    if options.list:
        for name in measurement_names():
            console.print(name)
        return 0
    missing = why_missing(OURS)
    if missing:
        console.print(missing)
    impls = [STANDARD] if missing else [STANDARD, OURS]
    program("load")
    effort = Effort(dict.fromkeys(impls, options.cycles), options.interrupts, options.requests)
    with console.status("") as status:
        values, errors = measure_robustness(effort, status.update, options.only)
    console.print(robustness_table(values, effort).to_rich(console.width))
    for error in errors:
        console.print(f"[red]No figure: {error}[/]")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
