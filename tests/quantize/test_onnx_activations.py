"""Ranges of activations, on graphs whose values are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray

from mosaic_deploy.quantize.calibrate import Calibrator, Choice
from mosaic_deploy.quantize.histogram import sample
from mosaic_deploy.quantize.onnx_activations import activation_ranges

ALL: tuple[Choice, ...] = ("minmax", "percentile", "mse", "entropy", "cross-validated")
GRAPH = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 18]>
    net (float[1, 1, 100, 100] image) => (float[1, 1, 100, 100] y) {
      r = Relu(image)
      n = Shape(r)
      two = Constant<value_float = 2.0>()
      y = Mul(r, two)
    }
""")


def ranges(tmp_path: Path, method: Choice, *images: NDArray[Any]) -> dict[str, tuple[float, float]]:
    paths = []
    for index, image in enumerate(images):
        paths.append(tmp_path / f"{index}.npy")
        np.save(paths[-1], image.reshape(1, 1, 100, 100))
    shares: list[float] = []
    how = Calibrator(method, 99.0, 1)
    found = activation_ranges(GRAPH, paths, how, lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    return {name: (float(low), float(high)) for name, (low, high) in found.items()}


def test_minmax_is_exact_over_all_images(tmp_path: Path) -> None:
    first = np.linspace(-3, 1, 10_000, dtype=np.float32)
    second = np.linspace(-1, 5, 10_000, dtype=np.float32)
    found = ranges(tmp_path, "minmax", first, second)
    assert {k: v for k, v in found.items() if k != "two"} == {"image": (-3, 5), "r": (0, 5), "y": (0, 10)}


def test_bytes_count_as_numbers(tmp_path: Path) -> None:
    image = np.arange(10_000).astype(np.uint8)
    assert ranges(tmp_path, "minmax", image)["y"] == (0, 510)


def test_percentile_leaves_both_tails_out(tmp_path: Path) -> None:
    image = np.linspace(-1, 1, 10_000, dtype=np.float32)
    image[0], image[-1] = -50, 50
    low, high = ranges(tmp_path, "percentile", image)["image"]
    assert low == pytest.approx(-0.99, abs=0.06)  # a bin is 0.05 wide
    assert high == pytest.approx(0.99, abs=0.06)


def test_entropy_leaves_a_few_far_values_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, 10_000).astype(np.float32)
    image[:3] = 40
    low, high = ranges(tmp_path, "entropy", image)["image"]
    assert image.min() <= low < -2
    assert 2 < high < 20
    assert ranges(tmp_path, "entropy", image)["r"][0] == 0


def test_constant_tensors_have_a_range(tmp_path: Path) -> None:
    zeros = np.zeros(10_000, np.float32)
    for method in ALL:
        assert ranges(tmp_path, method, zeros)["y"] == (0, 0)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("value", [5.0, -300.0, 1e-38, 0.0], ids=str)
def test_nearly_constant_tensors_have_a_range(tmp_path: Path, method: Choice, value: float) -> None:
    image = np.full(10_000, value, np.float32)
    image[::2] = np.nextafter(np.float32(value), np.float32(np.inf))
    low, high = ranges(tmp_path, method, image)["image"]
    assert float(image[1]) <= low <= high <= float(image[0])


def test_infinity_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tensor 'image' holds NaN or infinity on calibration image 0.npy"):
        ranges(tmp_path, "minmax", np.full(10_000, np.inf, np.float32))


@pytest.mark.parametrize("axis", [1, 2, 3], ids=["rows", "columns", "channels"])
@pytest.mark.parametrize("shape", [(1, 96, 128, 448), (1, 64, 384, 512), (1, 3, 384, 512)], ids=str)
def test_a_sample_meets_every_place_alike(shape: tuple[int, ...], axis: int) -> None:
    places = np.arange(shape[axis], dtype=np.float32).reshape([-1 if i == axis else 1 for i in range(4)])
    taken = sample(np.broadcast_to(places, shape))
    assert taken.size <= 1 << 16
    counts = np.bincount(taken.astype(int), minlength=shape[axis])
    assert counts.min() > 0.9 * counts.max()
