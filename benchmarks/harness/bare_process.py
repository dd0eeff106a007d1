"""A server in a fresh interpreter that has imported the module under test and nothing else.

What ours does when it runs out of something must not depend on what a larger
program happens to have imported. Each process tells what it has imported; if
that is more than a plain import of its module brings, there is no figure.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from typing import Any

from harness import kernel_view
from harness.cpus import SERVER_CPU
from harness.errors import MeasurementError
from harness.implementations import IMPLEMENTATIONS
from harness.native import BENCHMARKS
from harness.server_process import LineProcess

BARE = BENCHMARKS / "servers" / "bare"


@cache
def plain_imports(impl: str) -> frozenset[str]:
    """What importing the module brings, in an interpreter that does nothing else."""
    implementation = IMPLEMENTATIONS[impl]
    text = f"import {implementation.module}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", text],
        env=implementation.process_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return frozenset(done.stdout.split())


def imported_later(impl: str, modules: list[str]) -> list[str]:
    """What is there beyond a plain import."""
    return sorted(set(modules) - plain_imports(impl))


class BareProcess(LineProcess):
    """A program of ``servers/bare``, as a context manager; see there for its commands."""

    def __init__(
        self, impl: str, program: str, *arguments: object, cpu: int | None = SERVER_CPU
    ) -> None:
        implementation = IMPLEMENTATIONS[impl]
        self.impl = impl
        command = [sys.executable, str(BARE / f"{program}.py"), implementation.module]
        command += map(str, arguments)
        super().__init__(command, implementation.process_environment(), cpu)
        self.pid = self._process.pid
        if extra := imported_later(impl, self.announced["modules"]):
            self.stop()
            raise MeasurementError(f"not a bare process: it has imported {', '.join(extra)}")

    def tell(self, *words: object, timeout_s: float | None = None) -> Any:
        """Send one command; the value of the answer."""
        return self.ask_line(" ".join(map(str, words)), timeout_s)["value"]

    def imported_since(self) -> list[str]:
        """What it has imported while it served."""
        return imported_later(self.impl, self.tell("modules"))

    def cpu_s(self) -> float:
        return kernel_view.cpu_s(self.pid)

    def _decode(self, line: str) -> dict:
        return ast.literal_eval(line)


def start_replies(impl: str, server_class: str, backlog: int = 0) -> BareProcess:
    """A TCP server that sends back what it gets; 0: the class's own backlog."""
    return BareProcess(impl, "replies", server_class, backlog)
