"""The load generator as a process, and what one run of it found."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

from harness.cpus import CLIENT_CPU, pin
from harness.errors import MeasurementError
from harness.native import program

START_TIMEOUT_S = 60  # 1000 threads take a while on a slow machine


@dataclass(frozen=True)
class Load:
    """The options of one load; see ``native/load.c``."""

    mode: str
    clients: int
    size: int = 32
    request_path: str = ""
    body_length: int = 0
    reply_path: str = ""
    id_offset: int = -1
    timeout_s: float = 10.0

    def command(self, port: int, seconds: float) -> list[str]:
        command = [str(program("load")), self.mode, str(port), "--wait"]
        command += ["--clients", str(self.clients), "--size", str(self.size)]
        command += ["--seconds", str(seconds), "--timeout", str(self.timeout_s)]
        if self.request_path:
            command += ["--request", self.request_path]
            command += ["--body-length", str(self.body_length)]
        if self.reply_path:
            command += ["--reply", self.reply_path, "--id-offset", str(self.id_offset)]
        return command


class LoadProcess:
    """Connected and at rest after construction; `run` measures once."""

    def __init__(self, load: Load, port: int, seconds: float) -> None:
        self._deadline_s = seconds + load.timeout_s + START_TIMEOUT_S
        self._process = subprocess.Popen(
            load.command(port, seconds),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        pin(self._process.pid, CLIENT_CPU)
        line = self._process.stdout.readline()
        if line != "ready\n":
            self.stop()
            raise MeasurementError(f"cannot connect: {_kinds(line)}")

    def __enter__(self) -> LoadProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def begin(self) -> None:
        """Start the measured phase."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def result(self, tolerated: frozenset[str] = frozenset()) -> dict:
        """Wait for the end; the connections stay until `stop`.

        Any error but the `tolerated` kinds is a MeasurementError.
        """
        line = self._process.stdout.readline()
        if not line:
            raise MeasurementError(f"load ended: {self._process.stderr.read().strip()}")
        result = json.loads(line)
        if set(result["errors"]) - tolerated:
            raise MeasurementError(_kinds(line))
        if not result["requests"]:
            raise MeasurementError("not one request was answered")
        return result

    def stop(self) -> None:
        try:
            self._process.communicate(timeout=self._deadline_s)
        except (subprocess.TimeoutExpired, OSError):
            self._process.kill()
            self._process.communicate()


def _kinds(line: str) -> str:
    """ "3 timeout, 1 reset" from a result line."""
    try:
        errors = json.loads(line)["errors"]
    except ValueError:
        return "the load generator failed"
    return ", ".join(f"{count} {kind}" for kind, count in errors.items())
