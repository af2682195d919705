"""Means and scales of pixels from 0 to 1 are refused with the numbers that were meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from mosaic_deploy.build.model_source import InputOptions, find_model
from mosaic_deploy.build.pixel_units import require_pixel_units
from mosaic_deploy.errors import UsageError
from mosaic_deploy.specs.labels import LabelSpace
from tests.conftest import Tiny

WORDS = ("--input-mean {}", "--input-scale {}")
LABELS = LabelSpace(("sky", "road", "car"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)))


@pytest.mark.parametrize(
    ("mean", "scale", "meant"),
    [
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "116.28,103.53 --input-scale 58.395,57.12,57.375?"),
        ((0.5,) * 3, (0.5,) * 3, "--input-mean 127.5 --input-scale 127.5?"),
        ((0.485, 0.456, 0.406), (58.395, 57.12, 57.375), "--input-scale 58.395,57.12,57.375?"),
        ((0.485, 0.456, 0.406), (1.0,) * 3, "--input-mean 123.675,116.28,103.53 --input-scale 255?"),
        ((123.675, 116.28, 103.53), (0.229, 0.224, 0.225), "103.53 --input-scale 58.395,57.12,57.375?"),
        ((0.0,) * 3, (0.00392157,) * 3, "--input-mean 0 --input-scale 255?"),
        ((103.94, 116.78, 123.68), (0.017,) * 3, "--input-scale 58.8235?"),
        ((0.5,) * 3, None, "did you mean --input-mean 127.5?"),
        (None, (0.5,) * 3, "did you mean --input-scale 127.5?"),
        ((-0.5,) * 3, (0.5,) * 3, "--input-mean -127.5 --input-scale 127.5?"),
        ((0.0, 0.0, 0.4), (1.0,) * 3, "--input-mean 0,0,102 --input-scale 255?"),
    ],
    ids=[
        "imagenet", "half", "mean-alone-is-small", "no-deviation", "scale-alone-is-small", "factor", "caffe",
        "mean-only", "scale-only", "negative", "one-colour",
    ],
)  # fmt: skip
def test_the_numbers_that_were_meant(
    mean: tuple[float, ...] | None, scale: tuple[float, ...] | None, meant: str
) -> None:
    with pytest.raises(UsageError) as caught:
        require_pixel_units(mean, scale, where="", words=WORDS)
    assert str(caught.value).endswith(meant)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mean", "scale"),
    [
        ((127.5,) * 3, (127.5,) * 3),
        ((0.0,) * 3, (255.0,) * 3),
        ((0.0,) * 3, (1.0,) * 3),
        ((103.53, 116.28, 123.675), (1.0,) * 3),
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        (None, None),
    ],
    ids=["symmetric", "to-1", "raw", "caffe", "imagenet", "nothing"],
)
def test_pixels_from_0_to_255_are_taken(
    mean: tuple[float, ...] | None, scale: tuple[float, ...] | None
) -> None:
    require_pixel_units(mean, scale, where="", words=WORDS)


def test_options_and_cards_are_both_held_to_it(tiny: Tiny) -> None:
    text = tiny.card.read_text()
    tiny.card.write_text(f"{text}mean = [0.485, 0.456, 0.406]\nscale = [0.229, 0.224, 0.225]\n")
    with pytest.raises(UsageError, match=r"tiny\.toml: contract: .*mean = \[123\.675,116\.28,103\.53\]"):
        find_model(str(tiny.card), options=InputOptions(), labels=None)
    tiny.card.unlink()
    options = InputOptions.parse("0.5", "0.5", None, None)
    with pytest.raises(UsageError, match=r"did you mean --input-mean 127\.5 --input-scale 127\.5"):
        find_model(str(tiny.onnx), options=options, labels=LABELS)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("net.pt", "torch.onnx.export"),
        ("net.PTH", "torch.onnx.export"),
        ("net.h5", "tf2onnx"),
        ("net.tflite", "mosaic-deploy import-tflite"),
        ("net.ort", "the .onnx that it was made of"),
        ("net.bin", "not a model: name an .onnx file"),
    ],
    ids=str,
)
def test_files_of_other_frameworks_are_told_the_way(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(UsageError, match=says):
        find_model(str(tmp_path / name), options=InputOptions(), labels=None)


def test_classes_of_their_own(tiny: Tiny) -> None:
    tiny.card.unlink()
    options = InputOptions.parse("127.5", "127.5", None, None)
    contract = find_model(str(tiny.onnx), options=options, labels=LabelSpace((), ())).card.contract
    assert contract.classes == ("class 0", "class 1", "class 2")
    assert len(set(contract.palette)) == 3
