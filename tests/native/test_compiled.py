"""All compiled modules come out of one shared object, and nothing of that is to be seen."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import fastsocketserver
from fastsocketserver import _compiled, _native
from native.processes import run_program

SOURCES = Path(__file__).parents[2] / "cext"


@pytest.mark.parametrize("name", _compiled.NAMES)
def test_module_knows_its_name_and_file(name):
    """As if it had a file of its own."""
    module = sys.modules[f"fastsocketserver.{name}"]
    assert module is getattr(fastsocketserver, name)
    assert (module.__name__, module.__package__) == (
        f"fastsocketserver.{name}",
        "fastsocketserver",
    )
    assert module.__file__ == module.__spec__.origin == _native.__file__
    assert importlib.import_module(module.__name__) is module


def test_every_source_is_loaded():
    """A new one has to be named in two places."""
    names = {path.stem for path in SOURCES.glob("*.pyx")}
    assert names == {"_native", *_compiled.NAMES}


def test_import_leaves_no_finder_behind():
    """Nor does one that fails."""
    program = """
    import sys
    before = list(sys.meta_path)
    import fastsocketserver
    print(sys.meta_path == before)
    import fastsocketserver._compiled as compiled
    compiled.NAMES += ("_missing",)
    try:
        compiled.load()
    except ImportError as error:
        print("_missing" in str(error), sys.meta_path == before)
    """
    assert run_program(program) == ["True", "True True"]
