"""Grids of 16 bits have room for what calibration did not see, and end where their operator does."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.quantize.headroom import with_headroom

F = np.float32


def model_of(*nodes: tuple[str, str, str], constants: dict[str, float] | None = None) -> onnx.ModelProto:
    made = [
        helper.make_node(op, inputs.split(), [output], f"n{index}")
        for index, (op, inputs, output) in enumerate(nodes)
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", nodes[-1][2])]
    held = [numpy_helper.from_array(np.array(v, F), name) for name, v in (constants or {}).items()]
    return helper.make_model(helper.make_graph(made, "g", ends[:1], ends[1:], held))


def widened(
    model: onnx.ModelProto, spans: dict[str, tuple[float, float]], exact: str = ""
) -> dict[str, tuple[float, float]]:
    ranges = {name: (F(low), F(high)) for name, (low, high) in spans.items()}
    found = with_headroom(model, ranges, exact={exact})
    return {name: (float(low), float(high)) for name, (low, high) in found.items()}


def test_both_ends_get_room_and_zero_stays() -> None:
    model = model_of(("Neg", "x", "y"), ("Abs", "y", "z"))
    found = widened(model, {"x": (-1, 3), "y": (-3, 1), "z": (0, 3)})
    assert found == {"x": (-1.5, 4.5), "y": (-4.5, 1.5), "z": (0, 4.5)}


def test_a_range_beside_zero_only_grows() -> None:
    model = model_of(("Neg", "x", "y"))
    assert widened(model, {"x": (3, 4), "y": (-4, -3)}) == {"x": (3, 6), "y": (-6, -3)}


def test_no_grid_goes_beyond_what_its_operator_can_give() -> None:
    model = model_of(
        ("Clip", "x low high", "a"),
        ("MaxPool", "a", "b"),
        ("Sigmoid", "b", "c"),
        ("Tanh", "c", "d"),
        ("Relu", "d", "e"),
        constants={"low": 0.0, "high": 6.0},
    )
    seen = {"a": (0, 5), "b": (0, 2), "c": (0, 0.875), "d": (-0.5, 0.875)}
    found = widened(model, seen | {"e": (0, 4)})
    assert found == {"a": (0, 6), "b": (0, 3), "c": (0, 1), "d": (-0.75, 1), "e": (0, 6)}


def test_what_was_seen_stays_inside() -> None:
    """A cubic Resize goes beyond what it takes."""
    model = model_of(("Sigmoid", "x", "a"), ("Resize", "a", "b"))
    assert widened(model, {"b": (-0.25, 1.25)})["b"] == (-0.25, 1.25)


def test_stated_ranges_stay() -> None:
    model = model_of(("Neg", "x", "y"))
    found = widened(model, {"x": (0, 1), "y": (0, 1)}, exact="x")
    assert found == {"x": (0, 1), "y": (0, 1.5)}
