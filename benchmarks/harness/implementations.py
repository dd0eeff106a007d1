"""The implementations that are compared, and how to get those that are missing."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache

from harness.native import BENCHMARKS, program

STANDARD = "stdlib"
OURS = "fastsocketserver"


@dataclass(frozen=True)
class Implementation:
    """One column of every comparison."""

    name: str
    module: str  # what must be importable; "" for the C program
    install: str  # how to get it
    search_path: str = ""  # put before PYTHONPATH: another build of ours
    environment: dict = field(default_factory=dict, hash=False, compare=False)

    def command(self, work: str, size: int) -> list[str]:
        """The command line of a server process for `work`."""
        if self.name == "c":
            kind = work.split("_")[0]
            return [str(program("floor")), kind if kind in ("crc", "udp") else "echo"]
        impl = self.module if self.search_path else self.name
        serve = [sys.executable, "-m", "servers", "--impl", impl, "--work", work]
        return [*serve, "--size", str(size)]

    def process_environment(self) -> dict[str, str]:
        """The environment of its processes: ours, with `servers` importable."""
        inherited = os.environ.get("PYTHONPATH", "")
        paths = [self.search_path, str(BENCHMARKS), inherited]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _pip(package: str) -> str:
    return f"{sys.executable} -m pip install {package}"


IMPLEMENTATIONS = {
    implementation.name: implementation
    for implementation in (
        Implementation(STANDARD, "socketserver", ""),
        Implementation(OURS, OURS, _pip("-e .")),
        Implementation("asyncio", "asyncio", ""),
        Implementation("asyncio-streams", "asyncio", ""),
        Implementation("uvloop", "uvloop", _pip("uvloop")),
        Implementation("uvloop-streams", "uvloop", _pip("uvloop")),
        Implementation("gevent", "gevent", _pip("gevent")),
        Implementation("c", "", ""),
    )
}


def add_baseline(path: str) -> str:
    """Compare with another build of ours, importable from `path`; its name."""
    name = "baseline"
    IMPLEMENTATIONS[name] = Implementation(name, OURS, "", search_path=os.path.abspath(path))
    return name


@cache
def why_missing(name: str) -> str | None:
    """None if it can be run, else one line that says how to install it."""
    implementation = IMPLEMENTATIONS[name]
    if not implementation.module:
        program("floor")
        return None
    attempt = subprocess.run(
        [sys.executable, "-c", f"import {implementation.module}"],
        env=implementation.process_environment(),
        capture_output=True,
        text=True,
    )
    if attempt.returncode == 0:
        return None
    reason = (attempt.stderr.strip().splitlines() or ["import failed"])[-1]
    return f"{name} is skipped ({reason}); to install: {implementation.install}"
