"""Cards, targets and recipes: the project's own are sound, and a wrong one is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs import registry as specs
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.specs.recipe import IntegerFormat, QuantRecipe
from mosaic_deploy.specs.registry import load_spec, locate_spec, spec_names
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.target import TargetSpec

OURS: list[tuple[Any, str]] = [
    *((ModelCard, name) for name in spec_names(ModelCard)),
    *((TargetSpec, name) for name in spec_names(TargetSpec)),
    *((QuantRecipe, name) for name in spec_names(QuantRecipe)),
]

CARD = """\
schema = 1
name = "tiny"
summary = "a test"
licence = "Apache-2.0"

[source]
{source}

[contract]
height = 64
width = 64
classes = ["sky", "road"]
palette = [[0, 0, 0], [1, 1, 1]]
"""
TARGET = """\
schema = 1
name = "chip"
summary = "a test"
backend = "echo"
ops = "chip"
recipes = ["w8a8"]
"""
RECIPE = """\
schema = 1
name = "w8a8"
summary = "a test"

[weights]
bits = 8
signed = true
symmetric = true
per_channel = true

[activations]
bits = 8
signed = false
symmetric = false
"""


def write(tmp_path: Path, text: str, name: str = "it.toml") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def card(tmp_path: Path, source: str) -> ModelCard:
    return load_spec(ModelCard, write(tmp_path, CARD.format(source=source)))


@pytest.mark.parametrize(("kind", "name"), OURS, ids=[f"{k.__name__}-{n}" for k, n in OURS])
def test_the_projects_own_files_are_sound(kind: Any, name: str) -> None:
    assert load_spec(kind, name).name == name


def test_targets_name_recipes_and_cards_name_data_that_exist() -> None:
    from mosaic_deploy.datasets import DATASETS

    recipes = set(spec_names(QuantRecipe))
    for name in spec_names(TargetSpec):
        assert set(load_spec(TargetSpec, name).recipes) <= recipes
    for name in spec_names(ModelCard):
        data = load_spec(ModelCard, name).data
        assert data is None or data.partition(":")[0] in DATASETS


def test_good_files(tmp_path: Path) -> None:
    made = card(
        tmp_path, 'factory = "mosaic"\nweights = "weights/tiny.safetensors"\nswitches = {f = 32, on = true}'
    )
    assert made.source.weights == Path("weights/tiny.safetensors")
    assert made.source.switches == {"f": 32, "on": True}
    assert made.contract.classes == ("sky", "road")
    assert made.data is None
    target = load_spec(TargetSpec, write(tmp_path, TARGET))
    assert target.tolerance == 0.01
    recipe = load_spec(QuantRecipe, write(tmp_path, RECIPE))
    assert recipe.calibration.method == "minmax"
    assert isinstance(recipe.weights, IntegerFormat)
    assert isinstance(recipe.activations, IntegerFormat)
    assert recipe.weights.per_channel
    assert not recipe.activations.per_channel


def test_a_float_recipe_needs_no_grid(tmp_path: Path) -> None:
    text = "schema = 1\nname = 'half'\nsummary = 's'\nweights = 'float16'\nactivations = 'float16'\n"
    recipe = load_spec(QuantRecipe, write(tmp_path, text))
    assert recipe.precision == "float"
    assert recipe.tolerance is None
    mixed = text.replace(
        "activations = 'float16'", "[activations]\nbits = 8\nsigned = true\nsymmetric = true"
    )
    with pytest.raises(SpecError, match="both integers or both floats"):
        load_spec(QuantRecipe, write(tmp_path, mixed))
    with pytest.raises(SpecError, match=r"weights: "):
        load_spec(QuantRecipe, write(tmp_path, text.replace("'float16'", "'float8'", 1)))


def test_a_card_survives_the_way_through_a_manifest(tmp_path: Path) -> None:
    made = card(tmp_path, 'onnx = "tiny.onnx"')
    assert ModelCard.model_validate_json(made.model_dump_json(by_alias=True)) == made


@pytest.mark.parametrize("key", ["weights", "onnx"])
@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../b", "..", ".", ""])
def test_paths_stay_beside_the_card(tmp_path: Path, key: str, path: str) -> None:
    source = f'{key} = "{path}"' + ('\nfactory = "mosaic"' if key == "weights" else "")
    with pytest.raises(SpecError, match=f"source\\.{key}: .*must lie beside the card or below"):
        card(tmp_path, source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "source: name either a factory or an onnx file"),
        ('factory = "a"\nonnx = "b.onnx"', "source: name either a factory or an onnx file"),
        ('onnx = "b.onnx"\nweights = "w"', "source: switches and weights go with a factory"),
        ('onnx = "b.onnx"\nwieghts = "w"', "unknown key 'source.wieghts' (did you mean 'weights'?)"),
        ('onnx = "b.onnx"\n[training]\ndatas = []', "unknown key 'training.datas' (did you mean 'data'?)"),
        (
            'onnx = "b.onnx"\n[training]\ndata = []\ncommands = []\nmiou = {val = 75.0}',
            "training.miou.val: Input should be less than or equal to 1",
        ),
    ],
    ids=["none", "both", "onnx-with-weights", "typo", "typo-in-optional", "percent"],
)
def test_wrong_cards(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(SpecError) as err:
        card(tmp_path, source)
    assert str(err.value).startswith(f"{tmp_path / 'it.toml'}: {message}")
    assert "\n" not in str(err.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("height = 64", "hieght = 64", "unknown key 'contract.hieght' (did you mean 'height'?)"),
        ("height = 64", "height = 5", "contract.height: Input should be greater than or equal to 16"),
        ('["sky", "road"]', '["sky"]', "contract: 1 classes: 2 to 255 are supported"),
        ("[1, 1, 1]", "[1, 1]", "the key 'contract.palette.1.2' is missing"),
        ('"tiny"', '"../tiny"', "name: String should match pattern"),
    ],
    ids=["typo", "range", "classes", "palette", "name"],
)
def test_wrong_contracts(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = CARD.format(source='onnx = "b.onnx"').replace(old, new)
    with pytest.raises(SpecError) as err:
        load_spec(ModelCard, write(tmp_path, text))
    assert str(err.value).startswith(f"{tmp_path / 'it.toml'}: {message}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tolerance = 1.5", "tolerance: Input should be less than or equal to 1"),
        ("tolerance = -0.1", "tolerance: Input should be greater than or equal to 0"),
        ("tolerance = nan", "tolerance: "),
        ("tolerence = 0.1", "unknown key 'tolerence' (did you mean 'tolerance'?)"),
        ("schema = 1", "not valid TOML"),
    ],
    ids=["over", "under", "nan", "typo", "twice"],
)
def test_wrong_targets(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(SpecError) as err:
        load_spec(TargetSpec, write(tmp_path, TARGET + line))
    assert str(err.value).startswith(f"{tmp_path / 'it.toml'}: {message}")


def test_a_target_needs_a_recipe(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="recipes"):
        load_spec(TargetSpec, write(tmp_path, TARGET.replace('["w8a8"]', "[]")))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bits = 8", "bits = 7", "weights.bits: Input should be 8 or 16, found 7"),
        ("[activations]", "[activation]", "unknown key 'activation' (did you mean 'activations'?)"),
        ("per_channel", "perchannel", "unknown key 'weights.perchannel' (did you mean 'per_channel'?)"),
        ("[weights]", "[calibration]\nsamples = 0\n[weights]", "calibration.samples: "),
        ("[weights]", "[calibration]\npercentile = 50.0\n[weights]", "calibration.percentile: "),
    ],
    ids=["bits", "table", "key", "samples", "percentile"],
)
def test_wrong_recipes(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError) as err:
        load_spec(QuantRecipe, write(tmp_path, RECIPE.replace(old, new)))
    assert str(err.value).startswith(f"{tmp_path / 'it.toml'}: {message}")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with one target and two recipes in it."""
    (tmp_path / "targets").mkdir()
    (tmp_path / "quant").mkdir()
    write(tmp_path / "targets", TARGET, "chip.toml")
    for name in ("w8a8", "other"):
        write(tmp_path / "quant", RECIPE, f"{name}.toml")
    monkeypatch.setattr(specs, "spec_root", lambda: tmp_path)
    return tmp_path


def test_names_are_sorted_and_found(home: Path) -> None:
    assert spec_names(QuantRecipe) == ("other", "w8a8")
    assert spec_names(ModelCard) == ()
    assert load_spec(TargetSpec, "chip").backend == "echo"
    assert locate_spec(QuantRecipe, "w8a8") == home / "quant/w8a8.toml"


def test_a_file_must_state_its_own_name(home: Path) -> None:
    with pytest.raises(SpecError, match=r"other\.toml: states the name 'w8a8', its file is called 'other'"):
        load_spec(QuantRecipe, "other")
    assert load_spec(QuantRecipe, str(home / "quant/other.toml")).name == "w8a8"


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (TargetSpec, "chipp", "no target 'chipp' (did you mean 'chip'?); known: chip"),
        (QuantRecipe, "zzz", "no recipe 'zzz'; known: other, w8a8"),
        (ModelCard, "mosaic", "no model 'mosaic'; known: none"),
        (TargetSpec, "../targets/chip", "no target '../targets/chip'; known: chip"),
        (TargetSpec, "nowhere/x.toml", "nowhere/x.toml: no such file"),
    ],
    ids=["typo", "far", "none-known", "path-as-name", "missing-file"],
)
def test_unknown_names(home: Path, kind: Any, name: str, message: str) -> None:
    with pytest.raises(SpecError) as err:
        load_spec(kind, name)
    assert str(err.value) == message


def test_spec_root_holds_the_projects_folders() -> None:
    assert (spec_root() / "models").is_dir()
