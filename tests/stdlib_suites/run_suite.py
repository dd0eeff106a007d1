"""Run test cases of CPython's own suite and write down how each one went.

    python run_suite.py (plain|ours) RESULT.json MODULE [PATTERN ...] [--resource NAME ...]

With `ours`, `import socketserver` gives fastsocketserver, as the README's migration does,
before anything that builds on the module is imported. PATTERNs are fnmatch patterns of
test ids without the module's name; without any, all of the module runs.
"""

from __future__ import annotations

import argparse
import faulthandler
import fnmatch
import importlib
import json
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path

# Said with tracebacks rather than by the silent end of the parent's patience.
HANG_S = 150


def put_ours_in_place() -> None:
    """Let `import socketserver` give ours from now on."""
    import fastsocketserver

    assert "http.server" not in sys.modules, "too late: it has the standard module already"
    sys.modules["socketserver"] = fastsocketserver


def check_ours_is_in_place() -> None:
    """The suite's servers are built on ours, or its results say nothing."""
    import fastsocketserver

    assert sys.modules["socketserver"] is fastsocketserver
    http_server = sys.modules.get("http.server")
    if http_server is not None:
        assert issubclass(http_server.HTTPServer, fastsocketserver.TCPServer)


def flatten(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """The single test cases of a suite of suites."""
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from flatten(part)
        else:
            yield part


def select(module: str, patterns: list[str]) -> unittest.TestSuite:
    """The module's test cases whose ids match one of the patterns."""
    loaded = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(module))
    chosen = unittest.TestSuite()
    for case in flatten(loaded):
        name = case.id().removeprefix(module + ".")
        excluded = any(fnmatch.fnmatch(name, one[1:]) for one in patterns if one[0] == "!")
        wanted = [one for one in patterns if one[0] != "!"]
        if not excluded and (not wanted or any(fnmatch.fnmatch(name, one) for one in wanted)):
            chosen.addTest(case)
    return chosen


def run(suite: unittest.TestSuite) -> dict[str, object]:
    """What ran, what failed (with the traceback), what was skipped."""
    ids = sorted(case.id() for case in flatten(suite))
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=2).run(suite)
    return {
        "ran": ids,
        "failed": {case.id(): text for case, text in result.failures + result.errors},
        "skipped": sorted(case.id() for case, _ in result.skipped),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["plain", "ours"])
    parser.add_argument("result", type=Path)
    parser.add_argument("module")
    parser.add_argument("patterns", nargs="*")
    parser.add_argument("--resource", action="append", default=[])
    options = parser.parse_args()
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    if options.mode == "ours":
        put_ours_in_place()
    from test import support

    support.use_resources = tuple(options.resource)
    suite = select(options.module, options.patterns)
    if options.mode == "ours":
        check_ours_is_in_place()
    options.result.write_text(json.dumps(run(suite)))


if __name__ == "__main__":
    main()
