"""What the first run of the tests installs, and what it says where it cannot."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import extras


def fake_uv(folder: Path, status: int) -> list[str]:
    """A program in place of uv that notes its arguments and environment, and ends with a status."""
    program = folder / "uv.py"
    program.write_text(
        "import os, sys\nfrom pathlib import Path\n"
        f"Path({str(folder / 'said')!r}).write_text(' '.join(sys.argv[1:]) + '\\n'"
        " + os.environ['UV_PROJECT_ENVIRONMENT'])\n"
        f"sys.exit({status})\n",
        encoding="utf-8",
    )
    return [sys.executable, str(program)]


def test_every_extra_is_required_and_here() -> None:
    names = extras.required()
    assert {"torch", "onnx2tf", "onnxruntime-qnn", "openvino", "numpy"} <= set(names)
    assert "mosaic-deploy" not in names
    assert extras.missing(names) == ()


def test_what_is_not_installed_is_missing(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[project.optional-dependencies]\na = ["numpy==2.2.6", "of-nobody>=1"]\nall = ["mosaic-deploy[a]"]\n'
    )
    assert extras.required(project) == ("numpy", "of-nobody")
    assert extras.missing(extras.required(project)) == ("of-nobody",)


def test_uv_is_told_which_environment(tmp_path: Path) -> None:
    assert extras.install(fake_uv(tmp_path, 0)) == ""
    said, environment = (tmp_path / "said").read_text().splitlines()
    assert said == f"sync --inexact --all-extras --project {extras.ROOT}"
    assert environment == sys.prefix


def test_where_uv_fails_one_line_says_so(tmp_path: Path) -> None:
    problem = extras.install(fake_uv(tmp_path, 2))
    assert problem.startswith("uv sync --inexact --all-extras ended with status 2")
    assert "\n" not in problem


def test_nothing_is_installed_outside_a_virtual_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    assert "no virtual environment" in extras.install(fake_uv(tmp_path, 0))
    assert not (tmp_path / "said").exists()
