"""The throughput the project aims at, as ratios within one run."""

from __future__ import annotations

from dataclasses import dataclass

from harness.implementations import OURS, STANDARD
from harness.measure import CaseResult, Ratio
from harness.tables import Table, times_between

NOISE = 0.05  # differences below are not called slower
LABELS = {"rate": "requests/s", "cpu_us": "CPU per request"}


@dataclass(frozen=True)
class Goal:
    """Ours / `against` in `metric`: at least or at most `limit`."""

    case: str
    metric: str
    limit: float
    against: str = STANDARD

    @property
    def is_minimum(self) -> bool:
        return self.metric == "rate"

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.limit if self.is_minimum else ratio <= self.limit


GOALS = (
    Goal("crc_inline_16", "rate", 1.3),
    Goal("crc_inline_16", "cpu_us", 0.70),
    Goal("crc_inline_16", "cpu_us", 1.3, "c"),
    Goal("crc_threaded_16", "rate", 3.5),
    Goal("crc_threaded_16", "cpu_us", 0.25),
    Goal("crc_threaded_16", "cpu_us", 1.0, "uvloop"),
    Goal("crc_streams_16", "cpu_us", 1.0, "uvloop-streams"),
    Goal("crc_forking_16", "rate", 1.0),
    Goal("line_echo_50", "rate", 1.4),
    Goal("line_echo_50", "rate", 1.0, "uvloop-streams"),
    Goal("udp_32", "rate", 2.2),
    Goal("udp_32", "cpu_us", 0.38),
    Goal("udp_32", "cpu_us", 1.0, "uvloop"),
    Goal("udp_threaded_32", "rate", 5.0),
    Goal("http_keep_16", "rate", 20.0),
    Goal("http_close_16", "rate", 1.6),
)


def goals_table(results: dict[str, CaseResult]) -> Table:
    """Every goal whose case was measured, and whether it is met."""
    rows = []
    for goal in GOALS:
        measured = results.get(goal.case, {})
        if OURS not in measured:
            continue
        ratio = measured[OURS].ratio(goal.metric, measured.get(goal.against))
        sign = ">=" if goal.is_minimum else "<="
        verdict = "-" if ratio is None else ("yes" if goal.is_met(ratio.median) else "NO")
        name = f"{goal.case}: {LABELS[goal.metric]} to {goal.against}"
        rows.append([name, times_between(ratio), f"{sign} {goal.limit:g}x", verdict])
    return Table("Goals", ["", "ratio", "goal", "met"], rows)


def is_clear(ratio: Ratio | None) -> bool:
    """Whether there is a difference to speak of."""
    return ratio is not None and not ratio.is_noise


def summary_table(results: dict[str, CaseResult]) -> Table:
    """Ours to the standard module in every case: what got slower stands here too."""
    rows = []
    for case, measured in results.items():
        ours, standard = measured.get(OURS), measured.get(STANDARD)
        if ours is None:
            continue
        rate, cpu, p99 = (
            ours.ratio(metric, standard) for metric in ("rate", "cpu_us", "p99_us")
        )
        remarks = []
        if is_clear(rate) and rate.median < 1 - NOISE:
            remarks.append("slower")
        if is_clear(p99) and p99.median > 1 + NOISE:
            remarks.append("p99 higher")
        rows.append([case, *map(times_between, (rate, cpu, p99)), ", ".join(remarks)])
    columns = ["", "requests/s", "CPU/request", "p99", "remark"]
    return Table(f"{OURS} to {STANDARD}, every case", columns, rows)
