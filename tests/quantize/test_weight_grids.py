"""Grids that weights came on are found, and nothing is called a grid that is none."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType

from mosaic_deploy.quantize.weight_grids import Grid, find_grid, own_grids, own_steps


@settings(max_examples=100, deadline=None)
@given(
    scale=st.floats(1e-6, 1e3),
    zero_point=st.integers(0, 255),
    count=st.integers(64, 400),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_was_dequantised_is_recovered(scale: float, zero_point: int, count: int, seed: int) -> None:
    integers = np.random.default_rng(seed).integers(0, 256, count)
    values = np.float32(scale) * (integers - zero_point).astype(np.float32)
    grid = find_grid(values.reshape(-1, 1))
    assert grid is not None
    assert grid.scale == pytest.approx(scale, rel=1e-5)
    assert np.array_equal(
        np.rint(values / grid.scale) + grid.zero_point, integers - zero_point + grid.zero_point
    )
    assert grid.lowest == min((integers - zero_point).min(), 0)
    assert grid.highest == max((integers - zero_point).max(), 0)
    assert 0 <= grid.zero_point <= 255


def test_coarse_steps_are_found_behind_gaps() -> None:
    grid = find_grid(np.array([-50, 0, 22, 77, 110], np.float32) * np.float32(0.01))
    assert grid is not None
    assert grid.scale == pytest.approx(0.11, rel=1e-5) or np.allclose(
        np.array([-50, 22, 77]) * 0.01 / grid.scale,
        np.rint(np.array([-50, 22, 77]) * 0.01 / grid.scale),
        atol=0.01,
    )


@pytest.mark.parametrize("count", [8, 60, 256, 4000])
def test_trained_floats_lie_on_no_grid(count: int) -> None:
    rng = np.random.default_rng(count)
    found = [find_grid(rng.normal(size=count).astype(np.float32)) for _ in range(50)]
    assert not any(found)


def test_more_levels_than_8_bits_hold_are_refused() -> None:
    assert find_grid(np.arange(-150, 150, dtype=np.float32)) is None
    assert find_grid(np.arange(-100, 150, dtype=np.float32)) == Grid(1.0, -100, 149)


def test_a_constant_says_nothing() -> None:
    assert find_grid(np.full(9, 0.25, np.float32)) is None


def model(weights: dict[str, np.ndarray]) -> onnx.ModelProto:  # type: ignore[type-arg]
    nodes, at = [], "x"
    for index, name in enumerate(weights):
        nodes.append(helper.make_node("Conv", [at, name], [f"y{index}"], pads=[1, 1, 1, 1]))
        at = f"y{index}"
    shape = (1, 4, 8, 8)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(at, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_parameters_per_tensor_and_per_channel() -> None:
    rng = np.random.default_rng(0)
    integers = rng.integers(-127, 128, (4, 4, 3, 3)).astype(np.float32)
    shifted = rng.integers(-200, 50, (4, 4, 3, 3)).astype(np.float32)
    scales = np.array([0.013, 0.2, 0.0071, 1.3], np.float32).reshape(4, 1, 1, 1)
    kept = own_grids(
        model(
            {
                "tensor": shifted * np.float32(0.03),
                "channel": integers * scales,
                "float": rng.normal(size=(4, 4, 3, 3)).astype(np.float32),
                "both": shifted * scales,  # a zero point per channel is no compiler's
            }
        )
    )
    assert kept.kernels == 4
    assert set(kept.overrides) == {"tensor", "channel"}
    (whole,) = kept.overrides["tensor"]
    assert whole["quant_type"] == QuantType.QUInt8
    assert int(whole["zero_point"]) == -int(shifted.min())
    assert float(whole["scale"]) == pytest.approx(0.03, rel=1e-5)
    channels = kept.overrides["channel"]
    assert [c["axis"] for c in channels] == [0] * 4
    assert np.allclose([float(c["scale"]) for c in channels], scales.ravel(), rtol=1e-5)
    assert {c["quant_type"] for c in channels} == {QuantType.QInt8}


def test_steps_of_int8_channels_keep_what_fits_and_clip_only_where_it_pays() -> None:
    rng = np.random.default_rng(0)
    integers = rng.integers(-100, 101, (3, 200)).astype(np.float32)
    integers[1, 0] = 129  # one value outside: clipping costs less than rounding all others
    integers[2, :100] = rng.integers(-254, 0, 100)  # half of them: rounding costs less
    values = integers * np.float32(0.01)
    steps = np.abs(values).max(axis=1).astype(np.float64) / 127
    chosen, exact = own_steps(values, 0, steps)
    assert not exact
    assert chosen[0] == pytest.approx(0.01, rel=1e-5)
    assert chosen[1] == pytest.approx(0.01, rel=1e-5)
    assert chosen[2] == steps[2]
    chosen, exact = own_steps(values[:1], 0, steps[:1])
    assert exact
    assert np.array_equal(np.rint(values[:1] / chosen[0]), integers[:1])
    noise = rng.normal(size=(2, 50)).astype(np.float32)
    steps = np.abs(noise).max(axis=1).astype(np.float64) / 127
    chosen, exact = own_steps(noise, 0, steps)
    assert not exact
    assert np.array_equal(chosen, steps)
