"""Which tests of CPython's own suites take longer with us than with the standard module.

    PYTHONPATH=src python tests/stdlib_suites/compare_durations.py [--runs 3] [MODULE ...]

A lost wake-up or a missed signal may pass a test and show in nothing but the time it takes: a
wait ends by its time limit instead. Each suite runs several times in each mode, in turns; the
shortest time of each test counts, and differences above a twentieth of a second are printed.
For people to judge: no test of ours depends on it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from stdlib_suites.run_suite import MODES
from stdlib_suites.test_cpython_suites import SUITES, Suite, missing, run_once

NOTABLE_S = 0.05


def shortest(suite: Suite, runs: int, package: Path) -> dict[str, dict[str, float]]:
    """For each mode, the shortest time of each test in seconds."""
    times: dict[str, dict[str, float]] = {mode: {} for mode in MODES}
    with tempfile.TemporaryDirectory() as directory:
        for number in range(runs):
            for mode, found in times.items():
                result = run_once(suite, mode, Path(directory) / f"{mode}-{number}", package)
                for name, seconds in result["seconds"].items():
                    found[name] = min(seconds, found.get(name, seconds))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    package = Path(importlib.import_module("fastsocketserver").__file__).parents[1]
    for suite in SUITES:
        if missing(suite) or (options.modules and suite.module not in options.modules):
            continue
        times = shortest(suite, options.runs, package)
        sums = {mode: sum(found.values()) for mode, found in times.items()}
        print(suite.module, *(f"{mode} {total:.2f} s" for mode, total in sums.items()))
        for name, plain in times["plain"].items():
            for mode in ("ours", "graft"):
                seconds = times[mode].get(name, plain)
                if seconds > plain + NOTABLE_S:
                    print(f"    {name}: {plain:.2f} s, {mode} {seconds:.2f} s")


if __name__ == "__main__":
    main()
