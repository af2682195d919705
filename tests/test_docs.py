from __future__ import annotations

import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from pydantic import BaseModel
from typer.models import CommandInfo

from mosaic_deploy import errors
from mosaic_deploy.accuracy.parity import measure
from mosaic_deploy.artifact.manifest import Entry
from mosaic_deploy.backends.protocol import Step
from mosaic_deploy.build.doctor import Finding
from mosaic_deploy.build.doctor import to_json as health_json
from mosaic_deploy.build.report import BuildReport, Conversion, Failure, to_json
from mosaic_deploy.cli.app import app
from mosaic_deploy.datasets import DATASETS
from mosaic_deploy.datasets.folder import _Classes
from mosaic_deploy.errors import MosaicError
from mosaic_deploy.gate.op_support.judge import CheckReport, Violation
from mosaic_deploy.gate.op_support.table_file import TableFile
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import LabelSpace
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.specs.toml import read_toml

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
SHELLS = ("sh", "yaml")
KINDS: dict[str, type[BaseModel]] = {
    "models": ModelCard,
    "targets": TargetSpec,
    "quant": QuantRecipe,
    "classes.toml": _Classes,
}
"""First folder (or name) of the path in a TOML example's first line -> its schema."""

_FENCE = re.compile(r"^(?P<marks>```+)(?P<language>\w*)\n(?P<body>.*?)^(?P=marks)$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_SPAN = re.compile(r"(?<!`)`(?:uv run )?(?P<command>mosaic-deploy [^`]+)`(?!`)")
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())


def fences(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each fenced block."""
    for found in _FENCE.finditer(page.read_text(encoding="utf-8")):
        yield found["language"], found["body"]


@cache
def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The page's headings as fragments of links."""
    plain = (re.sub(r"[^\w\- ]", "", found["text"].lower()) for found in _HEADING.finditer(prose(page)))
    return {text.replace(" ", "-") for text in plain}


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every ``mosaic-deploy`` command that the page shows."""
    for language, body in fences(page):
        if language in SHELLS:
            for line in body.replace("\\\n", " ").splitlines():
                if not line.lstrip().startswith("#") and "mosaic-deploy " in line:
                    yield arguments(line[line.index("mosaic-deploy ") :])
    for found in _SPAN.finditer(prose(page)):
        yield arguments(found["command"])


def arguments(line: str) -> list[str]:
    """Words after the program's name, up to the shell's next command, pipe or redirection."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("();<>|&"):
            break
        words.append(word)
    return words[1:]


@cache
def program() -> Any:
    """The command line as Typer's group of commands."""
    return typer.main.get_command(app)


def parse(words: list[str]) -> None:
    """Parse a command as the program would, without running it; raises what the program would say."""
    name, *rest = words
    if name.startswith("-"):
        assert name in {flag for option in program().params for flag in option.opts} | {"--help"}
        return
    command = program().commands[name]
    if rest and "--help" not in rest:  # the name alone is a mention
        command.make_context(name, rest)


def keys(kind: type[BaseModel]) -> Iterator[str]:
    """Every key of a schema and of the tables in it, as TOML spells it."""
    for name, field in kind.model_fields.items():
        yield field.alias or name
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel) and part is not Contract:
                yield from keys(part)


def json_keys(value: object) -> Iterator[str]:
    """Every key of nested JSON."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from json_keys(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from json_keys(inner)


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for found in _LINK.finditer(prose(page)):
        target, _, fragment = found["target"].partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        there = (page.parent / target).resolve() if target else page
        lives = there.exists() and there.is_relative_to(ROOT)
        if not lives or (fragment and fragment not in anchors(there)):
            dead.append(found["target"])
    assert not dead


@every_page
def test_commands_parse(page: Path) -> None:
    for words in commands(page):
        try:
            parse(words)
        except (typer.TyperException, KeyError) as err:
            pytest.fail(f"mosaic-deploy {shlex.join(words)}: {err!r}")


@every_page
def test_toml_examples_load(page: Path, tmp_path: Path) -> None:
    for number, (language, body) in enumerate(fences(page)):
        if language != "toml":
            continue
        first = body.partition("\n")[0].removeprefix("# ")
        if first.startswith("part of "):
            tomllib.loads(body)
            continue
        kind = KINDS.get(first.partition("/")[0])
        assert kind is not None, (
            f"a TOML example begins with '# FOLDER/NAME.toml' or '# part of ...': {first}"
        )
        path = tmp_path / f"{number}.toml"
        path.write_text(body, encoding="utf-8")
        read_toml(kind, path)


@every_page
def test_no_figure_is_left_to_fill_in(page: Path) -> None:
    assert not re.findall(r"<<[^<>\n]+>>", page.read_text(encoding="utf-8"))


@every_page
def test_every_page_is_reachable(page: Path) -> None:
    linked = {
        (origin.parent / found["target"].partition("#")[0]).resolve()
        for origin in PAGES
        for found in _LINK.finditer(prose(origin))
    }
    assert page in {ROOT / "README.md"} | linked


def test_the_command_line_page_is_current() -> None:
    module = runpy.run_path(str(ROOT / "docs" / "generate_cli.py"))
    page = module["PAGE"].read_text(encoding="utf-8")
    assert page == module["render"](), "run: uv run python docs/generate_cli.py"


def test_the_command_line_page_would_notice_a_new_option(monkeypatch: pytest.MonkeyPatch) -> None:
    def new(*, brand_new: bool = False) -> None:
        """Do nothing."""

    module = runpy.run_path(str(ROOT / "docs" / "generate_cli.py"))
    grown = [*app.registered_commands, CommandInfo(name="new", callback=new)]
    monkeypatch.setattr(app, "registered_commands", grown)
    assert "--brand-new" not in module["PAGE"].read_text(encoding="utf-8")
    assert "`--brand-new, --no-brand-new`" in module["render"]()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("model-card", ModelCard, id="model-card"),
        pytest.param("model-card", Contract, id="contract"),
        pytest.param("target", TargetSpec, id="target"),
        pytest.param("target", TableFile, id="op-table"),
        pytest.param("recipe", QuantRecipe, id="recipe"),
        pytest.param("datasets", _Classes, id="folder-classes"),
    ],
)
def test_reference_pages_name_every_key(name: str, kind: type[BaseModel]) -> None:
    page = (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")
    assert [key for key in keys(kind) if f"`{key}`" not in page] == []


def test_the_json_page_names_every_key() -> None:
    page = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
    ids = np.zeros((2, 2), np.uint8)
    labels = LabelSpace(("a", "b"), ((0, 0, 0), (1, 1, 1)))
    violation = Violation("unknown", "n", "Op", "", "", "", 0.0, "", "", "")
    parity = measure([(ids, ids, ids)], labels=labels, dataset="d", tolerance=0.01)
    report = BuildReport(
        model="m",
        target="t",
        recipe="r",
        output="logits",
        folder="f",
        artifacts=(Entry("p", "log", 0, "0" * 64),),
        check=CheckReport("dsp", "tool 1", "w8a8", (), 0, 0, (violation,)),
        output_change=None,
        conversion=Conversion(parity, "float32"),
        variants={"v75": parity},
        seconds=1.0,
        facts={},
        steps=(Step("s", "t", "1", 0.0, 0),),
    )
    found = set(json_keys(to_json([report, Failure("m", "t", "r", "why", 3)]))) | set(
        json_keys(health_json([Finding("n", True, "", "")]))
    )
    assert [key for key in sorted(found) if f"`{key}`" not in page] == []


def test_the_data_set_page_names_every_data_set() -> None:
    page = (ROOT / "docs" / "reference" / "datasets.md").read_text(encoding="utf-8")
    assert [name for name in DATASETS if f"## {name}\n" not in page] == []


def test_the_exit_code_page_knows_every_error() -> None:
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    everything = (kind for kind in vars(errors).values() if isinstance(kind, type))
    kinds = [kind for kind in everything if issubclass(kind, MosaicError) and kind is not MosaicError]
    assert len(kinds) > 3
    assert [k.__name__ for k in kinds if f"| `{k.__name__}` | {k.exit_code} |" not in page] == []
