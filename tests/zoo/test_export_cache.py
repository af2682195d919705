"""Exports found by what they were made from; every ingredient that changes must miss."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.zoo import export_cache, sources
from mosaic_deploy.zoo.card_export import EXPORTER, export_card
from mosaic_deploy.zoo.export_cache import find_export, ingredients, keep_export, key_of, refresh_export

ROOT = spec_root() / "models"
REFRESH = "run: uv run python -m mosaic_deploy.zoo.export_cache mosaic"


@pytest.fixture
def card() -> ModelCard:
    return load_spec(ModelCard, "mosaic")


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, empty, and no export that comes with the project."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(export_cache, "_project_folder", lambda: tmp_path / "none")
    return tmp_path / "cache" / "mosaic-deploy" / "exports"


def silent(_share: float, _text: str) -> None:
    """Show no progress."""


def test_the_projects_export_is_of_todays_weights_code_and_exporter(card: ModelCard) -> None:
    found = find_export(card, ROOT)
    assert found is not None, REFRESH
    assert found.model == (ROOT / "exports" / "mosaic.onnx").read_bytes()
    assert found.versions["torch"].startswith(EXPORTER["torch"])


@pytest.mark.slow
def test_a_fresh_export_is_the_projects_byte_for_byte(card: ModelCard, tmp_path: Path) -> None:
    export_card(card, ROOT, tmp_path / "fresh.onnx", silent)
    kept = ROOT / "exports" / "mosaic.onnx"
    assert (tmp_path / "fresh.onnx").read_bytes() == kept.read_bytes(), REFRESH


def test_the_exporters_versions_are_those_that_are_pinned() -> None:
    project = tomllib.loads((spec_root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(line.split("==") for line in project["optional-dependencies"]["zoo"] if "==" in line)
    assert {name: pins.get(name) for name in EXPORTER} == dict(EXPORTER)


@pytest.mark.parametrize("name", ["torch", "onnxsim"])
def test_without_the_exporter_one_line_says_what_to_install(
    card: ModelCard, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ToolError, match=rf"^mosaic: .* {name} is missing: pip install 'mosaic"):
        export_card(card, ROOT, tmp_path / "x.onnx", silent)


def test_other_weights_miss(card: ModelCard, tmp_path: Path) -> None:
    weights = bytearray((ROOT / "mosaic.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "mosaic.safetensors").write_bytes(weights)
    assert find_export(card, tmp_path) is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"height": 416}, id="height"),
        pytest.param({"output": "classmap"}, id="output"),
        pytest.param({"layout": "NHWC"}, id="layout"),
    ],
)
def test_another_contract_misses(card: ModelCard, changes: dict[str, object]) -> None:
    other = card.model_copy(update={"contract": card.contract.model_copy(update=changes)})
    assert find_export(other, ROOT) is None


def test_another_switch_misses(card: ModelCard) -> None:
    source = card.source.model_copy(update={"switches": {"classes": 11, "sampling": "asymmetric"}})
    assert find_export(card.model_copy(update={"source": source}), ROOT) is None


@pytest.mark.parametrize("name", ["torch", "onnxsim"])
def test_another_exporter_misses(card: ModelCard, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_cache, "EXPORTER", {**EXPORTER, name: "99"})
    assert find_export(card, ROOT) is None


@pytest.mark.parametrize(
    "file", ["zoo/networks/mosaic.py", "zoo/layers/layers.py", "zoo/export.py", "graph/origin_names.py"]
)
def test_other_code_misses(
    card: ModelCard, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "mosaic_deploy"
    shutil.copytree(sources._PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "_PACKAGE", package)
    assert find_export(card, ROOT) is not None
    with open(package / file, "a", encoding="utf-8") as code:
        code.write("# changed\n")
    assert find_export(card, ROOT) is None


def test_the_ingredients_are_all_the_code_of_the_network_and_its_export(card: ModelCard) -> None:
    made_from = ingredients(card, ROOT)
    assert made_from is not None
    files = made_from["sources"]
    assert isinstance(files, dict)
    assert set(files) >= {
        "graph/origin_names.py", "zoo/backbones/mnmh.py", "zoo/card_export.py", "zoo/export.py",
        "zoo/layers/depthwise.py", "zoo/layers/layers.py", "zoo/network.py", "zoo/networks/mosaic.py",
        "zoo/switches.py", "zoo/weights.py",
    }  # fmt: skip
    assert not [name for name in files if "train" in name or "mlperf" in name]


def test_what_was_exported_is_found_again(card: ModelCard, user: Path, tmp_path: Path) -> None:
    (tmp_path / "made.onnx").write_bytes(b"a graph")
    assert find_export(card, ROOT) is None
    assert keep_export(card, ROOT, tmp_path / "made.onnx", {**EXPORTER, "torch": "2.15.0+cpu"})
    found = find_export(card, ROOT)
    assert found is not None
    assert (found.model, found.versions["torch"]) == (b"a graph", "2.15.0+cpu")
    assert len(list(user.iterdir())) == 2


def test_an_export_of_other_versions_is_not_kept(card: ModelCard, user: Path, tmp_path: Path) -> None:
    (tmp_path / "made.onnx").write_bytes(b"a graph")
    assert not keep_export(card, ROOT, tmp_path / "made.onnx", {**EXPORTER, "torch": "2.16.0"})
    assert not user.exists()


def test_a_cache_that_cannot_be_written_is_done_without(card: ModelCard, user: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    (tmp_path / "made.onnx").write_bytes(b"a graph")
    assert not keep_export(card, ROOT, tmp_path / "made.onnx", EXPORTER)
    assert find_export(card, ROOT) is None


def _no_json(record: Path) -> None:
    record.write_text("{")


def _other_key(record: Path) -> None:
    record.write_text(json.dumps({**json.loads(record.read_text()), "key": "0" * 64}))


def _unknown_schema(record: Path) -> None:
    record.write_text(json.dumps({**json.loads(record.read_text()), "schema": 2}))


def _other_bytes(record: Path) -> None:
    record.with_suffix(".onnx").write_bytes(b"another graph")


def _cut_short(record: Path) -> None:
    record.with_suffix(".onnx").write_bytes(b"a gr")


def _no_model(record: Path) -> None:
    record.with_suffix(".onnx").unlink()


@pytest.mark.parametrize(
    "harm",
    [_no_json, _other_key, _unknown_schema, _other_bytes, _cut_short, _no_model],
    ids=lambda harm: harm.__name__,
)
def test_what_was_changed_in_the_cache_is_not_taken(
    card: ModelCard, user: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    (tmp_path / "made.onnx").write_bytes(b"a graph")
    keep_export(card, ROOT, tmp_path / "made.onnx", EXPORTER)
    (record,) = user.glob("*.json")
    harm(record)
    assert find_export(card, ROOT) is None


def test_a_card_without_a_network_or_its_weights_has_no_export(card: ModelCard, tmp_path: Path) -> None:
    assert find_export(card, tmp_path) is None
    source = card.source.model_copy(update={"factory": None, "onnx": Path("mosaic.onnx")})
    assert ingredients(card.model_copy(update={"source": source}), ROOT) is None
    unknown = card.source.model_copy(update={"factory": "mosiac"})
    assert find_export(card.model_copy(update={"source": unknown}), ROOT) is None


def test_an_untrained_export_depends_on_how_its_scenes_are_fed(card: ModelCard) -> None:
    source = card.source.model_copy(update={"weights": None})
    plain = card.model_copy(update={"source": source})
    fed = plain.model_copy(update={"contract": card.contract.model_copy(update={"mean": (0.0, 0.0, 0.0)})})
    made_from = [ingredients(one, ROOT) for one in (card, plain, fed)]
    keys = {key_of(made) for made in made_from if made is not None}
    assert len(keys) == 3
    assert plain.untrained
    assert not card.untrained


def test_only_trained_networks_of_the_zoo_get_an_export(
    card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "mosaic.toml").read_text(encoding="utf-8")
    (tmp_path / "random.toml").write_text(text.replace('weights = "mosaic.safetensors"', ""))
    with pytest.raises(ModelError, match="only a network of the zoo with its weights"):
        refresh_export(str(tmp_path / "random.toml"))


def test_a_head_in_the_switches_is_refused(card: ModelCard, tmp_path: Path) -> None:
    source = card.source.model_copy(update={"switches": {"classes": 11, "head": "logits"}})
    with pytest.raises(ModelError, match="leave head out"):
        export_card(card.model_copy(update={"source": source}), ROOT, tmp_path / "x.onnx", silent)


def test_the_record_states_the_files_digest() -> None:
    record = json.loads((ROOT / "exports" / "mosaic.json").read_text(encoding="utf-8"))
    assert record["sha256"] == hashlib.sha256((ROOT / "exports" / "mosaic.onnx").read_bytes()).hexdigest()
