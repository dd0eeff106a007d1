"""The figures in the checkout belong to a commit."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_guard_names_the_commits_of_its_ratios() -> None:
    """A modified tree belongs to none."""
    stored = json.loads((ROOT / "benchmarks" / "guard.json").read_text())
    commits = {entry["origin"]["commit"] for entry in stored.values()}
    assert all(re.fullmatch(r"[0-9a-f]{40}", commit) for commit in commits), commits


def test_documented_figures_are_of_a_commit() -> None:
    """The table of programs names one, and does not say that the tree was modified."""
    documented = (ROOT / "docs" / "unmodified-programs.md").read_text()
    assert re.search(r", commit [0-9a-f]{12}: `python benchmarks/programs.py`", documented)
