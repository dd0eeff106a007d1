"""Run Python in processes of their own, plain or by way of `python -m fastsocketserver`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fastsocketserver

PACKAGE = Path(fastsocketserver.__file__).parent
DEADLINE_S = 30.0


def environment(**variables: str) -> dict[str, str]:
    """The environment of a process that can import the package under test."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    path = variables.pop("PYTHONPATH", None)
    clean["PYTHONPATH"] = os.pathsep.join(filter(None, [path, str(PACKAGE.parent)]))
    return {**clean, **variables}


def run_python(*args: str, python: str = sys.executable, **options: Any) -> Any:
    """Run to the end: a `CompletedProcess` with text."""
    options.setdefault("env", environment())
    return subprocess.run(
        [python, *args], capture_output=True, text=True, timeout=DEADLINE_S, **options
    )


def run_with_us(*args: str, flags: tuple[str, ...] = (), **options: Any) -> Any:
    """The same with `-m fastsocketserver` in front, and the interpreter's flags before it."""
    return run_python(*flags, "-m", "fastsocketserver", *args, **options)


def observed(process: Any) -> tuple[int, str, str]:
    """What a caller sees of a program that has ended: status, output, errors."""
    return process.returncode, process.stdout, process.stderr
