"""Loads the compiled modules, all of which are in one shared object.

Fact: a fork copies each mapping of memory, and what a shared object has written to; there
are three mappings and as many such pages in each. Choice: one shared object for all modules,
found by a finder that is there while we are imported. Gain: a fork with the package imported
costs 1.05x one without, and 1.23x with a shared object for each module.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec

from fastsocketserver import _native

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Sequence

# As in setup.py.
NAMES = (
    "_accept",
    "_children",
    "_datagrams",
    "_loop",
    "_pool",
    "_running",
    "_shortcuts",
    "_signals",
    "_streams",
    "_waiting",
)


class _Finder:
    """Finds the compiled modules; see `importlib.abc.MetaPathFinder`."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        package, _, module = name.rpartition(".")
        if package != __package__ or module not in NAMES:
            return None
        file = _native.__file__
        spec = ModuleSpec(name, ExtensionFileLoader(name, file), origin=file)
        spec.has_location = True
        return spec


def load() -> None:
    """Import all of them.

    Raises:
        ImportError: they are missing, or built for another Python.
    """
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        for name in NAMES:
            importlib.import_module(f"{__package__}.{name}")
    finally:
        sys.meta_path.remove(finder)
