"""A server under test: started, pinned, asked for its clocks, ended."""

from __future__ import annotations

import json
import re
import selectors
import subprocess
import tempfile
from dataclasses import dataclass

from harness.cpus import SERVER_CPU, pin, prefer
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


class LineProcess:
    """A process that answers lines on its stdin with lines, as a context manager.

    Its first line it says by itself: `announced`.
    """

    def __init__(self, command: list[str], environment: dict, cpu: int | None) -> None:
        # A file, not a pipe: a server that writes many errors must not block.
        self._stderr = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            start_new_session=True,
        )
        if cpu is None:
            prefer(self._process.pid)
        else:
            pin(self._process.pid, cpu)
        try:
            self.announced = self._read_answer(ANSWER_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def fileno(self) -> int:
        """Readable when an answer is there, or the process has ended."""
        return self._process.stdout.fileno()

    def send(self, line: str) -> None:
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise MeasurementError(f"server has gone: {self.last_error_line()}") from error

    def ask_line(self, line: str, timeout_s: float | None = None) -> dict:
        """Send a line; the answer, which has to come in time."""
        self.send(line)
        return self._read_answer(timeout_s or ANSWER_TIMEOUT_S)

    def answer(self) -> dict:
        """The answer to what was sent before."""
        return self._read_answer(ANSWER_TIMEOUT_S)

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

    def _decode(self, line: str) -> dict:
        return json.loads(line)

    def _read_answer(self, timeout_s: float) -> dict:
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            answered = selector.select(timeout_s)
        line = self._process.stdout.readline() if answered else ""
        if not line:
            raise MeasurementError(f"server does not answer: {self.last_error_line()}")
        return self._decode(line)


class ServerProcess(LineProcess):
    """One implementation serving one work; see ``servers.control``."""

    def __init__(self, impl: str, work: str, size: int) -> None:
        implementation = IMPLEMENTATIONS[impl]
        command = implementation.command(work, size)
        super().__init__(command, implementation.process_environment(), SERVER_CPU)
        self.port: int = self.announced["port"]
        self.pid: int = self.announced["pid"]

    def usage(self) -> Usage:
        return Usage(**self.ask_line("stats"))

    def usage_at_end(self) -> Usage:
        """What the server has used when it has stopped serving and its threads have ended."""
        return Usage(**self.ask_line("finish"))
