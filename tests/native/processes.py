"""Programs and forked children that always end, with what they said."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from typing import Any

# Far beyond what a program of a test takes, and within the time that a test has.
PROGRAM_DEADLINE_S = 40.0
CHILD_DEADLINE_S = 20.0


def environment() -> dict[str, str]:
    """The environment in which a program imports what this process can import."""
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def run_program(source: str, *arguments: str, flags: tuple[str, ...] = ()) -> list[str]:
    """Run a Python program; the lines it printed. It has to end by itself, with status 0."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(source), *arguments],
        capture_output=True,
        text=True,
        timeout=PROGRAM_DEADLINE_S,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _answer(function: Callable[..., Any], args: tuple[Any, ...], writer: int) -> None:
    try:
        answer = {"value": function(*args)}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    os.write(writer, json.dumps(answer).encode())


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@contextlib.contextmanager
def child_process(function: Callable[..., Any], *args: Any) -> Iterator[int]:
    """The function runs in a forked child, which is killed at the end of the block."""
    pid = os.fork()
    if pid == 0:
        try:
            function(*args)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    try:
        yield pid
    finally:
        _end(pid)


def ask_child(function: Callable[..., Any], *args: Any) -> Any:
    """What the function returns in a forked child, as JSON carries it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _answer(function, args, writer)
        finally:
            os._exit(0)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], CHILD_DEADLINE_S)
        assert ready, f"{function!r} did not end in the child"
        answer = json.loads(os.read(reader, 65536))
    finally:
        os.close(reader)
        _end(pid)
    assert "error" not in answer, answer["error"]
    return answer["value"]
