"""adaptive_pool: same numbers, only where the nodes really are an adaptive pool, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.adaptive_pool import ADAPTIVE_POOL, windows
from tests.graph.passes.agreement import Arrays, agrees, image, leaves, network, ops


def spelled_out(after: int, *, before: tuple[int, int] = (7, 10), divide: bool = True) -> onnx.ModelProto:
    """An adaptive pool as PyTorch's exporter writes it: Gathers of rows and columns, Adds and a Div."""
    lines: list[str] = []
    constants: Arrays = {}
    x = "image"
    for axis, side in ((2, before[0]), (3, before[1])):
        parts = []
        for place in range(after):
            taps = [int(tap) for tap in np.flatnonzero(windows(side, after)[place])]
            total = ""
            for tap in taps:
                index, name = f"i{axis}_{tap}", f"t{axis}_{place}_{tap}"
                constants[index] = np.asarray([tap], np.int64)
                lines.append(f"{name} = Gather <axis = {axis}> ({x}, {index})")
                if total:
                    lines.append(f"s_{name} = Add({total}, {name})")
                total = f"s_{name}" if total else name
            count = f"n{axis}_{place}"
            constants[count] = np.asarray(len(taps) if divide else 2, np.float32)
            lines.append(f"m{axis}_{place} = Div({total}, {count})")
            parts.append(f"m{axis}_{place}")
        lines.append(f"c{axis} = Concat <axis = {axis}> ({', '.join(parts)})")
        x = f"c{axis}"
    body = "\n".join([*lines, "y = Relu(c3)"])
    sides = f"1,4,{before[0]},{before[1]}"
    return network(f"g (float[{sides}] image) => (float[] y) {{ {body} }}", constants=constants)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(spelled_out(3), id="three"),
        pytest.param(spelled_out(6), id="six"),
        pytest.param(spelled_out(3, before=(8, 8)), id="square"),
    ],
)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(ADAPTIVE_POOL, model)
    assert ops(applied.model) == ["MatMul", "Transpose", "MatMul", "Transpose", "Relu"]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(spelled_out(3, divide=False), id="not-the-mean"),
        pytest.param(image("y = GlobalAveragePool(image)"), id="global"),
        pytest.param(
            image("y = Concat <axis = 2> (a, a)", a=np.zeros((1, 4, 6, 8), np.float32)), id="constants"
        ),
        pytest.param(
            image("a = Gather <axis = 2> (image, i) b = Add(a, a) y = Concat <axis = 2> (a, b)", i=[1, 2]),
            id="something-else",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(ADAPTIVE_POOL, model)


def test_windows_are_pytorch_s() -> None:
    assert windows(5, 2).tolist() == [[1 / 3] * 3 + [0, 0], [0, 0] + [1 / 3] * 3]
    np.testing.assert_allclose(windows(64, 6).sum(axis=1), 1)
