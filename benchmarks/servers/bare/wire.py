"""How a bare server talks to the runner: one line in, one line out.

What is in this directory runs as ``python FILE MODULE ...`` and imports nothing
but that module and what that has imported already (so no `__future__`, no
`json`): failure paths that have to import something are to be seen here. The
runner compares `sys.modules` with those of a plain import.
"""

import os
import sys


def server_module():
    """The module under test: the first argument."""
    return __import__(sys.argv[1])


def own_modules():
    """All that has been imported so far; this module is the only one that is ours."""
    return sorted(set(sys.modules) - {__name__})


def answer(**values):
    """One line, as `ast.literal_eval` reads it."""
    line = memoryview((repr(values) + "\n").encode())
    while line:
        line = line[os.write(1, line) :]


def commands():
    """The runner's lines, split into words; the process ends with the last one."""
    pending = b""
    while True:
        line, newline, pending = pending.partition(b"\n")
        if newline:
            yield line.decode().split()
            continue
        pending = line
        received = os.read(0, 4096)
        if not received:
            os._exit(0)
        pending += received
