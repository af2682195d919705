"""Resizing: PyTorch's half-pixel and aligned-corner bilinear, and the letterbox of MLPerf's files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from mosaic_deploy.specs.resample import (
    PAD,
    letterbox_image,
    letterbox_label,
    letterbox_size,
    resize_ids,
    resize_scores,
)

sides = st.integers(1, 40)


@settings(deadline=None, database=None, max_examples=80)
@given(old=st.tuples(sides, sides), new=st.tuples(sides, sides), corners=st.booleans())
def test_scores_are_resized_as_torch_does(old: tuple[int, int], new: tuple[int, int], corners: bool) -> None:
    scores = np.random.default_rng(0).normal(size=(3, *old)).astype(np.float32)
    theirs = interpolate(torch.from_numpy(scores)[None], size=new, mode="bilinear", align_corners=corners)[0]
    np.testing.assert_allclose(
        resize_scores(scores, new, sampling="align_corners" if corners else "half_pixel"),
        theirs.numpy(),
        atol=2e-5,
    )


@settings(deadline=None, database=None, max_examples=80)
@given(old=st.tuples(sides, sides), new=st.tuples(sides, sides))
def test_ids_are_resized_as_torch_does(old: tuple[int, int], new: tuple[int, int]) -> None:
    ids = np.random.default_rng(0).integers(0, 200, old).astype(np.uint8)
    theirs = interpolate(torch.from_numpy(ids)[None, None].float(), size=new, mode="nearest-exact")[0, 0]
    rows, columns = (
        (2 * np.arange(n) + 1) * length % (2 * n) > 0 for length, n in zip(old, new, strict=True)
    )  # halfway between two pixels, float32 decides for PyTorch
    sure = rows[:, None] & columns
    assert np.array_equal(resize_ids(ids, new)[sure], theirs.numpy().astype(np.uint8)[sure])


def test_halfway_between_two_pixels_the_later_is_taken() -> None:
    assert resize_ids(np.arange(10, dtype=np.uint8)[None], (1, 5))[0].tolist() == [1, 3, 5, 7, 9]
    assert resize_ids(np.arange(14, dtype=np.uint8)[None], (1, 7))[0].tolist() == [*range(1, 14, 2)]


def test_channels_with_equal_scores_stay_equal() -> None:
    plane = np.random.default_rng(0).normal(size=(7, 9)).astype(np.float32)
    for corners in (False, True):
        resized = resize_scores(
            np.stack([plane, plane]), (31, 17), sampling="align_corners" if corners else "half_pixel"
        )
        assert np.array_equal(resized[0], resized[1])


@pytest.mark.parametrize(
    ("size", "inner"),
    [
        ((683, 512), (512, 383)),
        ((512, 683), (383, 512)),
        ((512, 512), (512, 512)),
        ((1000, 1000), (512, 512)),
        ((1, 3000), (1, 512)),
        ((41, 30), (512, 374)),
    ],
    ids=["sheet", "landscape", "same", "square", "thin", "float-would-say-511"],
)
def test_letterbox_size(size: tuple[int, int], inner: tuple[int, int]) -> None:
    assert letterbox_size(size, (512, 512)) == inner


@settings(database=None)
@given(size=st.tuples(st.integers(1, 9000), st.integers(1, 9000)), into=st.tuples(sides, sides))
def test_letterbox_always_fits_one_side(size: tuple[int, int], into: tuple[int, int]) -> None:
    height, width = letterbox_size(size, into)
    assert 1 <= height <= into[0]
    assert 1 <= width <= into[1]
    assert height == into[0] or width == into[1]


def test_letterbox_image_follows_the_protocol() -> None:
    """Aligned corners keep the corner pixels; between them values are cut to whole ones, not rounded."""
    image = np.array([[[0] * 3, [99] * 3]], np.uint8)
    boxed = letterbox_image(image, (4, 4))
    assert boxed[0, :, 0].tolist() == [0, 33, 66, 99]
    assert boxed[1, :, 0].tolist() == [0, 33, 66, 99]
    assert (boxed[2:] == PAD).all()
    assert letterbox_image(np.array([[[0] * 3, [98] * 3]], np.uint8), (4, 4))[0, :, 0].tolist() == [
        0,
        32,
        65,
        98,
    ]


def test_letterbox_image_matches_torch_inside() -> None:
    image = np.random.default_rng(0).integers(0, 256, (68, 51, 3), np.uint8)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    theirs = interpolate(planes, size=(51, 38), mode="bilinear", align_corners=True)[0].permute(1, 2, 0)
    boxed = letterbox_image(image, (51, 51))
    close = np.abs(boxed[:, :38].astype(float) - np.floor(theirs.numpy()))
    assert close.max() <= 1
    assert (close > 0).mean() < 0.01
    assert (boxed[:, 38:] == PAD).all()


def test_letterbox_label_picks_the_nearest_and_rounds_halves_up() -> None:
    label = np.arange(5, dtype=np.uint8)[None].repeat(5, 0)
    boxed = letterbox_label(label, (3, 3), fill=255)
    assert boxed[0].tolist() == [0, 2, 4]
    boxed = letterbox_label(np.arange(4, dtype=np.uint8)[None].repeat(2, 0), (3, 3), fill=255)
    assert boxed[0].tolist() == [0, 2, 3]
    assert (boxed[1:] == 255).all()


def test_letterbox_of_the_right_size_is_the_image_itself() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert np.array_equal(letterbox_image(image, (8, 8)), image)
    assert np.array_equal(letterbox_label(image[..., 0], (8, 8), fill=255), image[..., 0])
