"""Images that look the same, and sets that show no scenes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mosaic_deploy.datasets import open_data
from mosaic_deploy.datasets.likeness import COPY, NEAR, distance, look_of, require_scenes
from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.labels import Pixels

RNG = np.random.default_rng(0)


def scenes(count: int) -> list[Pixels]:
    data = open_data("streets", split="calib")
    return [data.pixels(index) for index in range(count)]


def compressed(image: Pixels, quality: int) -> Pixels:
    held = io.BytesIO()
    Image.fromarray(image).save(held, "JPEG", quality=quality)
    return np.asarray(Image.open(held).convert("RGB"))


def test_street_scenes_pass_and_are_no_copies_of_one_another() -> None:
    looks = [look_of(image) for image in scenes(4)]
    require_scenes(looks, "streets")
    assert min(distance(a, b) for i, a in enumerate(looks) for b in looks[:i]) > NEAR


def test_a_copy_looks_the_same() -> None:
    (image,) = scenes(1)
    small = np.asarray(Image.fromarray(image).resize((image.shape[1] * 2 // 3, image.shape[0] * 2 // 3)))
    for copy in (compressed(image, 60), small):
        assert distance(look_of(image), look_of(copy)) <= COPY


def test_noise_is_refused() -> None:
    looks = [look_of(RNG.integers(0, 256, (90, 120, 3), dtype=np.uint8)) for _ in range(3)]
    with pytest.raises(DataError, match="3 of 3 images are noise"):
        require_scenes(looks, "folder")


def test_plain_colours_are_refused() -> None:
    looks = [look_of(np.full((90, 120, 3), value, np.uint8)) for value in (0, 99, 255)]
    with pytest.raises(DataError, match="3 of 3 images show nothing"):
        require_scenes(looks, "folder")


def test_one_image_many_times_is_refused_however_it_is_compressed() -> None:
    (image,) = scenes(1)
    looks = [look_of(compressed(image, quality)) for quality in (60, 80, 95)]
    with pytest.raises(DataError, match="3 images, and all are the same one"):
        require_scenes(looks, "folder")


def test_a_black_frame_among_scenes_is_no_reason() -> None:
    looks = [look_of(image) for image in (*scenes(2), np.zeros((9, 9, 3), np.uint8))]
    require_scenes(looks, "streets")


def test_no_images_are_refused() -> None:
    with pytest.raises(DataError, match="no images to calibrate on"):
        require_scenes([], "folder")
