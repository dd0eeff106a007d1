"""Where the figures were made: without it they say nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import time

from harness.cpus import CLIENT_CPU, SERVER_CPU
from harness.native import BENCHMARKS, find_compiler
from harness.provenance import OUR_CHECKOUT

PACKAGES = ("Cython", "uvloop", "gevent")


def _first_line(*command: str) -> str:
    try:
        result = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True)
    except OSError:
        return ""
    return (result.stdout.strip().splitlines() or [""])[0]


def _cpu_model() -> str:
    with open("/proc/cpuinfo") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def environment() -> dict:
    """Commit, Python, kernel, machine, compiler, peers and the command."""
    return {
        "commit": OUR_CHECKOUT.commit(),
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "python": sys.version.replace("\n", " "),
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "server_cpu": SERVER_CPU,
        "client_cpu": CLIENT_CPU,
        "load_average": os.getloadavg(),
        "compiler": _first_line(find_compiler(), "--version"),
        "packages": {package: _version(package) for package in PACKAGES},
        "command": " ".join(["python", *sys.argv]),
    }
