"""One table, shown on the terminal by rich and written as Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from harness.cases import Case
from harness.implementations import STANDARD
from harness.measure import CaseResult, ImplResult, Ratio


@dataclass(frozen=True)
class Table:
    """Cells are text; the first column is left-aligned, the others right."""

    title: str
    columns: list[str]
    rows: list[list[str]]

    def to_rich(self, width: int = 80):
        """For the terminal: as many columns, from the left, as `width` has room for."""
        from rich.table import Table as RichTable

        fitting = self._fitting_columns(width)
        table = RichTable(title=self.title, title_justify="left")
        for index, column in enumerate(self.columns[:fitting]):
            table.add_column(column, justify="right" if index else "left")
        for row in self.rows:
            table.add_row(*row[:fitting])
        return table

    def _fitting_columns(self, width: int) -> int:
        used = 1
        for index, column in enumerate(self.columns):
            cells = [row[index] for row in self.rows]
            used += max(map(len, (column, *cells))) + 3  # two spaces and a border
            if used > width:
                return max(index, 4)
        return len(self.columns)

    def to_markdown(self) -> str:
        align = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = [self.columns, align, *self.rows]
        body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"### {self.title}\n\n{body}\n"


def number(value: float | None) -> str:
    """Three significant digits at least, thousands separated."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def times_between(ratio: Ratio | None) -> str:
    """With its spread; "none" where the rounds do not agree on a difference."""
    if ratio is None or ratio.is_noise:
        return "-" if ratio is None else "none"
    spread = f" ±{ratio.spread:.2f}" if ratio.spread >= 0.005 else ""
    return times(ratio.median) + spread


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.0f} %"


NOISY_CPUS = 0.1  # an idle machine shows about 0.02
CASE_COLUMNS = [
    "",
    "requests/s",
    "to std",
    "spread",
    "CPU us/req",
    "to std",
    "spread",
    "p50 us",
    "p99 us",
    "p99.9 us",
    "switches/req",
    "peak MiB",
    "client busy",
]


def _row(impl: str, result: ImplResult, standard: ImplResult | None) -> list[str]:
    if result.error:
        return [impl, "FAILED", *[""] * (len(CASE_COLUMNS) - 2)]
    return [
        impl,
        number(result.median("rate")),
        times_between(result.ratio("rate", standard)),
        percent(result.spread("rate")),
        number(result.median("cpu_us")),
        times_between(result.ratio("cpu_us", standard)),
        percent(result.spread("cpu_us")),
        number(result.median("p50_us")),
        number(result.median("p99_us")),
        number(result.median("p999_us")),
        number(result.median("switches")),
        number(result.median("peak_rss_mib")),
        percent(result.median("client_busy")),
    ]


def case_table(case: Case, results: CaseResult) -> Table:
    """All implementations of one case."""
    standard = results.get(STANDARD)
    rows = [_row(impl, result, standard) for impl, result in results.items()]
    return Table(f"{case.title} ({case.name}){_remarks(results)}", CASE_COLUMNS, rows)


def _remarks(results: CaseResult) -> str:
    """For the title: what makes these figures worth less."""
    remarks = ""
    known = [result.median("foreign_cpus") for result in results.values()]
    foreign_cpus = max((cpus for cpus in known if cpus is not None), default=0)
    if foreign_cpus >= NOISY_CPUS:
        remarks += f" - NOISY: other work took {foreign_cpus:.1f} CPUs"
    resent = sum(round_.resent for result in results.values() for round_ in result.rounds)
    if resent:
        remarks += f" - {resent} datagrams lost and sent again"
    return remarks
