"""The contract's other half: a network's output as class ids at the size of the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from mosaic_deploy.errors import ModelError
from mosaic_deploy.specs.contract import Contract

NAMES = ("sky", "road", "car")
COLOURS = ((0, 0, 0), (1, 2, 3), (255, 255, 255))


def contract(**changes: Any) -> Contract:
    stated = {"height": 32, "width": 48, "classes": NAMES, "palette": COLOURS}
    return Contract.model_validate({**stated, **changes})


def scores(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(deadline=None, database=None, max_examples=40)
@given(size=st.tuples(st.integers(1, 80), st.integers(1, 80)), fraction=st.sampled_from((1, 2, 8)))
def test_scores_are_compared_after_resizing_as_torch_does(size: tuple[int, int], fraction: int) -> None:
    made = contract(output="logits" if fraction == 1 else "lowres")
    output = scores((1, 3, 32 // fraction, 48 // fraction))
    theirs = interpolate(torch.from_numpy(output), size=size, mode="bilinear")[0]
    found = made.class_map(output, size)
    assert found.shape == size
    assert found.dtype == np.uint8
    clear = theirs.topk(2, dim=0).values.diff(dim=0).abs()[0].numpy() > 1e-4
    assert np.array_equal(found[clear], theirs.argmax(dim=0).numpy()[clear])


def test_the_lowest_id_wins_a_tie() -> None:
    assert not contract().class_map(np.zeros((1, 3, 32, 48), np.float32), (9, 11)).any()


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_scores_may_come_in_either_layout(layout: str) -> None:
    output = scores((1, 3, 32, 48))
    made = contract(layout=layout)
    assert np.array_equal(
        made.class_map(output, (20, 20)), made.class_map(output.transpose(0, 2, 3, 1), (20, 20))
    )


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_contracts_layout_decides_where_both_fit(layout: str) -> None:
    """(1, 32, 32, 32) is ambiguous; an input in NHWC goes with an output in NHWC."""
    many = {"classes": tuple(f"c{i}" for i in range(32)), "palette": ((0, 0, 0),) * 32}
    output = scores((1, 32, 32, 32))
    found = contract(width=32, layout=layout, **many).class_map(output, (32, 32))
    assert np.array_equal(found, output[0].argmax(axis=0 if layout == "NCHW" else 2))


@pytest.mark.parametrize("shape", [(32, 48), (1, 32, 48), (1, 1, 32, 48), (1, 32, 48, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.float32])
def test_class_maps_of_every_shape_and_dtype(shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    ids = np.random.default_rng(0).integers(0, 3, (32, 48))
    made = contract(output="classmap")
    assert np.array_equal(made.class_map(ids.reshape(shape).astype(dtype), (32, 48)), ids)
    assert np.array_equal(made.class_map(ids.reshape(shape).astype(dtype), (16, 24)), ids[1::2, 1::2])


@pytest.mark.parametrize(
    ("output", "shape"),
    [
        ("classmap", (1, 48, 32)),
        ("classmap", (1, 3, 32, 48)),
        ("logits", (1, 3, 48, 32)),
        ("logits", (1, 3, 16, 24)),
        ("logits", (2, 3, 32, 48)),
        ("logits", (1, 4, 32, 48)),
        ("logits", (3, 32, 48)),
        ("lowres", (1, 3, 64, 48)),
        ("lowres", (1, 3, 0, 48)),
    ],
    ids=[
        "turned", "scores", "turned-scores", "lowres", "two-images", "four-classes", "no-batch", "larger",
        "empty",
    ],
)  # fmt: skip
def test_another_shape_than_stated_is_refused(output: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="the output has shape"):
        contract(output=output).class_map(np.zeros(shape, np.float32), (32, 48))


@pytest.mark.parametrize("value", [3, 300, -1, np.nan], ids=str)
def test_ids_that_are_no_classes_are_refused(value: float) -> None:
    ids = np.zeros((1, 32, 48), np.float32)
    ids[0, 3, 4] = value
    with pytest.raises(ModelError, match=r"holds the id .*, the contract's classes are 0\.\.2"):
        contract(output="classmap").class_map(ids, (32, 48))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_scores_that_are_not_finite_are_refused(value: float) -> None:
    output = scores((1, 3, 32, 48))
    output[0, 1, 2, 3] = value
    with pytest.raises(ModelError, match="not finite"):
        contract().class_map(output, (32, 48))


@pytest.mark.parametrize("output", ["logits", "lowres", "classmap"])
@pytest.mark.parametrize("size", [(64, 40), (10, 70), (32, 48), (7, 5)], ids=str)
def test_letterbox_cuts_its_padding_off(output: str, size: tuple[int, int]) -> None:
    """A network that answers 1 on the image and 2 on the padding is heard to say 1 everywhere."""
    made = contract(resize="letterbox", output="logits")
    x = contract(resize="letterbox", dtype="uint8").prepare(np.full((*size, 3), 9, np.uint8))
    ids = np.where(x[0, 0] == 9, 1, 2)
    if output == "classmap":
        assert (contract(resize="letterbox", output=output).class_map(ids[None], size) == 1).all()
        return
    planes = np.stack([ids == i for i in range(3)]).astype(np.float32)[None]
    if output == "lowres":  # scores at a fraction blend over the edge: give them a margin
        made = contract(resize="letterbox", output="lowres")
        planes = interpolate(torch.from_numpy(planes), scale_factor=0.5, mode="bilinear").numpy()
        planes[:, 1] *= 4
    assert (made.class_map(planes, size) == 1).all()


def test_letterbox_finds_its_way_back() -> None:
    """Left half 0, right half 1, in and out again: the border stays within a pixel."""
    image = np.zeros((60, 40, 3), np.uint8)
    image[:, 20:] = 255
    made = contract(resize="letterbox", dtype="uint8", output="classmap")
    ids = (made.prepare(image)[0, 0] > 127).astype(np.uint8)
    back = made.class_map(ids[None], (60, 40))
    assert (back[:, :19] == 0).all()
    assert (back[:, 21:] == 1).all()
