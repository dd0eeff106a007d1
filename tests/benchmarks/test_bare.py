"""Servers of the robustness figures have imported the module under test and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness import bare_process
from harness.bare_process import BareProcess, start_replies
from harness.errors import MeasurementError
from harness.faults import Exhausted
from harness.implementations import OURS, STANDARD
from harness.interrupts import measure_interrupts
from harness.lifecycle import measure_cycles
from harness.sharing import measure_sharing
from harness.token_clients import run_clients

both = pytest.mark.parametrize("impl", [STANDARD, OURS])


@both
def test_server_imports_what_its_module_imports(impl: str) -> None:
    """Serving some clients adds nothing, either."""
    with start_replies(impl, "ThreadingTCPServer") as server:
        server.tell("serve")
        tally = run_clients(server.announced["port"], 4, 10.0, lambda tally: tally.ended < 20)
        assert server.imported_since() == []
    assert tally.answered >= 20
    assert (tally.wrong, tally.hung, tally.unanswered) == (0, 0, 0)


@both
def test_program_that_imports_more_gives_no_figure(
    impl: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named, so that one sees what crept in."""
    shutil.copy(bare_process.BARE / "wire.py", tmp_path)
    text = "import json, wire\nwire.server_module()\nwire.answer(modules=wire.own_modules())\n"
    (tmp_path / "careless.py").write_text(text)
    monkeypatch.setattr(bare_process, "BARE", tmp_path)
    with pytest.raises(MeasurementError, match=r"has imported .*json"):
        BareProcess(impl, "careless")


@both
def test_exhausted_server_has_no_descriptor_left(impl: str) -> None:
    """What the exhaustion figures stand on."""
    with start_replies(impl, "TCPServer") as server:
        exhausted = Exhausted(server)
        assert server.tell("fill") == server.tell("fill")
        exhausted.relieve()
        assert server.tell("fill") > 0


@both
def test_short_runs_give_all_figures(impl: str) -> None:
    """The commands themselves take minutes."""
    cycles = measure_cycles({impl: 2})[impl]
    assert (cycles.threads_left, cycles.descriptors_left) == (0, 0)
    found = measure_interrupts(impl, "TCPServer", 5)
    assert found["interrupts"] == 5
    assert found["mixed_up"] == 0
    shared = measure_sharing(impl, 100)
    assert shared["call_silent_ms"] >= 0
