import numpy as np
import pytest

from mosaic_deploy.specs.labels import IGNORE, Pixels
from mosaic_deploy.zoo.train.augment import View, jitter_colour, paste_classes, random_view


def scene(height: int = 60, width: int = 80) -> tuple[Pixels, Pixels]:
    """An image whose red channel states its own label."""
    label = (np.arange(width)[None] // 20 + np.zeros((height, 1))).astype(np.uint8)
    image = np.stack([label * 50, label * 0 + 7, label * 0 + 9], axis=-1).astype(np.uint8)
    return image, label


@pytest.mark.parametrize("scale", [(0.5, 0.5), (1.0, 1.0), (1.9, 1.9)], ids=["small", "same", "large"])
def test_image_and_label_stay_together(scale: tuple[float, float]) -> None:
    image, label = scene()
    view = View((48, 64), scale)
    seen, truth = random_view(image, label, view, np.random.default_rng(3))
    assert seen.shape == (48, 64, 3)
    assert truth.shape == (48, 64)
    inside = truth != IGNORE
    assert inside.any()
    near = np.abs(seen[..., 0][inside].astype(int) - truth[inside].astype(int) * 50) <= 26
    assert near.mean() > 0.99


def test_outside_the_image_is_ignored() -> None:
    image, label = scene()
    seen, truth = random_view(image, label, View((48, 64), (0.4, 0.4)), np.random.default_rng(0))
    outside = truth == IGNORE
    assert 0.6 < outside.mean() < 0.95
    assert (seen[outside] == 128).all()


def test_flips_half_of_the_time() -> None:
    image, label = scene()
    rng = np.random.default_rng(1)
    views = [random_view(image, label, View((60, 80), (1.0, 1.0)), rng)[1] for _ in range(60)]
    mirrored = sum(int(v[30, 5] > v[30, 75]) for v in views)
    assert 15 < mirrored < 45


def test_pasted_classes_bring_their_pixels() -> None:
    base = (np.full((4, 4, 3), 10, np.uint8), np.zeros((4, 4), np.uint8))
    donor_label = np.zeros((4, 4), np.uint8)
    donor_label[1:3, 1:3] = 2
    donor = (np.full((4, 4, 3), 99, np.uint8), donor_label)
    image, label = paste_classes(base, donor, np.array([2], np.uint8))
    assert (label == donor_label).all()
    assert (image[label == 2] == 99).all()
    assert (image[label == 0] == 10).all()


def test_colour_changes_but_not_the_size() -> None:
    image, _ = scene()
    changed = jitter_colour(image, np.random.default_rng(0))
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert (changed != image).any()
