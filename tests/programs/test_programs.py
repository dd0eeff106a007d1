"""Public programs converse alike with and without the graft.

Each `program_<name>.py` plays one program's scenario (see `_scenario.py`) in a process of its
own. Without the graft the scenario must hold; with it, it must hold and report the same
results. The programs are not installed by default:

    pip install --only-binary :all: -r tests/programs/requirements.txt

What is not installed is skipped and listed at the end of the session. Two variables:
`PROGRAMS_PYTHON` names another interpreter to run the scenarios with, and `PROGRAMS_REQUIRED`
(not empty) turns a missing program into a failure.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PROGRAMS = sorted(path.stem.removeprefix("program_") for path in HERE.glob("program_*.py"))

# The graft also reaches classes that exist already: a few kinds suffice to show it. dulwich
# has taken the standard serve_forever by then, and keeps it.
LATE = ["dnslib", "django", "dulwich", "http_server", "prometheus", "websocket_server"]

# _scenario.NOT_INSTALLED; its watchdog ends a scenario long before this.
NOT_INSTALLED = 77
LONGEST_S = 120

pytestmark = pytest.mark.timeout(3 * LONGEST_S)


@functools.cache
def scenario(program: str, *options: str) -> tuple[int, dict[str, Any], str]:
    """The exit status, report and standard error of a scenario; each is run once."""
    python = os.environ.get("PROGRAMS_PYTHON") or sys.executable
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    done = subprocess.run(
        [python, str(HERE / f"program_{program}.py"), *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=LONGEST_S,
        env=environment,
    )
    lines = done.stdout.splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else {}, done.stderr


def skip_unless_installed(program: str) -> None:
    status, report, _ = scenario(program)
    if status == NOT_INSTALLED:
        reason = f"{program} is not installed ({report['missing']})"
        if os.environ.get("PROGRAMS_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)


def held(program: str, *options: str) -> dict[str, Any]:
    """The report of a scenario in which every step held."""
    status, report, errors = scenario(program, *options)
    assert status == 0, f"{report.get('error', 'no report')}\n{errors[-5000:]}"
    return report


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_plain_holds_conversation(program: str) -> None:
    """The scenario itself is sound: it holds on the standard classes."""
    skip_unless_installed(program)
    assert held(program)["information"]["grafted"] is False


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_grafted_gives_same_results(program: str) -> None:
    """install() before anything else is imported: nothing that is observed changes."""
    skip_unless_installed(program)
    report = held(program, "--graft")
    assert report["information"]["grafted"] is True
    assert report["results"] == held(program)["results"]


@pytest.mark.parametrize("program", LATE)
def test_program_grafted_after_import_gives_same_results(program: str) -> None:
    """install() once the program's classes exist: nothing that is observed changes."""
    skip_unless_installed(program)
    report = held(program, "--graft-late")
    assert report["information"]["grafted"] is True
    assert report["results"] == held(program)["results"]
