"""Writes what a run has found: JSON for programs, Markdown for people."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from harness.cases import Case
from harness.faults import Values
from harness.goals import goals_table, summary_table
from harness.measure import CaseResult
from harness.robustness import Effort, robustness_table
from harness.tables import Table, case_table


@dataclass
class Run:
    """Everything one run has found."""

    environment: dict
    rounds: int
    seconds: float
    not_storable: str | None = None  # why the figures belong to no commit
    cases: dict[str, Case] = field(default_factory=dict)
    results: dict[str, CaseResult] = field(default_factory=dict)
    robustness: dict[str, Values] = field(default_factory=dict)
    effort: Effort | None = None  # of the robustness
    skipped: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def summary_tables(self) -> list[Table]:
        """The tables that only make sense at the end."""
        tables = []
        if self.effort:
            tables.append(robustness_table(self.robustness, self.effort))
        tables += [summary_table(self.results), goals_table(self.results)]
        return [table for table in tables if table.rows]

    def as_dict(self) -> dict:
        results = {
            name: {impl: result.as_dict() for impl, result in measured.items()}
            for name, measured in self.results.items()
        }
        return {
            "environment": self.environment,
            "not_storable": self.not_storable,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "cases": {name: case.title for name, case in self.cases.items()},
            "results": results,
            "robustness": self.robustness,
            "skipped": self.skipped,
            "errors": self.errors,
        }

    def to_markdown(self) -> str:
        where = [f"- {name}: {value}" for name, value in self.environment.items()]
        notes = [f"- {line}" for line in (*self.skipped, *self.errors)]
        if self.not_storable:
            notes.insert(0, f"- **Not to be published**: {self.not_storable}.")
        tables = self.summary_tables()
        tables += [case_table(self.cases[name], found) for name, found in self.results.items()]
        head = (
            f"# Benchmark results\n\nMedians of {self.rounds} interleaved rounds of "
            f"{self.seconds:g} s; ratios are taken within a round and shown with half their "
            'range over the rounds ("none": the rounds do not agree on a difference). Spread: '
            "half the range of what stands before it. Client busy near 100 %: the client was "
            "the limit, so compare CPU per request. How to read it: benchmarks/README.md.\n"
        )
        parts = [head, "\n".join(where) + "\n", "\n".join(notes) + "\n" if notes else ""]
        return "\n".join([*filter(None, parts), *(table.to_markdown() for table in tables)])

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps(self.as_dict(), indent=1) + "\n")
        (folder / "results.md").write_text(self.to_markdown())
