"""Says at the end of a session which programs were not there to converse with."""

from __future__ import annotations

from typing import Any

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing: set[Any] = {
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if "programs/test_programs.py" in report.nodeid and isinstance(report.longrepr, tuple)
    }
    if missing:
        terminalreporter.section("programs that were NOT tested", yellow=True)
        for reason in sorted(missing):
            terminalreporter.line(f"  {reason}")
        terminalreporter.line("  to test them: pip install -r tests/programs/requirements.txt")
