"""Ranges that grids can be made of."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.quantize.sound_ranges import sound_ranges


def network(bias: float) -> onnx.ModelProto:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 4, 8, 8] image) => (float[1, 4, 8, 8] y) { y = Conv(image, weight, bias) }
    """)
    arrays = {"weight": 0.5 * np.eye(4).reshape(4, 4, 1, 1), "bias": np.full(4, bias)}
    for name, values in arrays.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    return model


def test_what_is_always_zero_gets_a_range() -> None:
    zero = np.float32(0)
    assert sound_ranges(network(0.0), {"image": (zero, zero)}) == {"image": (zero, np.float32(1))}


@pytest.mark.parametrize("bias", [0.0, 1e-9, 2.0], ids=str)
def test_a_bias_has_a_bounded_number_of_steps(bias: float) -> None:
    before = (np.float32(-1e-9), np.float32(3e-9))
    low, high = sound_ranges(network(bias), {"image": before})["image"]
    step = (float(high) - float(low)) / 255 * (0.5 / 127)
    assert bias / step <= 2.0**26 * 1.001
    assert float(high) / float(low) == pytest.approx(-3, rel=1e-5)
    if bias < 1:
        assert (low, high) == before
