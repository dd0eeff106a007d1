"""Measures real, unmodified programs with `python` and `python -m fastsocketserver`.

``python benchmarks/programs.py`` (under five minutes) writes `programs.json` and
`programs.md` to the results; ``--write-docs`` puts the tables into
docs/unmodified-programs.md, too. Programs from PyPI that are not installed are
left out, with a line that says so. Exit status 1 if anything gave no figure
because of an error.
"""

from __future__ import annotations

import argparse
import fnmatch
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from harness.console import make_console, make_progress
from harness.cpus import SHARED
from harness.environment import environment
from harness.errors import MeasurementError
from harness.native import BENCHMARKS, program
from harness.program_cases import ProgramCase, make_files, program_cases
from harness.program_measure import Effort, measure_program, measure_start_ups
from harness.program_process import environment as program_environment
from harness.program_report import ProgramRun, write_docs
from harness.provenance import OUR_CHECKOUT

DOCS = BENCHMARKS.parent / "docs" / "unmodified-programs.md"
REQUIREMENTS = "tests/programs/requirements.txt"


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", metavar="PATTERNS", default="*", help="comma-separated")
    parser.add_argument("--python", default=sys.executable, help="that runs the programs")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.8, help="of each round")
    parser.add_argument("--stops", type=int, default=10, help="of each program")
    parser.add_argument("--starts", type=int, default=21, help="of each command")
    parser.add_argument("--output", type=Path, default=BENCHMARKS / "results", metavar="DIR")
    parser.add_argument("--write-docs", action="store_true", help=f"write into {DOCS.name}")
    parser.add_argument("--list", action="store_true", help="name the programs and stop")
    options = parser.parse_args()
    names = [case.name for case in program_cases()]
    for pattern in options.programs.split(","):
        if not fnmatch.filter(names, pattern):
            parser.error(f"--programs: no program matches {pattern!r} (see --list)")
    return options


def effort_of(options: argparse.Namespace) -> Effort:
    return Effort(**{field.name: getattr(options, field.name) for field in fields(Effort)})


def ask_python(python: str, text: str) -> str | None:
    """What the Python of the programs prints; None if it fails."""
    done = subprocess.run(
        [python, "-c", text], env=program_environment(), capture_output=True, text=True
    )
    return done.stdout.strip() if done.returncode == 0 else None


def why_not_storable(python: str) -> str | None:
    """None if the figures may go into the documentation, else one line that says why not."""
    found = ask_python(python, "import fastsocketserver; print(fastsocketserver.__file__)")
    return OUR_CHECKOUT.why_not_storable(Path(found).parent)


def version_of(case: ProgramCase, python: str) -> str | None:
    """The installed version of a program from PyPI, if it can be imported."""
    version = f"importlib.metadata.version({case.distribution!r})"
    return ask_python(python, f"import {case.module}, importlib.metadata; print({version})")


def choose(options: argparse.Namespace, run: ProgramRun) -> list[ProgramCase]:
    """The programs to measure; what is missing is noted."""
    chosen = []
    for case in program_cases():
        if not any(fnmatch.fnmatch(case.name, one) for one in options.programs.split(",")):
            continue
        if case.distribution:
            version = version_of(case, options.python)
            if version is None:
                run.skipped.append(
                    f"{case.distribution} is not installed; to install: "
                    f"python -m pip install -r {REQUIREMENTS}"
                )
                continue
            run.versions[case.distribution] = version
        chosen.append(case)
    return chosen


def measure(console, options: argparse.Namespace, run: ProgramRun) -> None:
    """Program by program, then the start-up."""
    cases = choose(options, run)
    for line in run.skipped:
        console.print(f"[yellow]{line}[/]")
    with make_progress(console) as progress:
        steps = sum(2 * (options.rounds + 1) + (not case.shares_stop) for case in cases)
        task = progress.add_task("", total=steps + 1)
        for case in cases:

            def on_step(step: str, name: str = case.name) -> None:
                progress.update(task, advance=1, description=f"{name}: {step}")

            run.add(case, measure_program(case, run.effort, on_step))
        progress.update(task, advance=1, description="start-up")
        try:
            run.start_ups_ms = measure_start_ups(run.effort)
        except MeasurementError as error:
            run.errors.append(str(error))


def main() -> int:
    options = parse_options()
    console = make_console()
    if options.list:
        for case in program_cases():
            console.print(f"{case.name:18} {case.title}")
        return 0
    python_version = ask_python(
        options.python, "import fastsocketserver, platform; print(platform.python_version())"
    )
    if python_version is None:
        console.print(f"fastsocketserver cannot be imported by {options.python}")
        return 1
    not_storable = why_not_storable(options.python)
    if options.write_docs and not_storable:
        console.print(f"--write-docs: {not_storable}")
        return 1
    if SHARED:
        console.print("[yellow]Only one CPU: the client takes time from the server.[/]")
    program("load")
    make_files()
    where = {**environment(), "python": python_version}
    run = ProgramRun(where, effort_of(options), not_storable)
    measure(console, options, run)
    for table in run.tables():
        console.print(table.to_rich(console.width))
    run.write(options.output)
    console.print(f"Results: {options.output}/programs.md and programs.json")
    for error in run.errors:
        console.print(f"[bold red]No figure:[/] {error}")
    if options.write_docs and where["commit"] != OUR_CHECKOUT.commit():
        console.print("--write-docs: the checkout has changed meanwhile; nothing is written.")
        return 1
    if options.write_docs and not run.errors:
        write_docs(DOCS, run)
        console.print(f"Written into {DOCS}")
    return 1 if run.errors else 0


if __name__ == "__main__":
    sys.exit(main())
