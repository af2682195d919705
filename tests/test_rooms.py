"""The walls between rooms: that import-linter says no, and what it cannot see."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mosaic_deploy"


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module or name that a file imports from this package, in full."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mosaic_deploy"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("mosaic_deploy."))


def strangers(path: Path, text: str) -> list[str]:
    """Underscore modules of other rooms that a file imports; the project's own top level is everybody's."""
    room = (".".join(("mosaic_deploy", *path.parent.parts)),)
    found = []
    for name in imported(ast.parse(text)):
        parts = name.split(".")
        hidden = [i for i, part in enumerate(parts[:-1]) if part.startswith("_") and i > 1]
        if any(".".join(parts[:i]) not in room for i in hidden):
            found.append(name)
    return found


def places(text: str) -> list[str]:
    """Strings that name a function as ``package.module:function``."""
    strings = (n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant))
    return [s for s in strings if isinstance(s, str) and re.fullmatch(r"mosaic_deploy[\w.]*:\w+", s)]


SOURCES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if "_specs" not in path.parts)


def test_no_underscore_module_is_imported_from_another_room() -> None:
    texts = {path: (PACKAGE / path).read_text(encoding="utf-8") for path in SOURCES}
    assert {str(path): found for path, text in texts.items() if (found := strangers(path, text))} == {}


def test_a_stranger_would_be_noticed() -> None:
    text = "from mosaic_deploy.graph.passes._site import Site\n"
    assert strangers(Path("gate/fix/fix.py"), text) == ["mosaic_deploy.graph.passes._site.Site"]
    assert strangers(Path("graph/passes/norms.py"), text) == []


def test_child_calls_take_functions_and_no_names_of_them() -> None:
    texts = {path: (PACKAGE / path).read_text(encoding="utf-8") for path in SOURCES}
    assert {str(path): found for path, text in texts.items() if (found := places(text))} == {}
    assert places('Call("mosaic_deploy.backends.qnn.compile:write_dlc")') != []


@pytest.mark.parametrize(
    ("room", "line", "broken"),
    [
        pytest.param("specs/toml.py", "import mosaic_deploy.cli.app", "Floors", id="upwards"),
        pytest.param(
            "backends/ort/run.py", "import mosaic_deploy.backends.qnn.compile", "Runtimes", id="across"
        ),
        pytest.param("build/plan.py", "import mosaic_deploy.probing.run", "Probing", id="probing"),
        pytest.param("accuracy/metrics.py", "import torch", "Torch", id="torch"),
        pytest.param("datasets/images.py", "import mosaic_deploy.datasets.samples", "circles", id="circle"),
        pytest.param("attic/__init__.py", "", "Floors", id="a-room-without-a-floor"),
    ],
)
def test_import_linter_says_no(room: str, line: str, broken: str, tmp_path: Path) -> None:
    shutil.copytree(
        PACKAGE, tmp_path / "mosaic_deploy", ignore=shutil.ignore_patterns("__pycache__", "_specs")
    )
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    place = tmp_path / "mosaic_deploy" / room
    place.parent.mkdir(exist_ok=True)
    with place.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    program = "import sys; sys.path.insert(0, '.'); import importlinter.cli as c; c.lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "--no-cache"],
        cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(rf"{broken}.*BROKEN", done.stdout)
