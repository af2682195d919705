"""The packages of the extras, which most tests need: the first run of the tests installs what is missing.

``uv run pytest`` begins with the core and the tools of the group ``dev`` alone. Before any test module is
imported, ``tests/conftest.py`` lets uv put the extras into the environment that runs, and begins anew.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SYNC = ("sync", "--inexact", "--all-extras")
SIZE = "6.5 GB"
"""What all extras take on disk when installed, measured; most of it is PyTorch, which brings CUDA along."""


def required(project: Path = ROOT / "pyproject.toml") -> tuple[str, ...]:
    """The distributions that the project's extras name, sorted."""
    extras = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    names = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for lines in extras.values() for line in lines}
    return tuple(sorted(names - {"mosaic-deploy"}))


def missing(names: Sequence[str]) -> tuple[str, ...]:
    """Those of the distributions that are not installed here, in any version."""
    absent = []
    for name in names:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    return tuple(absent)


def install(uv: Sequence[str] = (sys.executable, "-m", "uv")) -> str:
    """Let uv install every extra into the environment that runs; says in one line why it could not, or ''."""
    if sys.prefix == sys.base_prefix:
        return "no virtual environment to install the extras into: run the tests with 'uv run pytest'"
    done = subprocess.run(
        [*uv, *SYNC, "--project", str(ROOT)],
        cwd=ROOT,
        env={**os.environ, "UV_PROJECT_ENVIRONMENT": sys.prefix},
        check=False,
    )
    if done.returncode:
        return f"uv {' '.join(SYNC)} ended with status {done.returncode}: see above, and run it by hand"
    return ""
