"""Stopping, resting, bursts and exhaustion, the standard module beside ours.

``python benchmarks/robustness.py [--cycles N]``; `run.py` includes the same.
"""

from __future__ import annotations

import argparse
import sys

from harness.console import make_console
from harness.implementations import OURS, STANDARD, why_missing
from harness.robustness import measure_robustness, robustness_table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=100, help="start/stop cycles of each")
    options = parser.parse_args()
    console = make_console()
    missing = why_missing(OURS)
    if missing:
        console.print(missing)
    impls = [STANDARD] if missing else [STANDARD, OURS]
    cycles = dict.fromkeys(impls, options.cycles)
    with console.status("") as status:
        values, errors = measure_robustness(cycles, status.update)
    console.print(robustness_table(values, cycles).to_rich(console.width))
    for error in errors:
        console.print(f"[red]No figure: {error}[/]")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
