from pathlib import Path

import pytest

from mosaic_deploy.build.model_source import InputOptions, find_model
from mosaic_deploy.errors import ModelError, MosaicError, SpecError, UsageError
from mosaic_deploy.specs.labels import LabelSpace
from tests.conftest import Tiny

LABELS = LabelSpace(("sky", "road", "car"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)))
FLOATS = InputOptions(mean=(127.5,) * 3, scale=(127.5,) * 3)


def test_a_name_a_card_and_an_onnx_with_its_card(tiny: Tiny) -> None:
    assert find_model("mosaic", options=InputOptions(), labels=None).card.contract.output == "logits"
    for path in (tiny.card, tiny.onnx):
        model = find_model(str(path), options=InputOptions(), labels=None)
        assert model.card.name == "tiny"
        assert model.root == tiny.root


def test_an_onnx_without_a_card_is_described_by_options(tiny: Tiny) -> None:
    tiny.card.unlink()
    card = find_model(str(tiny.onnx), options=FLOATS, labels=LABELS).card
    contract = card.contract
    assert (contract.height, contract.width, contract.layout, contract.dtype) == (32, 48, "NCHW", "float32")
    assert (contract.mean, contract.output, contract.classes) == ((127.5,) * 3, "logits", LABELS.classes)


@pytest.mark.parametrize(
    ("options", "labels", "says"),
    [
        (InputOptions(), LABELS, "--input-mean and --input-scale"),
        (FLOATS, None, "--data"),
        (InputOptions(mean=(0, 0, 0), scale=(0, 1, 1)), LABELS, "zero"),
        (InputOptions(mean=(0, 0, 0), scale=(1, 1, 1), colour="GRB"), LABELS, "colour"),
    ],
    ids=["no-normalisation", "no-classes", "zero-scale", "colour"],
)
def test_what_is_not_said_is_not_guessed(
    tiny: Tiny, options: InputOptions, labels: LabelSpace | None, says: str
) -> None:
    tiny.card.unlink()
    with pytest.raises(UsageError, match=says):
        find_model(str(tiny.onnx), options=options, labels=labels)


def test_options_beside_a_card_are_refused(tiny: Tiny) -> None:
    with pytest.raises(UsageError, match="leave the --input options out"):
        find_model(str(tiny.onnx), options=FLOATS, labels=None)


@pytest.mark.parametrize(
    ("name", "error"),
    [("nothing.onnx", ModelError), ("nothing.toml", SpecError), ("mosiac", SpecError)],
    ids=["onnx", "card", "name"],
)
def test_what_is_not_there(name: str, error: type[MosaicError]) -> None:
    with pytest.raises(error):
        find_model(name, options=InputOptions(), labels=None)


def test_weights_without_a_card(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").touch()
    with pytest.raises(UsageError, match=r"w\.toml beside"):
        find_model(str(tmp_path / "w.safetensors"), options=InputOptions(), labels=None)
