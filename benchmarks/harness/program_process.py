"""A real program as a process: started, pinned, watched from outside, ended.

It knows nothing of the harness, so its clocks are the kernel's. Children do not
count; none of the programs forks.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import time

from harness.cpus import SERVER_CPU, pin, starting_on
from harness.errors import MeasurementError
from harness.implementations import IMPLEMENTATIONS, STANDARD
from harness.kernel_view import cpu_s, peak_rss_kib
from harness.program_cases import ProgramCase
from harness.server_process import EXCEPTION_LINE, Usage

HOST = "127.0.0.1"
START_LIMIT_S = 20.0
RETRY_S = 0.02
QUIET_S = 0.2  # an answer that does not end its connection is over after this
EXIT_LIMIT_S = 10.0
_WARNING_LINE = re.compile(r".*Warning: ")


def environment() -> dict[str, str]:
    """Of every program, plain or grafted: nothing but where to find things."""
    return IMPLEMENTATIONS[STANDARD].process_environment()


def free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((HOST, 0))
        return sock.getsockname()[1]


class ProgramProcess:
    """One program, plain or grafted, that answers once constructed."""

    def __init__(self, case: ProgramCase, python: str, impl: str) -> None:
        self._case = case
        self._kind = socket.SOCK_DGRAM if case.mode == "udp" else socket.SOCK_STREAM
        self.port = free_port(self._kind)
        # A file, not a pipe: log lines must not block.
        self._stderr = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115
        with starting_on(SERVER_CPU):
            self._process = subprocess.Popen(
                case.command(python, impl, self.port),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                start_new_session=True,
            )
        self.pid = self._process.pid
        pin(self.pid, SERVER_CPU)
        try:
            self.answer = self._first_answer()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> ProgramProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def usage(self) -> Usage:
        try:
            return Usage(cpu_s(self.pid), peak_rss_kib(self.pid), None)
        except MeasurementError as error:
            raise MeasurementError(f"{error}: {self._last_line()}") from error

    def usage_at_end(self) -> Usage:
        """As it is now: from outside, nothing but its end would end its threads."""
        return self.usage()

    def complaints(self) -> list[str]:
        """Exceptions and warnings on stderr so far; log lines are none."""
        return [
            line
            for line in self._lines()
            if EXCEPTION_LINE.match(line) or _WARNING_LINE.match(line)
        ]

    def interrupted_s(self) -> float:
        """How long the program takes from SIGINT to its end."""
        exited = os.pidfd_open(self.pid)
        try:
            begin_s = time.perf_counter()
            self._process.send_signal(signal.SIGINT)
            ready, _, _ = select.select([exited], [], [], EXIT_LIMIT_S)
            latency_s = time.perf_counter() - begin_s
        finally:
            os.close(exited)
        if not ready:
            raise MeasurementError("SIGINT did not end the program")
        return latency_s

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._stderr.close()

    def _lines(self) -> list[str]:
        self._stderr.seek(0)
        return self._stderr.read().strip().splitlines()

    def _last_line(self) -> str:
        return (self._lines() or ["no message"])[-1]

    def _first_answer(self) -> bytes:
        """What the program says to the case's request, for the comparison of all answers."""
        deadline_s = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            try:
                answer = self._ask()
            except (ConnectionError, TimeoutError):  # not yet, or its datagram is lost
                time.sleep(RETRY_S)
                continue
            if self._case.answer_has not in answer:
                raise MeasurementError(f"a wrong answer: {answer[:60]!r}")
            return answer
        raise MeasurementError(f"the program does not answer: {self._last_line()}")

    def _ask(self) -> bytes:
        answer = b""
        with socket.socket(socket.AF_INET, self._kind) as sock:
            sock.settimeout(START_LIMIT_S if self._kind == socket.SOCK_STREAM else QUIET_S)
            sock.connect((HOST, self.port))
            sock.sendall(self._case.request)
            if self._kind == socket.SOCK_DGRAM:
                return sock.recv(65536)
            try:
                while chunk := sock.recv(65536):
                    answer += chunk
                    sock.settimeout(QUIET_S)
            except TimeoutError:
                pass
        return answer
