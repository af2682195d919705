"""The contract: what a network is fed, and what the value itself promises."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch.nn.functional import interpolate

from mosaic_deploy.datasets import ade20k31, camvid
from mosaic_deploy.errors import DataError, ModelError
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import LabelSpace

NAMES = ("sky", "road", "car")
COLOURS = ((0, 0, 0), (1, 2, 3), (255, 255, 255))


def contract(**changes: Any) -> Contract:
    stated = {"height": 32, "width": 48, "classes": NAMES, "palette": COLOURS}
    return Contract.model_validate({**stated, **changes})


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def smooth(height: int, width: int) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [127 + 100 * np.sin(rows / 9 + k) * np.cos(columns / 7 - k) for k in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"layout": "NHWC", "dtype": "uint8", "colour": "BGR", "output": "classmap"},
        {"resize": "letterbox", "unscored": (0,), "mean": (123.675, 116.28, 103.53), "output": "lowres"},
    ],
    ids=["plain", "quantised", "letterbox"],
)
def test_round_trips(changes: dict[str, Any]) -> None:
    made = contract(**changes)
    again = Contract.model_validate_json(made.model_dump_json())
    assert again == made
    assert hash(again) == hash(made)
    assert {again: 1}[made] == 1
    assert again.digest() == made.digest()
    # JSON's strings, numbers and lists are TOML's too
    stated = made.model_dump(mode="json", exclude_none=True)
    toml = "\n".join(f"{key} = {json.dumps(value)}" for key, value in stated.items())
    assert Contract.model_validate(tomllib.loads(toml)) == made


def test_digest_is_pinned() -> None:
    """Artifacts carry it: it changes only when a field is added, or one means something else."""
    assert contract().digest() == "27e66dddf48178d4"
    assert contract(mean=(128, 128, 128)).digest() == contract().digest()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("height", 64),
        ("layout", "NHWC"),
        ("dtype", "uint8"),
        ("mean", (127.5, 128.0, 128.0)),
        ("colour", "BGR"),
        ("resize", "letterbox"),
        ("output", "lowres"),
        ("classes", ("sky", "road", "bus")),
        ("unscored", (0,)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_field_is_in_the_digest(field: str, value: object) -> None:
    assert contract(**{field: value}).digest() != contract().digest()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"height": 8}, "height"),
        ({"classes": ("sky",), "palette": COLOURS[:1]}, "2 to 255"),
        ({"classes": ("sky", "road", "sky")}, "empty or repeated: sky"),
        ({"classes": ("sky", "road", " ")}, "empty"),
        ({"palette": COLOURS[:2]}, "2 colours for 3 classes"),
        ({"palette": (*COLOURS[:2], (0, 0, 256))}, "palette"),
        ({"unscored": (3,)}, "unscored"),
        ({"unscored": (0, 1)}, "fewer than 2 classes are scored"),
        ({"scale": (0, 1, 1)}, "zero"),
        ({"scale": (float("inf"), 1, 1)}, "finite"),
        ({"mean": (float("nan"), 1, 1)}, "finite"),
        ({"layout": "CHW"}, "layout"),
        ({"heihgt": 32}, "heihgt"),
    ],
    ids=[
        "side", "one-class", "twice", "blank", "palette", "colour", "unscored", "none-scored", "scale", "inf",
        "nan", "layout", "typo",
    ],
)  # fmt: skip
def test_contradictions_are_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        contract(**changes)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_input_has_the_stated_shape_and_dtype(layout: str, dtype: str, resize: str) -> None:
    made = contract(layout=layout, dtype=dtype, resize=resize)
    x = made.prepare(picture(50, 20))
    assert x.shape == made.shape
    assert x.dtype == dtype
    assert x.flags.c_contiguous


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_an_image_of_the_right_size_is_only_normalised(resize: str) -> None:
    made = contract(resize=resize, mean=(1, 2, 3), scale=(2, 4, 8))
    image = picture(32, 48)
    x = made.prepare(image)
    for channel, (mean, scale) in enumerate(zip((1, 2, 3), (2, 4, 8), strict=True)):
        np.testing.assert_array_equal(x[0, channel], (image[..., channel].astype(np.float32) - mean) / scale)


def test_128_holds_raw_pixels_exactly() -> None:
    ramp = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
    x = contract().normalise(ramp)
    assert np.array_equal(x * 128 + 128, ramp)
    assert np.array_equal(np.round(x / np.float32(1 / 128)) + 128, ramp)


def test_colour_order() -> None:
    image = picture(32, 48)
    rgb = contract(dtype="uint8").prepare(image)
    bgr = contract(dtype="uint8", colour="BGR").prepare(image)
    assert np.array_equal(rgb[:, ::-1], bgr)
    x = contract(colour="BGR", mean=(10, 0, 0)).prepare(image)
    assert np.array_equal(x[0, 0], (image[..., 2].astype(np.float32) - 10) / 128)


@pytest.mark.parametrize(
    ("size", "antialias"), [((20, 30), False), ((90, 131), True)], ids=["enlarging", "shrinking"]
)
def test_stretching_is_torchs_bilinear_antialiased_when_it_shrinks(
    size: tuple[int, int], antialias: bool
) -> None:
    image = smooth(*size)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    theirs = interpolate(planes, size=(32, 48), mode="bilinear", antialias=antialias)[0].numpy()
    ours = contract(dtype="uint8").prepare(image)[0]
    assert np.abs(ours - theirs).max() <= 1.01


def test_letterbox_pads_with_127() -> None:
    x = contract(dtype="uint8", resize="letterbox").prepare(np.full((64, 64, 3), 9, np.uint8))
    assert (x[..., :32] == 9).all()
    assert (x[..., 32:] == 127).all()


def test_ade20k_files_pass_through_a_letterbox_unchanged() -> None:
    """The protocol's own 512x512 files must reach the network, and its output the metric, as they are."""
    space = ade20k31.LABELS
    made = Contract(
        height=512,
        width=512,
        dtype="uint8",
        resize="letterbox",
        output="classmap",
        classes=space.classes,
        palette=space.palette,
        unscored=space.unscored,
    )
    image = picture(512, 512)
    assert np.array_equal(made.prepare(image)[0].transpose(1, 2, 0), image)
    ids = np.random.default_rng(0).integers(0, 32, (1, 512, 512), np.int32)
    assert np.array_equal(made.class_map(ids, (512, 512)), ids[0])


@pytest.mark.parametrize(
    "image",
    [picture(8, 8)[..., 0], picture(8, 8)[..., :2], picture(8, 8).astype(np.float32), picture(0, 8)],
    ids=["grey", "two-channels", "float", "empty"],
)
def test_what_is_no_image_is_refused(image: NDArray[Any]) -> None:
    with pytest.raises(DataError, match="an image is"):
        contract().prepare(image)


def test_labels_are_the_data_sets() -> None:
    space = camvid.LABELS
    made = contract(classes=space.classes, palette=space.palette)
    assert made.labels == space
    made.require(space, dataset="camvid")
    made.require(LabelSpace((), ()), dataset="folder")


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        (("sky", "car", "road"), "its class 'car' has the id of the network's 'road'"),
        (NAMES[:2], "has 2 classes"),
    ],
    ids=["order", "count"],
)
def test_other_labels_are_refused(classes: tuple[str, ...], match: str) -> None:
    with pytest.raises(DataError, match=match):
        contract().require(LabelSpace(classes, COLOURS[: len(classes)]), dataset="folder")


def test_what_came_later_leaves_the_digest_of_older_artifacts_alone() -> None:
    """An artifact built before ``sampling`` was stated opens, and means half-pixel centres."""
    made = contract(output="lowres")
    old = {name: value for name, value in made.model_dump(mode="json").items() if name != "sampling"}
    assert made.digest() == "486d69b3527b4f59"
    assert Contract.model_validate(old).digest() == made.digest()
    assert contract(output="lowres", sampling="align_corners").digest() != made.digest()


TWO = {"classes": ("background", "person"), "palette": ((0, 0, 0), (255, 0, 0)), "unscored": ()}


def test_a_lone_score_is_compared_with_the_threshold_after_it_is_resized() -> None:
    made = contract(height=16, width=16, threshold=0.5, **TWO)
    scores = np.zeros((1, 1, 16, 16), np.float32)
    scores[..., 8:] = 1
    assert (made.class_map(scores, (16, 16)) == (scores[0, 0] > 0.5)).all()
    assert made.class_map(np.full((1, 1, 16, 16), 0.5, np.float32), (16, 16)).max() == 0, "equal is below"
    wide = made.class_map(scores, (16, 64))
    assert (wide == (np.arange(64) >= 32)).all(), "half way between 0 and 1, where the resized score is 0.5"
    last = contract(height=16, width=16, threshold=0.5, layout="NHWC", **TWO)
    assert (last.class_map(np.moveaxis(scores, 1, -1), (16, 16)) == (scores[0, 0] > 0.5)).all()


def test_a_threshold_parts_two_classes() -> None:
    with pytest.raises(ValidationError, match="a threshold parts 2 classes, there are 3"):
        contract(threshold=0.5, classes=("a", "b", "c"), palette=((0, 0, 0),) * 3, unscored=())
    with pytest.raises(ModelError, match="1 channels"):
        contract(height=16, width=16, threshold=0.5, **TWO).class_map(np.zeros((1, 2, 16, 16)), (16, 16))


@pytest.mark.parametrize("shape", [(1, 8, 8), (8, 8), (1, 1, 8, 8), (1, 8, 8, 1)])
def test_a_smaller_class_map_is_enlarged_to_the_nearest(shape: tuple[int, ...]) -> None:
    made = contract(height=16, width=16, output="classmap", **TWO)
    ids = np.random.default_rng(0).integers(0, 2, (8, 8))
    assert (made.class_map(ids.reshape(shape), (16, 16)) == ids.repeat(2, 0).repeat(2, 1)).all()
    with pytest.raises(ModelError, match="the contract's class map"):
        made.class_map(np.zeros((1, 17, 16)), (16, 16))


def test_scores_of_a_smaller_class_map_are_compared_first() -> None:
    made = contract(height=16, width=16, output="lowres", sampling="nearest", **TWO)
    scores = np.random.default_rng(0).normal(size=(1, 2, 8, 8)).astype(np.float32)
    assert (made.class_map(scores, (16, 16)) == scores[0].argmax(0).repeat(2, 0).repeat(2, 1)).all()
