"""A server under test: started, pinned, asked for its clocks, ended."""

from __future__ import annotations

import json
import re
import selectors
import subprocess
import tempfile
from dataclasses import dataclass

from harness.cpus import SERVER_CPU, pin
from harness.errors import MeasurementError
from harness.implementations import IMPLEMENTATIONS

EXCEPTION_LINE = re.compile(r"[\w.]*(Error|Exception|Interrupt)(:|$)")  # ends a traceback
ANSWER_TIMEOUT_S = 20  # a starved server must still find time for one line


@dataclass(frozen=True)
class Usage:
    """What a server process has used since it started."""

    cpu_s: float
    peak_rss_kib: int
    voluntary_switches: int | None  # None: cannot be told from outside


class ServerProcess:
    """One implementation serving one work, as a context manager."""

    def __init__(self, impl: str, work: str, size: int) -> None:
        implementation = IMPLEMENTATIONS[impl]
        # A file, not a pipe: a server that writes many errors must not block.
        self._stderr = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            implementation.command(work, size),
            env=implementation.process_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            start_new_session=True,
        )
        pin(self._process.pid, SERVER_CPU)
        try:
            announced = self._read_answer()
        except BaseException:
            self.stop()
            raise
        self.port: int = announced["port"]
        self.pid: int = announced["pid"]

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def ask(self, command: str) -> Usage:
        """Send one of the commands of `servers.control`; usage comes back."""
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise MeasurementError(f"server has gone: {self.last_error_line()}") from error
        return Usage(**self._read_answer())

    def usage(self) -> Usage:
        return self.ask("stats")

    def usage_at_end(self) -> Usage:
        """What the server has used when it has stopped serving and its threads have ended."""
        return self.ask("finish")

    def complaints(self) -> list[str]:
        """What the server has written on stderr so far: exceptions, else all lines."""
        self._stderr.seek(0)
        lines = self._stderr.read().strip().splitlines()
        return [line for line in lines if EXCEPTION_LINE.match(line)] or lines

    def last_error_line(self) -> str:
        return (self.complaints() or ["no message"])[-1]

    def stop(self) -> None:
        """End the process: by the end of its stdin, else by force."""
        try:
            self._process.communicate(timeout=5)
        except (subprocess.TimeoutExpired, OSError):
            self._process.kill()
            self._process.communicate()
        self._stderr.close()

    def _read_answer(self) -> dict:
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            answered = selector.select(ANSWER_TIMEOUT_S)
        line = self._process.stdout.readline() if answered else ""
        if not line:
            raise MeasurementError(f"server does not answer: {self.last_error_line()}")
        return json.loads(line)
