"""README, CHANGELOG, metadata and workflow name the same Pythons."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = r"3\.(\d+)"


def text_of(name: str) -> str:
    """A file of the checkout; an installed package has none of them."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"no {name}: not a checkout")
    return path.read_text()


def versions(pattern: str, text: str) -> set[int]:
    """The minor versions that a pattern with one group finds."""
    return {int(minor) for minor in re.findall(pattern, text)}


def range_of(name: str, text: str) -> set[int]:
    """All from the first to the last of "CPython 3.10 to 3.13"; exactly one such place."""
    found = re.findall(rf"CPython {VERSION}\s+to\s+{VERSION}", text)
    assert len(found) == 1, f"{name} should say once: CPython 3.x to 3.y; it says {found}"
    first, last = map(int, found[0])
    return set(range(first, last + 1))


@pytest.fixture
def classified() -> set[int]:
    """What the classifiers name: the others are compared with this."""
    found = versions(
        rf'"Programming Language :: Python :: {VERSION}"', text_of("pyproject.toml")
    )
    assert found
    return found


def test_required_python_is_the_first_one(classified: set[int]) -> None:
    """`requires-python` has no upper end, on purpose: that keeps packages from resolving."""
    assert versions(rf'requires-python = ">={VERSION}"', text_of("pyproject.toml")) == {
        min(classified)
    }


def test_wheels_are_built_for_the_same_pythons(classified: set[int]) -> None:
    """cibuildwheel's list."""
    build = re.search(r"^build = .*$", text_of("pyproject.toml"), re.M)
    assert build is not None
    assert versions(r"cp3(\d+)-", build[0]) == classified


def test_readme_names_the_same_pythons(classified: set[int]) -> None:
    """Its section on installing."""
    install = text_of("README.md").partition("\n## Install\n")[2].partition("\n## ")[0]
    assert range_of("README.md", install) == classified


def test_changelog_names_the_same_pythons(classified: set[int]) -> None:
    """Its newest release."""
    newest = re.split(r"^## ", text_of("CHANGELOG.md"), flags=re.M)[1]
    assert range_of("CHANGELOG.md", newest) == classified


def test_workflow_tests_the_same_pythons(classified: set[int]) -> None:
    """Those that are promised are those that are tested."""
    matrix = re.search(r"python: \[.*\]", text_of(".github/workflows/wheels.yml"))
    assert matrix is not None
    assert versions(VERSION, matrix[0]) == classified


def test_lint_and_types_know_the_oldest_python(classified: set[int]) -> None:
    """Else newer syntax passes."""
    text = text_of("pyproject.toml")
    assert versions(r'target-version = "py3(\d+)"', text) == {min(classified)}
    assert versions(rf'python_version = "{VERSION}"', text) == {min(classified)}
