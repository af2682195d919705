"""A channel is rounded for what it gives, not weight by weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper

from mosaic_deploy.quantize.fitted_rounding import Convolution, Products, fit

Array = NDArray[np.float64]


def off(weights: Array, products: Array, integers: Array, step: float) -> float:
    error = weights - integers * step
    return float(error @ products @ error)


def test_it_loses_a_fraction_of_what_the_nearest_integers_lose() -> None:
    ratios = [ratio_to_nearest(seed) for seed in range(9)]
    assert max(ratios) <= 1
    assert np.median(ratios) < 0.3


def ratio_to_nearest(seed: int) -> float:
    rng = np.random.default_rng(seed)
    integers = rng.integers(-90, 53, 27).astype(float)
    integers[0] = -165
    inputs = rng.random((500, 27)) + 0.5 * rng.random((500, 1))
    products = inputs.T @ inputs
    found = fit(integers * 0.02, products, scale=0.02)
    nearest = 165 * 0.02 / 127
    plain = off(integers * 0.02, products, np.rint(integers * 0.02 / nearest), nearest)
    assert found.integers.min() >= -128
    assert found.integers.max() <= 127
    return off(integers * 0.02, products, found.integers, found.step) / plain


def test_what_is_never_multiplied_with_anything_may_be_clipped() -> None:
    integers = np.array([200.0, 13, -57, 100])
    products = np.diag([0.0, 1, 1, 1])
    found = fit(integers, products, scale=1.0)
    assert found.step == 1.0
    assert np.array_equal(found.integers[1:], integers[1:])


def test_a_single_weight_too_large_by_one_is_held_by_128() -> None:
    integers = np.array([-128.0, 3, 77])
    found = fit(integers, np.eye(3), scale=1.0)
    assert np.array_equal(found.integers, integers)


@pytest.mark.parametrize(
    ("shape", "groups", "stride", "dilation"),
    [((6, 4, 3, 3), 1, 1, 1), ((6, 1, 5, 5), 6, 2, 1), ((8, 2, 3, 3), 2, 1, 2), ((3, 7, 1, 1), 1, 1, 1)],
)
def test_windows_are_what_the_convolution_sees(
    shape: tuple[int, ...], groups: int, stride: int, dilation: int
) -> None:
    rng = np.random.default_rng(0)
    kernel, image = rng.random(shape), rng.random((1, shape[1] * groups, 12, 10)).astype(np.float32)
    pads = [(k - 1) * dilation + 1 for k in shape[2:]]
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], group=groups, strides=[stride] * 2, dilations=[dilation] * 2
    )
    read = Convolution.of(node, shape)
    assert read is not None
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(image).double(), torch.from_numpy(kernel), stride=stride, dilation=dilation,
        groups=groups, padding=[extent // 2 for extent in pads],
    )[0].numpy()  # fmt: skip
    for channel in range(shape[0]):
        seen = read.windows(image, read.group_of(channel))
        assert np.allclose(seen @ kernel[channel].ravel(), expected[channel].ravel(), atol=1e-5)


def test_products_are_summed_over_images() -> None:
    read = Convolution((2, 1, 1, 1), 2, (1, 1), (1, 1))
    products = Products.wanted(read, [1])
    for value in (1.0, 3.0):
        products.add(np.full((1, 2, 4, 4), value, np.float32))
    assert products.of(1) == pytest.approx(16 * (1 + 9))
    assert list(products.sums) == [1]


def test_only_convolutions_of_images_are_read() -> None:
    assert Convolution.of(helper.make_node("ConvTranspose", ["x", "w"], ["y"]), (4, 4, 3, 3)) is None
    assert Convolution.of(helper.make_node("Conv", ["x", "w"], ["y"]), (4, 4, 3)) is None
