from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mosaic_deploy.build.diff.noise import spread
from tests.build.diff.graphs import quantised
from tests.conftest import HEIGHT, WIDTH

STORED = {"first": "first/q", "left": "left/q", "logits": "logits"}


@pytest.mark.slow
def test_noise_moves_by_a_step_and_is_carried_on_and_the_same_twice(tmp_path: Path) -> None:
    image = np.random.default_rng(2).integers(0, 256, (1, 3, HEIGHT, WIDTH), np.uint8)

    def moved(name: str, *, same: bool) -> dict[str, float]:
        return spread(quantised(), {"image": image}, STORED, same_grid=same, folder=tmp_path / name)

    once, twice, wider = moved("a", same=True), moved("b", same=True), moved("c", same=False)
    assert once == twice
    assert once["first"] == 1
    assert all(wider[name] >= once[name] >= 1 for name in STORED)
    assert wider["logits"] > wider["first"]
