"""What is kept of op tables is the same as what was read, or it is not used."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mosaic_deploy.gate.op_support import table_cache, table_file
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.op_support.table_file import parse_table
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.specs.root import spec_root

HEAD = """
schema = 1
name = "ort-mobile"
summary = "a compiler that knows Relu"
tool = "pretend"
version = "1"
devices = ["a"]
fallback = false
folds_constants = true
[ops.Relu]
rules = [{ verdict = "runs", cases = 3, versions = [14], dtypes = ["float32"], ranks = [4] }]
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the entries, which is not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "mosaic-deploy" / "op-tables"


def parsed(text: str) -> OpTable:
    return parse_table(text, Path("pretend.toml"))


@pytest.mark.parametrize("name", sorted(p.stem for p in (spec_root() / "targets" / "ops").glob("*.toml")))
def test_what_is_kept_is_what_was_read(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_table(name)
    assert len(list(cache.glob(f"{name}@*.json"))) == 1
    monkeypatch.setattr(table_file, "parse_table", None)
    assert load_table(name) == first


def test_another_text_is_another_entry(cache: Path) -> None:
    table_cache.keep(parsed(HEAD), HEAD)
    assert table_cache.find("ort-mobile", HEAD) == parsed(HEAD)
    assert table_cache.find("ort-mobile", HEAD + "\n") is None


def test_another_version_is_another_entry(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table_cache.keep(parsed(HEAD), HEAD)
    monkeypatch.setattr(table_cache, "__version__", "other")
    assert table_cache.find("ort-mobile", HEAD) is None


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data.replace(b"[14]", b"[15]"), id="a-digit"),
        pytest.param(lambda data: data[:-20], id="cut-short"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"\xff" + data, id="no-text"),
        pytest.param(lambda data: b"", id="nothing"),
    ],
)
def test_a_spoilt_entry_is_none(cache: Path, spoil: object) -> None:
    table_cache.keep(parsed(HEAD), HEAD)
    (entry,) = cache.iterdir()
    assert callable(spoil)
    entry.write_bytes(spoil(entry.read_bytes()))
    assert table_cache.find("ort-mobile", HEAD) is None
    table_cache.keep(parsed(HEAD), HEAD)
    assert table_cache.find("ort-mobile", HEAD) == parsed(HEAD)


def test_an_entry_that_is_no_table_is_none(cache: Path) -> None:
    table_cache.keep(parsed(HEAD), HEAD)
    (entry,) = cache.iterdir()
    entry.write_bytes(hashlib.sha256(b"{}").hexdigest().encode() + b"\n{}")
    assert table_cache.find("ort-mobile", HEAD) is None


def test_a_folder_that_cannot_be_made_is_no_error(cache: Path) -> None:
    cache.parent.write_text("in the way")
    assert load_table("ort-mobile") == load_table("ort-mobile")


def test_a_relative_folder_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    load_table("ort-mobile")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_old_entries_go(cache: Path) -> None:
    texts = [HEAD + "\n" * count for count in range(table_cache._KEPT + 2)]
    for text in texts:
        table_cache.keep(parsed(text), text)
    assert len(list(cache.iterdir())) == table_cache._KEPT
    assert table_cache.find("ort-mobile", texts[-1]) is not None


def test_numbers_that_json_does_not_have_are_not_kept(cache: Path) -> None:
    text = HEAD.replace("cases = 3", "cases = 3, attributes = { alpha = [inf] }")
    table_cache.keep(parsed(text), text)
    assert table_cache.find("ort-mobile", text) is None
