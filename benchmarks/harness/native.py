"""The C programs (load generator, floor server), compiled on first use."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
SOURCES = BENCHMARKS / "native"
BUILD = BENCHMARKS / "build"
PROGRAMS = {
    "load": ("load.c", "load_tcp.c", "load_reply.c", "load_udp.c", "load_report.c"),
    "floor": ("floor.c",),
}
FLAGS = ("-O2", "-Wall", "-Wextra")


def find_compiler() -> str:
    """The C compiler's command, or an exit that says what to install."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return name
    raise SystemExit("No C compiler found: install one (Debian, Ubuntu: apt install gcc).")


@cache
def program(name: str) -> Path:
    """The path of a compiled program; compiled only if its sources changed."""
    sources = [SOURCES / file for file in PROGRAMS[name]]
    contents = b"".join(path.read_bytes() for path in (*sources, SOURCES / "load.h"))
    built = BUILD / f"{name}-{hashlib.sha256(contents).hexdigest()[:12]}"
    if not built.exists():
        BUILD.mkdir(exist_ok=True)
        unfinished = built.with_suffix(f".{os.getpid()}")
        command = [find_compiler(), *FLAGS, "-o", str(unfinished), *map(str, sources)]
        subprocess.run(command, check=True)
        unfinished.rename(built)
    return built
