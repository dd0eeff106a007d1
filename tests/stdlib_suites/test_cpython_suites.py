"""CPython's own tests of everything that builds on socketserver, run against ours.

Each suite runs in this interpreter as it is and with ours, in processes of their own: with
ours in the place of the module, and with our methods grafted on it (the modes of
`run_suite.py`). No test may fail with ours alone: none at all, where the machine has what
they need. All runs are made first, several at once, since they mostly wait.

A test that fails without us, too, says nothing about us. Then the machine may have been too
busy for the suite's time limits, and both runs are made again. A failure of ours alone
counts in every attempt, so that none that comes and goes is lost; `LOAD_SENSITIVE` names the
exceptions.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

RUNNER = Path(__file__).with_name("run_suite.py")
PATIENCE_S = 170
# They wait for sockets and timers for most of their time.
AT_ONCE = 6
# Of a suite and a mode, where the machine seems to be too busy.
ATTEMPTS = 3

Pair = tuple[dict[str, Any], dict[str, Any]]


@dataclass(frozen=True)
class Suite:
    """One of CPython's test modules, or the part of it that has servers in it."""

    module: str
    # fnmatch patterns of "Class.test"; with "!" in front: not these.
    patterns: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    since: tuple[int, int] = (3, 10)
    # Not beside others, since a test of it is `LOAD_SENSITIVE`.
    alone: bool = False


# CPython 3.12 and newer run these with `-u walltime` only: they wait on purpose.
SLOW_IMAP = ("!*.test_imaplib_timeout*", "!*.test_ssl_verified", "!*.test_ssl_raises")
SLOW_XMLRPC = (
    "!MultiPathServerTestCase.test_[!p]*",
    "!MultiPathServerTestCase.test_path[!12]*",
)

SUITES = [
    # "network" is the loopback here: the module refuses to be imported without it.
    Suite("test.test_socketserver", resources=("network",), alone=True),
    Suite("test.test_httpservers"),
    Suite("test.test_xmlrpc", SLOW_XMLRPC),
    Suite("test.test_docxmlrpc"),
    Suite("test.test_wsgiref"),
    Suite(
        "test.test_logging",
        ("*SocketHandlerTest.*", "*DatagramHandlerTest.*", "*SysLogHandlerTest.*",
         "HTTPHandlerTest.*", "SMTPHandlerTest.*", "ConfigDictTest.test_listen*"),
    ),
    Suite("test.test_urllib2_localnet"),
    Suite("test.test_robotparser", ("PasswordProtectedSiteTestCase.*",)),
    Suite("test.test_imaplib", ("NewIMAPTests.*", "ThreadedNetworkedTests.*", *SLOW_IMAP)),
    Suite("test.test_ssl", ("ThreadedTests.test_socketserver",)),
    Suite("test.test_httplib", ("HTTPSTest.*",)),
    # A module until Python 3.12, a package since; before that its test waits for 30 s.
    Suite("test.test_pydoc", ("PydocServerTest.*",), since=(3, 12)),
    Suite("test.test_pydoc.test_pydoc", ("PydocServerTest.*",)),
    Suite("test.test_asyncio.test_streams"),
]  # fmt: skip

# Tests that must fail in a mode, and why. One that passes is to be taken off the list.
EXCLUDED = {
    "ours": {
        "test.test_socketserver.MiscTestCase.test_all": (
            "wants __module__ == 'socketserver' of every public class; ours keep the name of "
            "the module in which pickle and readers find them"
        ),
    },
    "graft": {},
}

# Tests that a busy machine may fail with us alone, and why: these have to pass in the last
# attempt only.
LOAD_SENSITIVE = {
    "test.test_socketserver.MiscTestCase.test_threads_reaped": (
        "wants one of ten threads to be done before the tenth is started, which nothing in it "
        "waits for. Thread.start() at least waits for the thread to run; ours does not, so all "
        "ten may be on their way"
    ),
}


def missing(suite: Suite) -> str | None:
    """Why the suite cannot run here, if so."""
    if sys.version_info < suite.since:
        return "slow by mistake in this Python"
    try:
        if importlib.util.find_spec(suite.module) is None:
            return f"this interpreter ships no {suite.module}"
        if importlib.util.find_spec("test.support") is None:
            return "this interpreter ships its tests without test.support"
        if importlib.util.find_spec(suite.module).submodule_search_locations:
            return "a package in this interpreter: its module is a suite of its own"
    except ModuleNotFoundError:
        return f"this interpreter ships no {suite.module} (a separate OS package in some)"
    return None


def run_once(suite: Suite, mode: str, directory: Path, package: Path) -> dict[str, Any]:
    """Run the suite in a directory of its own; what it wrote down."""
    directory.mkdir()
    resources = [part for name in suite.resources for part in ("--resource", name)]
    command = [sys.executable, str(RUNNER), mode, "result.json", suite.module]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    # The suites have their own ideas of warnings.
    environment.pop("PYTHONWARNINGS", None)
    with open(directory / "output.txt", "wb") as output:
        subprocess.run(
            [*command, *suite.patterns, *resources], cwd=directory, env=environment,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    result = directory / "result.json"
    text = (directory / "output.txt").read_text(errors="replace")
    assert result.exists(), f"the run ended by itself:\n{text[-5000:]}"
    return json.loads(result.read_text())


def run_both(suite: Suite, mode: str, directory: Path, package: Path) -> list[Pair]:
    """The suite with the standard module as it is and in the mode: all attempts."""
    pairs: list[Pair] = []
    for attempt in range(ATTEMPTS):
        name = f"{suite.module}-{mode}-{attempt}"
        plain = run_once(suite, "plain", directory / f"{name}-plain", package)
        ours = run_once(suite, mode, directory / name, package)
        pairs.append((plain, ours))
        if not plain["failed"] and LOAD_SENSITIVE.keys().isdisjoint(ours["failed"]):
            break
    return pairs


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Future[list[Pair]]]:
    """The finished runs of all suites and modes that were asked for."""
    package = Path(importlib.import_module("fastsocketserver").__file__).parents[1]
    directory = tmp_path_factory.mktemp("suites")
    asked = [item.callspec.params for item in request.session.items
             if item.path == request.path and hasattr(item, "callspec")]  # fmt: skip
    here = [(one["suite"], one["mode"]) for one in asked if not missing(one["suite"])]
    futures = {}
    for alone, at_once in ((True, 1), (False, AT_ONCE)):
        with ThreadPoolExecutor(at_once) as pool:
            for suite, mode in here:
                if suite.alone == alone:
                    future = pool.submit(run_both, suite, mode, directory, package)
                    futures[suite.module, mode] = future
    return futures


@pytest.mark.timeout(8 * PATIENCE_S)
@pytest.mark.parametrize("mode", EXCLUDED)
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.module)
def test_suite_goes_as_with_the_standard_module(suite, mode, outcomes):
    """The same tests run, the same are skipped, and none fails that passes without us."""
    if reason := missing(suite):
        pytest.skip(reason)
    pairs = outcomes[suite.module, mode].result()
    for number, (plain, ours) in enumerate(pairs, start=1):
        assert ours["ran"] == plain["ran"]
        assert ours["ran"], "no test was selected"
        assert ours["skipped"] == plain["skipped"]
        excluded = set(EXCLUDED[mode]) & set(ours["ran"])
        excused = excluded | set(plain["failed"])
        if number < len(pairs):
            excused |= set(LOAD_SENSITIVE)
        failures = {name: text for name, text in ours["failed"].items() if name not in excused}
        assert not failures, "\n\n".join(f"{name}\n{text}" for name, text in failures.items())
        assert excluded <= set(ours["failed"]), "passes with ours: take it off the list"
