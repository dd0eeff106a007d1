"""Run test cases of CPython's own suite and write down how each one went.

    python run_suite.py MODE RESULT.json MODULE [PATTERN ...] [--resource NAME ...]

The modes, each set up before the suite is imported:

    plain   the standard module as it is
    ours    `import socketserver` gives fastsocketserver, as the README's migration does
    graft   fastsocketserver.install(): the standard module's classes carry our methods

PATTERNs are fnmatch patterns of test ids without the module's name; without any, all of
the module runs.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import fnmatch
import importlib
import json
import os
import sys
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

# Said with tracebacks rather than by the silent end of the parent's patience.
HANG_S = 150


class Plain:
    """The standard module as it is."""

    def put_in_place(self) -> None:
        """Let the suite meet the implementation from now on."""

    def check(self) -> None:
        """The suite has met the implementation, or its results say nothing."""
        assert "fastsocketserver" not in sys.modules


class Ours(Plain):
    """`import socketserver` gives ours."""

    def put_in_place(self) -> None:
        import fastsocketserver

        assert "http.server" not in sys.modules, "too late: it has the standard module already"
        sys.modules["socketserver"] = fastsocketserver

    def check(self) -> None:
        import fastsocketserver

        assert sys.modules["socketserver"] is fastsocketserver
        http_server = sys.modules.get("http.server")
        if http_server is not None:
            assert issubclass(http_server.HTTPServer, fastsocketserver.TCPServer)


class Graft(Plain):
    """The standard module's own classes carry our methods."""

    def put_in_place(self) -> None:
        import fastsocketserver

        fastsocketserver.install()

    def check(self) -> None:
        import socketserver

        import fastsocketserver

        assert fastsocketserver.installed()
        assert socketserver is not fastsocketserver
        assert not issubclass(socketserver.BaseServer, fastsocketserver.BaseServer)
        ours = vars(fastsocketserver.BaseServer)["serve_forever"]
        assert vars(socketserver.BaseServer)["serve_forever"] is ours
        http_server = sys.modules.get("http.server")
        if http_server is not None:
            assert http_server.HTTPServer.serve_forever is ours


MODES = {"plain": Plain(), "ours": Ours(), "graft": Graft()}


def flatten(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """The single test cases of a suite of suites."""
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from flatten(part)
        else:
            yield part


@contextlib.contextmanager
def root_hidden() -> Iterator[None]:
    """Let a suite that is imported meanwhile keep its tests that are not for root.

    The CGI tests are not, since their children become "nobody", who may not read the
    directories of the tests. So they stay who they are.
    """
    if os.geteuid() != 0:
        yield
        return
    with mock.patch.object(os, "geteuid", return_value=1):
        yield
    http_server = sys.modules.get("http.server")
    if hasattr(http_server, "nobody_uid"):  # no longer, where CGI is gone (Python 3.15)
        http_server.nobody_uid = os.getuid


def select(module: str, patterns: list[str]) -> unittest.TestSuite:
    """The module's test cases whose ids match one of the patterns."""
    with root_hidden():
        imported = importlib.import_module(module)
    loaded = unittest.defaultTestLoader.loadTestsFromModule(imported)
    chosen = unittest.TestSuite()
    for case in flatten(loaded):
        name = case.id().removeprefix(module + ".")
        excluded = any(fnmatch.fnmatch(name, one[1:]) for one in patterns if one[0] == "!")
        wanted = [one for one in patterns if one[0] != "!"]
        if not excluded and (not wanted or any(fnmatch.fnmatch(name, one) for one in wanted)):
            chosen.addTest(case)
    return chosen


class TimedResult(unittest.TextTestResult):
    """Remembers how long each test took."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.seconds: dict[str, float] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._begun = time.monotonic()

    def stopTest(self, test: unittest.TestCase) -> None:
        self.seconds[test.id()] = time.monotonic() - self._begun
        super().stopTest(test)


def run(suite: unittest.TestSuite) -> dict[str, object]:
    """What ran, how long it took, what failed (with the traceback), what was skipped."""
    ids = sorted(case.id() for case in flatten(suite))
    runner = unittest.TextTestRunner(stream=sys.stderr, verbosity=2, resultclass=TimedResult)
    result = runner.run(suite)
    return {
        "ran": ids,
        "seconds": result.seconds,
        "failed": {case.id(): text for case, text in result.failures + result.errors},
        "skipped": sorted(case.id() for case, _ in result.skipped),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=[*MODES])
    parser.add_argument("result", type=Path)
    parser.add_argument("module")
    parser.add_argument("patterns", nargs="*")
    parser.add_argument("--resource", action="append", default=[])
    options = parser.parse_args()
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    mode = MODES[options.mode]
    mode.put_in_place()
    from test import support

    support.use_resources = tuple(options.resource)
    suite = select(options.module, options.patterns)
    mode.check()
    outcome = run(suite)
    mode.check()  # still: no test has put another module there
    options.result.write_text(json.dumps(outcome))


if __name__ == "__main__":
    main()
