"""Images of another domain than those that calibrate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mosaic_deploy.build.other_domain import OtherDomain, at_dusk
from mosaic_deploy.datasets import open_data
from mosaic_deploy.specs.contract import Contract
from tests.conftest import Tiny

CONTRACT = Contract(height=32, width=48, classes=("a", "b"), palette=((0, 0, 0), (1, 1, 1)))


def test_for_all_but_the_rendered_scenes_it_is_those(tiny: Tiny, tmp_path: Path) -> None:
    other = OtherDomain.of(open_data(f"folder:{tiny.data}", split="calib"), (0, 1))
    assert (other.images.name, len(other.images), other.dusk) == ("streets", 2, False)
    paths = other.prepare(CONTRACT, tmp_path / "other")
    assert [np.load(path).shape for path in paths] == [CONTRACT.shape] * 2


def test_for_the_rendered_scenes_it_is_the_held_out_ones_in_poor_light(tmp_path: Path) -> None:
    scenes = open_data("streets", split="calib")
    other = OtherDomain.of(scenes, (3, 5))
    assert [item.name for item in other.images.items] == [scenes.items[i].name for i in (3, 5)]
    (first, _) = other.prepare(CONTRACT, tmp_path / "other")
    assert np.load(first).mean() < CONTRACT.prepare(scenes[3].image).mean() - 0.2
    image = scenes[3].image
    np.testing.assert_array_equal(at_dusk(image), at_dusk(image))
    assert at_dusk(image).dtype == np.uint8
