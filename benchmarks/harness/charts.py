"""The charts of a run, each as PNG and SVG."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from harness.cases import SWEEP_CLIENTS, SWEEP_PREFIX
from harness.implementations import OURS, STANDARD
from harness.report import Run

COLOURS = {
    STANDARD: "#9aa0a6",
    OURS: "#d9480f",
    "asyncio": "#74a9cf",
    "asyncio-streams": "#a6cee3",
    "uvloop": "#2b6cb0",
    "uvloop-streams": "#63b3ed",
    "gevent": "#5aae61",
    "c": "#333333",
    "baseline": "#f4a582",
}
# One chart fits a page; the tables hold all cases.
MAIN_CASES = (
    "crc_inline_16",
    "crc_threaded_16",
    "crc_streams_16",
    "line_echo_50",
    "payload_echo_10k",
    "udp_32",
    "udp_threaded_32",
    "http_keep_16",
    "http_close_16",
)
BAR_HEIGHT = 0.8
MAX_BAR = 2.0  # longer bars are cut and say so: one slow peer would flatten all others


def _save(figure, folder: Path, name: str) -> list[Path]:
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    for path in paths:
        figure.savefig(path, dpi=150, bbox_inches="tight")
    pyplot.close(figure)
    return paths


def _ratios(run: Run) -> dict[str, dict[str, float]]:
    """CPU per request to the standard module, by case title and implementation."""
    ratios: dict[str, dict[str, float]] = {}
    shown = [name for name in MAIN_CASES if name in run.results] or list(run.results)
    for name in shown:
        measured = run.results[name]
        standard = measured.get(STANDARD)
        found = {impl: result.ratio("cpu_us", standard) for impl, result in measured.items()}
        known = {impl: ratio.median for impl, ratio in found.items() if ratio is not None}
        if len(known) > 1:
            ratios[run.cases[name].title] = known
    return ratios


def draw_cpu(run: Run, folder: Path) -> list[Path]:
    """Server CPU per request, the standard module = 1."""
    ratios = _ratios(run)
    if not ratios:
        return []
    bars = sum(len(known) for known in ratios.values())
    figure, axes = pyplot.subplots(figsize=(10, 0.22 * bars + 0.3 * len(ratios) + 1.2))
    y, ticks = 0.0, {}
    for title, known in ratios.items():
        first = y
        for impl, ratio in known.items():
            axes.barh(y, min(ratio, MAX_BAR), BAR_HEIGHT, color=COLOURS[impl])
            axes.text(min(ratio, MAX_BAR) + 0.02, y, f"{ratio:.2f}", va="center", fontsize=7)
            y += 1
        ticks[(first + y - 1) / 2] = title
        y += 1
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=8)
    axes.invert_yaxis()
    axes.set_ylim(y - 0.5, -1)
    axes.axvline(1, color=COLOURS[STANDARD], linewidth=0.8)
    axes.set_xlim(0, MAX_BAR + 0.25)
    axes.set_xlabel("server CPU per request, standard module = 1 (shorter is better)")
    _legend(axes, {impl for known in ratios.values() for impl in known})
    axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, folder, "cpu_per_request")


def _legend(axes, impls: set[str]) -> None:
    shown = [impl for impl in COLOURS if impl in impls]
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=COLOURS[impl]) for impl in shown]
    axes.legend(
        handles, shown, ncols=4, loc="lower center", bbox_to_anchor=(0.4, 1), frameon=False
    )


def draw_sweep(run: Run, folder: Path) -> list[Path]:
    """Throughput and p99 against the number of clients."""
    measured = {
        clients: run.results[f"{SWEEP_PREFIX}{clients}"]
        for clients in SWEEP_CLIENTS
        if f"{SWEEP_PREFIX}{clients}" in run.results
    }
    if len(measured) < 2:
        return []
    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4))
    for axes, metric, label in zip(
        panels, ("rate", "p99_us"), ("requests/s", "p99 latency, us"), strict=True
    ):
        for impl, colour in COLOURS.items():
            points = {
                clients: results[impl].median(metric)
                for clients, results in measured.items()
                if impl in results and results[impl].median(metric) is not None
            }
            if points:
                axes.plot(list(points), list(points.values()), "o-", color=colour, label=impl)
        axes.set(xscale="log", xlabel="clients", ylabel=label)
        axes.set_xticks(list(measured), [str(clients) for clients in measured])
        axes.minorticks_off()
        axes.set_ylim(bottom=0) if metric == "rate" else axes.set_yscale("log")
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(labels), loc="lower center", frameon=False)
    figure.suptitle("TCP connect-reply-close, threaded")
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    return _save(figure, folder, "sweep")


def draw(run: Run, folder: Path) -> list[Path]:
    """All charts the run has figures for."""
    return [*draw_cpu(run, folder), *draw_sweep(run, folder)]
