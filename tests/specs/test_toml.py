"""TOML against a schema: every mistake is one line with its place, and the nearest right key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs.toml import nearest, read_toml


class Leaf(BaseModel):
    model_config = ConfigDict(extra="forbid")

    colour: str = "red"
    size: Annotated[int, Field(ge=1)] = 1


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = Field(alias="schema")
    leaf: Leaf
    spare: Leaf | None = None
    leaves: tuple[Leaf, ...] = ()

    @model_validator(mode="after")
    def _not_green(self) -> Tree:
        if self.leaf.colour == "green":
            raise ValueError("green\nis taken")
        return self


GOOD = "schema = 1\n[leaf]\n"


def read(tmp_path: Path, text: str) -> Tree:
    path = tmp_path / "tree.toml"
    path.write_text(text, encoding="utf-8")
    return read_toml(Tree, path)


def test_good_file(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD + "size = 3\n").leaf.size == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "color = 'x'", "unknown key 'leaf.color' (did you mean 'colour'?)"),
        (GOOD + "[spare]\ncolor = 'x'", "unknown key 'spare.color' (did you mean 'colour'?)"),
        (GOOD + "[[leaves]]\n[[leaves]]\nsiz = 2", "unknown key 'leaves.1.siz' (did you mean 'size'?)"),
        ("shema = 1\n[leaf]", "unknown key 'shema' (did you mean 'schema'?)"),
        (GOOD + "xyz = 1", "unknown key 'leaf.xyz'"),
        ("[leaf]", "the key 'schema' is missing"),
        ("schema = 1", "the key 'leaf' is missing"),
        ("schema = 2\n[leaf]", "schema: Input should be 1, found 2"),
        (GOOD + "size = 0", "leaf.size: Input should be greater than or equal to 1, found 0"),
        (GOOD + "colour = 'green'", "the file: green is taken"),
        ("schema = ", "not valid TOML: Invalid value (at end of document)"),
    ],
    ids=[
        "nested", "in-optional", "in-list", "typo-of-a-needed-key", "nothing-near", "missing",
        "missing-table", "version", "range", "rule", "no-toml",
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError) as err:
        read(tmp_path, text)
    assert str(err.value) == f"{tmp_path / 'tree.toml'}: {message}"
    assert err.value.__cause__ is not None


def test_long_values_are_cut(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as err:
        read(tmp_path, GOOD + f"size = '{'x' * 500}'")
    assert len(str(err.value)) < len(str(tmp_path)) + 200


@pytest.mark.parametrize("kind", ["missing", "folder", "binary", "deep"])
def test_unreadable_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "tree.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    elif kind == "deep":
        path.write_text("a = " + "[" * 100_000)
    with pytest.raises(SpecError, match=r"cannot be read|not valid TOML") as err:
        read_toml(Tree, path)
    assert str(err.value).startswith(f"{path}: ")
    assert "\n" not in str(err.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mosaik", " (did you mean 'mosaic'?)"), ("zzz", ""), ("", "")],
    ids=["typo", "far", "empty"],
)
def test_nearest(name: str, hint: str) -> None:
    assert nearest(name, ["dsp", "mosaic"]) == hint
