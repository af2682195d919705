"""pytest passes over folders by their names, ``build`` among them; none of ours may be one."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def passed_over(files: Iterable[Path], patterns: Iterable[str]) -> set[str]:
    """Folders on the way to ``files`` that pytest does not enter."""
    folders = {part for path in files for part in path.relative_to(TESTS).parts[:-1]}
    return {folder for folder in folders for pattern in patterns if fnmatch(folder, pattern)}


def test_every_file_of_tests_is_collected(pytestconfig: pytest.Config) -> None:
    files = sorted(TESTS.rglob("test_*.py"))
    assert len(files) > 100
    assert passed_over(files, pytestconfig.getini("norecursedirs")) == set()


def test_a_folder_that_pytest_does_not_enter_is_found() -> None:
    files = [TESTS / "build" / "test_a.py", TESTS / "gate" / "test_b.py"]
    assert passed_over(files, ["dist", "build", ".*"]) == {"build"}
