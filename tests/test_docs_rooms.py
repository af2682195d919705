"""What pages say of the package's rooms, modules and methods is there, and the map leaves no room out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mosaic_deploy.backends.protocol import Backend
from tests.test_docs import PAGES, ROOT

PACKAGE = ROOT / "mosaic_deploy"
MAP = ROOT / "docs" / "explanation" / "architecture.md"
_ROW = re.compile(r"^\| (?P<names>(?:`[a-z_/.]+`(?:, )?)+) \|", re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"(?<![\w/.])(?:mosaic_deploy|tests|benchmarks)/[\w/.-]*[\w/]")
_MODULE = re.compile(r"(?<![\w/.])mosaic_deploy(?:\.\w+)+")
_EXAMPLES = ("NAME", "tiny")
"""In a path: what the reader makes."""


def rooms(text: str) -> list[str]:
    """The map's rooms and modules, in the order of its tables."""
    section = text[text.index("## The rooms") : text.index("Where does a change go?")]
    found = (_SPAN.findall(row["names"]) for row in _ROW.finditer(section))
    return [name for names in found for name in names if name.endswith(("/", ".py"))]


def packages() -> set[str]:
    """Every package, as the map writes it."""
    inits = PACKAGE.rglob("__init__.py")
    return {f"{path.parent.relative_to(PACKAGE)}/" for path in inits} - {"./"}


def floors() -> list[str]:
    """The layers that import-linter checks, from the top."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [name.strip() for layer in layers for name in layer.split("|")]


def wrong_on_map(text: str) -> list[str]:
    """Rooms that the map leaves out, names twice, or makes up, and floors in another order."""
    named = rooms(text)
    top = [name.rstrip("/").removesuffix(".py") for name in named if name.count("/") == name.endswith("/")]
    wrong = [f"left out: {name}" for name in sorted(packages() - set(named))]
    wrong += [f"not there: {name}" for name in named if not (PACKAGE / name).exists()]
    wrong += [f"twice: {name}" for name in sorted(set(named)) if named.count(name) > 1]
    if top != [name for name in floors() if not name.startswith("_")]:
        wrong.append(f"floors: {', '.join(top)}")
    return wrong


def test_the_map_shows_every_room_and_no_other() -> None:
    text = MAP.read_text(encoding="utf-8")
    assert wrong_on_map(text) == []
    spans = [name for name in _SPAN.findall(text) if re.fullmatch(r"[a-z_]+/[a-z_/]*(?:\.py)?", name)]
    assert [name for name in spans if not (PACKAGE / name).exists() and not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("| `graph/passes/` |", "| passes |", "left out: graph/passes/", id="left-out"),
        pytest.param("| `graph/passes/` |", "| `graph/cures/` |", "not there: graph/cures/", id="made-up"),
        pytest.param("| `graph/passes/` |", "| `graph/reader/` |", "twice: graph/reader/", id="twice"),
        pytest.param("| `workers/` |", "| `zoo/` |", "floors: cli", id="floors"),
    ],
)
def test_a_wrong_map_would_be_noticed(old: str, new: str, said: str) -> None:
    text = MAP.read_text(encoding="utf-8")
    assert old in text
    assert any(wrong.startswith(said) for wrong in wrong_on_map(text.replace(old, new)))


def gone(text: str) -> list[str]:
    """Files and modules of the project that a page names and that are not there."""
    paths = [path for path in _PATH.findall(text) if not any(word in path for word in _EXAMPLES)]
    missing = [path for path in paths if not (ROOT / path).exists()]
    return missing + [name for name in _MODULE.findall(text) if not _importable(name)]


def _importable(name: str) -> bool:
    """Whether it is a module, or a name that a module (or the public API) holds; nothing is imported."""
    place = ROOT / name.replace(".", "/")
    if place.is_dir() or place.with_suffix(".py").is_file():
        return True
    home, word = place.parent, name.rpartition(".")[2]
    source = home / "__init__.py" if home.is_dir() else home.with_suffix(".py")
    return source.is_file() and re.search(rf"\b{word}\b", source.read_text(encoding="utf-8")) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_modules_and_files_that_a_page_names_are_there(page: Path) -> None:
    assert gone(page.read_text(encoding="utf-8")) == []


def test_a_module_that_is_gone_would_be_noticed() -> None:
    text = "see `mosaic_deploy/passes/`, `mosaic_deploy.tools.call` and `tests/passes/test_NAME.py`"
    assert gone(text) == ["mosaic_deploy/passes/", "mosaic_deploy.tools.call"]
    assert gone("`mosaic_deploy.check`, `mosaic_deploy/gate/fix/fix.py`, `mosaic_deploy.zoo.network`") == []


def test_the_page_on_targets_names_every_method_of_a_backend() -> None:
    page = (ROOT / "docs" / "how-to" / "add-a-target.md").read_text(encoding="utf-8")
    methods = [name for name in vars(Backend) if not name.startswith("_")]
    assert len(methods) > 5
    assert [name for name in methods if f"| `{name}" not in page] == []
