from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mosaic_deploy.build.diff.named import read_named
from mosaic_deploy.build.diff.noise import spread
from tests.build.diff.graphs import quantised
from tests.conftest import HEIGHT, WIDTH

NAMES = ("first", "left", "logits")


@pytest.mark.slow
def test_noise_moves_by_a_step_and_is_carried_on_and_the_same_twice(tmp_path: Path) -> None:
    image = np.random.default_rng(2).integers(0, 256, (1, 3, HEIGHT, WIDTH), np.uint8)

    onnx.save(quantised(), tmp_path / "net.onnx")
    graph = read_named(tmp_path / "net.onnx")
    tensors = [graph.tensors[name] for name in NAMES]

    def moved(name: str, *, same: bool) -> dict[str, float]:
        found = spread(quantised(), {"image": image}, tensors, same_grid=same, folder=tmp_path / name)
        scales = {tensor.name: tensor.grid.scale for tensor in tensors if tensor.grid is not None}
        return {name: round(value / scales[name], 6) for name, value in found.items()}

    once, twice, wider = moved("a", same=True), moved("b", same=True), moved("c", same=False)
    assert once == twice
    assert once["first"] == 1
    assert all(wider[name] >= once[name] >= 1 for name in NAMES)
    assert wider["logits"] > wider["first"]
