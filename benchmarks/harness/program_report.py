"""What the programs have shown: JSON, Markdown, and the tables in the documentation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.measure import ImplResult
from harness.program_cases import GRAFTED, PLAIN, ProgramCase
from harness.program_measure import Effort, Milliseconds, ProgramResult, median
from harness.tables import NOISY_CPUS, Table, number, percent, times_between

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

LOAD_COLUMNS = [
    "",
    "requests/s: plain",
    "grafted",
    "ratio",
    "spread",
    "server CPU us/req: plain",
    "grafted",
    "ratio",
    "p99 / p99.9 ms: plain",
    "grafted",
]
STOP_COLUMNS = ["", "plain: median", "max", "grafted: median", "max"]


@dataclass
class ProgramRun:
    """Everything one run has found."""

    environment: dict
    effort: Effort
    not_storable: str | None = None  # why the figures belong to no commit
    versions: dict[str, str] = field(default_factory=dict)
    cases: dict[str, ProgramCase] = field(default_factory=dict)
    results: dict[str, ProgramResult] = field(default_factory=dict)
    start_ups_ms: Milliseconds = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(self, case: ProgramCase, result: ProgramResult) -> None:
        self.cases[case.name], self.results[case.name] = case, result
        self.errors += result.errors

    def tables(self) -> list[Table]:
        """Load, stop, start."""
        effort = self.effort
        rounds = f"medians of {effort.rounds} interleaved rounds of {effort.seconds:g} s"
        tables = [
            Table(
                f"Under load of {effort.clients} clients, {rounds}",
                LOAD_COLUMNS,
                [self._load_row(name) for name in self.results],
            ),
            Table(
                f"Stopping an idle server, ms, of {effort.stops}",
                STOP_COLUMNS,
                [self._stop_row(name) for name in self.results if self._has_stops(name)],
            ),
            Table(
                f"Starting and ending an interpreter, ms, of {effort.starts}",
                ["`python` ...", "median", "least"],
                [
                    [label, number(median(found)), number(min(found))]
                    for label, found in self.start_ups_ms.items()
                ],
            ),
        ]
        return [table for table in tables if table.rows]

    def to_markdown(self) -> str:
        """The tables and the notes, for the documentation too."""
        where = self.environment
        commit = where["commit"].partition("-")[0][:12]
        if self.not_storable:
            commit += f", NOT TO BE PUBLISHED ({self.not_storable})"
        packages = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        notes = [
            f"CPython {where['python']}, {where['cpu']}, Linux {where['kernel']}, "
            f"commit {commit}: "
            "`python benchmarks/programs.py`.",
            "Plain is `python`, grafted `python -m fastsocketserver`; the server has one CPU, "
            "the load another. Ratios are taken within a round and shown with half their range "
            "(none: the rounds do not agree on a difference); spread is half the range of "
            "the rates, plain / grafted. Log lines are on and go to a file. Backlogs are as "
            "each program has them, mostly the standard 5: a client that finds that full "
            "tries again a second later, which p99.9 shows, and until then leaves the plain "
            "server to fewer clients, which p99 shows.",
        ]
        if packages:
            notes.append(f"From PyPI: {packages}.")
        notes += [f"Not measured: {line}." for line in self.skipped]
        notes += [f"No figure: {line}." for line in self.errors]
        loads = [load for result in self.results.values() for load in result.load.values()]
        if any(map(is_noisy, loads)):
            notes.append("NOISY: other work used the machine meanwhile.")
        tables = [table.to_markdown() for table in self.tables()]
        return "\n".join(["\n\n".join(notes) + "\n", *tables])

    def as_dict(self) -> dict:
        results = {
            name: {
                "title": self.cases[name].title,
                "load": {impl: found.as_dict() for impl, found in result.load.items()},
                "stops_ms": result.stops_ms,
                "errors": result.errors,
            }
            for name, result in self.results.items()
        }
        return {
            "environment": self.environment,
            "not_storable": self.not_storable,
            "versions": self.versions,
            "effort": asdict(self.effort),
            "results": results,
            "start_ups_ms": self.start_ups_ms,
            "skipped": self.skipped,
            "errors": self.errors,
        }

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "programs.json").write_text(json.dumps(self.as_dict(), indent=1) + "\n")
        head = "# Unmodified programs, plain and grafted\n\n"
        (folder / "programs.md").write_text(head + self.to_markdown())

    def _load_row(self, name: str) -> list[str]:
        case, result = self.cases[name], self.results[name]
        plain, grafted = result.load[PLAIN], result.load[GRAFTED]
        if any(found.error or not found.rounds for found in (plain, grafted)):
            return [case.title, "no figure", *[""] * (len(LOAD_COLUMNS) - 2)]
        return [
            case.title + " (NOISY)" * (is_noisy(plain) or is_noisy(grafted)),
            number(plain.median("rate")),
            number(grafted.median("rate")),
            times_between(grafted.ratio("rate", plain)),
            f"{percent(plain.spread('rate'))} / {percent(grafted.spread('rate'))}",
            number(plain.median("cpu_us")),
            number(grafted.median("cpu_us")),
            times_between(grafted.ratio("cpu_us", plain)),
            _tail_ms(plain),
            _tail_ms(grafted),
        ]

    def _has_stops(self, name: str) -> bool:
        return bool(self.results[name].stops_ms)

    def _stop_row(self, name: str) -> list[str]:
        case, found = self.cases[name], self.results[name].stops_ms
        how = "its own stop" if case.stops else "SIGINT to exit"
        cells = [
            number(figure)
            for impl in (PLAIN, GRAFTED)
            for figure in (median(found[impl]), max(found[impl]))
        ]
        return [f"{case.title}: {how}", *cells]


def _tail_ms(result: ImplResult) -> str:
    return " / ".join(number(result.median(name) / 1e3) for name in ("p99_us", "p999_us"))


def is_noisy(result: ImplResult) -> bool:
    """Whether something else used the machine while this was measured."""
    return (result.median("foreign_cpus") or 0) >= NOISY_CPUS


def write_docs(path: Path, run: ProgramRun) -> None:
    """Put the tables between the markers.

    Raises: ValueError if they are not there.
    """
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no {BEGIN} ... {END}")
    block = f"{BEGIN}\n{run.to_markdown()}{END}"
    path.write_text(before + block + after)
