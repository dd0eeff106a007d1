"""Which commit the figures belong to, and whether they may be stored under its name.

Stored are the tables in the documentation and `guard.json`. They must be made
of a commit and of nothing else: the sources as committed, the package that is
imported made of them, its compiled modules built after them.
"""

from __future__ import annotations

import importlib.util
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.native import BENCHMARKS

# What decides about figures. Documentation does not, nor do the stored figures:
# to store some must not keep the next command from storing others.
MEASURED = ("src", "cext", "setup.py", "benchmarks")
STORED = (":(exclude)benchmarks/guard.json", ":(exclude)*.md")

SAME_SOURCES = "the same sources"


@dataclass(frozen=True)
class Checkout:
    """A directory with our layout, usually of a git repository."""

    root: Path

    @property
    def package(self) -> Path:
        """Where its own package is."""
        return self.root / "src" / "fastsocketserver"

    def commit(self) -> str:
        """The commit, with "-modified" if what is measured differs; "" without git."""
        head = self._git("rev-parse", "HEAD")
        return head + "-modified" if head and self._changes() else head

    def since(self, commit: str) -> str:
        """How the sources of `commit` compare with the present ones: one of three phrases."""
        if not self._git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"):
            return "a commit that is not here"
        changed = self._git("diff", "--name-only", commit, "--", *MEASURED, *STORED)
        return "other sources" if changed else SAME_SOURCES

    def why_not_storable(self, package: Path) -> str | None:
        """None if figures of the imported `package` belong to the commit, else why not."""
        if not self._git("rev-parse", "HEAD"):
            return f"{self.root} is no git checkout: figures belong to a commit"
        if changed := self._changes():
            return f"the checkout is modified ({changed[0]}): figures belong to a commit"
        for source in sorted(self.package.glob("*.py")):
            measured = package / source.name
            if not measured.exists() or measured.read_bytes() != source.read_bytes():
                return f"{measured} is not the checkout's: install or build this commit"
        return self._stale_module(package)

    def _stale_module(self, package: Path) -> str | None:
        """A checkout of git touches what it changes, so older means: of another commit."""
        sources = [self.root / "setup.py", *self.root.glob("cext/*")]
        newest_s = max(path.stat().st_mtime for path in sources)
        for module in sorted(package.glob("*.so")):
            if module.stat().st_mtime < newest_s:
                return f"{module} is older than its sources: build again"
        return None

    def _changes(self) -> list[str]:
        return self._git("status", "--porcelain", "--", *MEASURED, *STORED).splitlines()

    def _git(self, *arguments: str) -> str:
        """What git says; "" if there is none, or no repository."""
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=self.root, capture_output=True, text=True
            )
        except OSError:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""


OUR_CHECKOUT = Checkout(BENCHMARKS.parent)


def why_not_storable() -> str | None:
    """None if figures of what this interpreter imports may be stored, else why not."""
    found = importlib.util.find_spec("fastsocketserver")
    if found is None or found.origin is None:
        return "fastsocketserver cannot be imported"
    return OUR_CHECKOUT.why_not_storable(Path(found.origin).parent)
