"""wrk as the client of the HTTP cases: a second opinion from a known tool."""

from __future__ import annotations

import re
import shutil
import subprocess

from harness.cpus import CLIENT_CPU, pin, starting_on
from harness.errors import MeasurementError

MISSING = "the wrk cases are skipped (no wrk); to install: apt install wrk"
# At the end wrk drops its connections in the middle of requests: servers say so.
LEAVES_BEHIND = ("ConnectionResetError", "BrokenPipeError")
_UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}


def is_installed() -> bool:
    return shutil.which("wrk") is not None


def _percentile_us(output: str, percent: str) -> float:
    match = re.search(rf"^\s*{re.escape(percent)}%\s+([\d.]+)(us|ms|s|m)$", output, re.M)
    if not match:
        raise MeasurementError("wrk printed no latencies")
    return float(match[1]) * _UNITS_US[match[2]]


def parse(output: str) -> dict:
    """wrk's report in the shape of the load generator's result."""
    errors = re.findall(r"(?:Socket errors|Non-2xx or 3xx responses): .*", output)
    if errors:
        raise MeasurementError(f"wrk: {errors[0]}")
    requests = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if not requests or not rate or not int(requests[1]):
        raise MeasurementError("wrk got no answer")
    return {
        "requests": int(requests[1]),
        "rate": float(rate[1]),
        "p50_us": _percentile_us(output, "50"),
        "p99_us": _percentile_us(output, "99"),
        "p999_us": None,  # wrk does not print it
        "client_cpu_s": None,
        "resent": 0,
    }


def run(port: int, clients: int, seconds: float) -> dict:
    """One load of at least a second: wrk knows whole seconds only."""
    duration = f"-d{max(1, round(seconds))}s"
    command = ["wrk", "-t1", f"-c{clients}", duration, "--latency"]
    with starting_on(CLIENT_CPU):  # pinned later, wrk's own thread would stay elsewhere
        process = subprocess.Popen(
            [*command, f"http://127.0.0.1:{port}/"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    pin(process.pid, CLIENT_CPU)
    output, _ = process.communicate(timeout=seconds + 60)
    return parse(output)
