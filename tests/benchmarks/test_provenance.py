"""Figures are stored only if they belong to a commit: sources, package and build."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.provenance import Checkout

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")


def git(root: Path, *arguments: str) -> None:
    """Run git as somebody, whoever runs the tests."""
    who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A small repository of our layout, built in place."""
    package = tmp_path / "src" / "fastsocketserver"
    for path in (package / "_base.py", tmp_path / "cext" / "_loop.pyx", tmp_path / "setup.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1\n")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "guard.json").write_text("{}\n")
    (tmp_path / "README.md").write_text("figures\n")
    (tmp_path / ".gitignore").write_text("*.so\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "All of it")
    (package / "_loop.so").write_text("compiled\n")
    return Checkout(tmp_path)


def test_sources_since_a_commit_are_compared(checkout: Checkout) -> None:
    """Stored figures match a checkout if what is measured is still the same."""
    stored_at = checkout.commit()
    (checkout.root / "README.md").write_text("new figures\n")
    git(checkout.root, "commit", "--quiet", "--all", "--message", "Store figures")
    assert checkout.since(stored_at) == "the same sources"
    (checkout.root / "cext" / "_loop.pyx").write_text("2\n")
    git(checkout.root, "commit", "--quiet", "--all", "--message", "Change the loop")
    assert checkout.since(stored_at) == "other sources"
    assert checkout.since("0" * 40) == "a commit that is not here"


def test_unmodified_checkout_may_store(checkout: Checkout) -> None:
    """The package in place, built after its sources."""
    assert checkout.why_not_storable(checkout.package) is None


@pytest.mark.parametrize(
    "name", ["src/fastsocketserver/_base.py", "cext/_loop.pyx", "setup.py"]
)
def test_modified_source_is_refused(checkout: Checkout, name: str) -> None:
    """What is measured would belong to no commit."""
    (checkout.root / name).write_text("2\n")
    assert "modified" in checkout.why_not_storable(checkout.package)
    assert checkout.commit().endswith("-modified")


def test_new_source_is_refused(checkout: Checkout) -> None:
    """A file that git does not know yet is part of the build, too."""
    (checkout.root / "cext" / "fss_new.c").write_text("int x;\n")
    assert "modified" in checkout.why_not_storable(checkout.package)


@pytest.mark.parametrize("name", ["benchmarks/guard.json", "README.md"])
def test_stored_figures_do_not_count_as_modified(checkout: Checkout, name: str) -> None:
    """Else the second of two commands that store could never run."""
    (checkout.root / name).write_text("new figures\n")
    assert checkout.why_not_storable(checkout.package) is None


def test_package_of_another_checkout_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    """An installed package of an older commit was once measured as this one."""
    installed = tmp_path / "site-packages" / "fastsocketserver"
    shutil.copytree(checkout.package, installed)
    assert checkout.why_not_storable(installed) is None
    (installed / "_base.py").write_text("0\n")
    assert "_base.py" in checkout.why_not_storable(installed)


def test_compiled_module_older_than_its_sources_is_refused(checkout: Checkout) -> None:
    """Somebody went to another commit and did not build."""
    before_all = 1_000_000_000
    os.utime(checkout.package / "_loop.so", (before_all, before_all))
    assert "_loop.so" in checkout.why_not_storable(checkout.package)


def test_directory_without_git_is_refused(tmp_path: Path) -> None:
    """An unpacked archive names no commit."""
    assert "commit" in Checkout(tmp_path).why_not_storable(tmp_path)
