"""Multiply-accumulates, counted by hand."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.facts import nodes
from mosaic_deploy.graph.macs import macs
from tests.graph.passes.agreement import image, random


def counted(model: onnx.ModelProto) -> dict[str, int]:
    return {node.op: macs(node) for node in nodes(model) if macs(node)}


@pytest.mark.parametrize(
    ("body", "weight", "count"),
    [
        pytest.param("y = Conv(image, w)", (5, 8, 3, 1), 14 * 16 * 5 * 8 * 3, id="conv"),
        pytest.param(
            "y = Conv <group = 2, strides = [2, 2]> (image, w)", (4, 4, 1, 1), 4 * 8 * 8 * 4, id="grouped"
        ),
        pytest.param("y = Conv <group = 8> (image, w)", (8, 1, 3, 3), 8 * 14 * 14 * 9, id="depthwise"),
        pytest.param(
            "y = ConvTranspose <strides = [2, 2]> (image, w)", (8, 4, 2, 2), 8 * 256 * 4 * 4, id="transposed"
        ),
        pytest.param(
            "y = ConvTranspose <group = 4> (image, w)", (8, 3, 3, 3), 8 * 256 * 3 * 9, id="transposed-grouped"
        ),
    ],
)
def test_convolutions(body: str, weight: tuple[int, ...], count: int) -> None:
    model = image(body, shape="1,8,16,16", w=random(*weight))
    assert sum(counted(model).values()) == count


@pytest.mark.parametrize(
    ("body", "weight", "count"),
    [
        pytest.param("y = MatMul(image, w)", (16, 5), 8 * 12 * 5 * 16, id="shared-weight"),
        pytest.param("y = MatMul(w, image)", (5, 12), 8 * 5 * 16 * 12, id="shared-weight-first"),
        pytest.param("y = MatMul(image, w)", (3, 1, 16, 5), 3 * 8 * 12 * 5 * 16, id="batches-broadcast"),
        pytest.param("y = MatMul(image, w)", (16,), 8 * 12 * 16, id="vector"),
        pytest.param("y = MatMul(w, image)", (12,), 8 * 16 * 12, id="vector-first"),
        pytest.param("t = Transpose <perm = [0,1,3,2]> (image) y = MatMul(t, image)", (), 8 * 16 * 16 * 12,
                     id="of-two-tensors"),
        pytest.param("f = Flatten(image) y = Gemm(f, w)", (1536, 3), 3 * 1536, id="gemm"),
        pytest.param("f = Flatten(image) y = Gemm <transB = 1> (f, w)", (3, 1536), 3 * 1536, id="gemm-b"),
        pytest.param("f = Flatten <axis = 3> (image) y = Gemm <transA = 1> (f, w)", (96, 3), 16 * 3 * 96,
                     id="gemm-a"),
        pytest.param('y = Einsum <equation = "bchw, wd -> bchd"> (image, w)', (16, 5), 8 * 12 * 16 * 5,
                     id="einsum"),
        pytest.param('y = Einsum <equation = "bchw,bchw->bc"> (image, w)', (1, 1, 12, 16), 8 * 12 * 16,
                     id="einsum-broadcast"),
    ],
)  # fmt: skip
def test_matrix_products(body: str, weight: tuple[int, ...], count: int) -> None:
    model = image(body, shape="1,8,12,16", w=random(*weight))
    assert sum(counted(model).values()) == count


def test_a_product_of_vectors_has_one_output() -> None:
    model = image("f = Reshape(image, s) y = MatMul(f, f)", shape="1,1,1,7", s=[7])
    assert counted(model) == {"MatMul": 7}


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Relu(image)"), id="others"),
        pytest.param(image("y = acme.MatMul(image, image)"), id="other-domain"),
        pytest.param(image("u = Unique(image) y = MatMul(u, u)"), id="unknown-length"),
        pytest.param(
            image("u = Unique(image) r = Unsqueeze(u, axis) y = MatMul(r, w)", axis=[1], w=random(1, 3)),
            id="unknown-rows",
        ),
        pytest.param(
            image("m = MatMul(w, w) y = Add(image, m)", shape="1,4,8,8", w=random(8, 8)), id="folded"
        ),
        pytest.param(image('y = Einsum <equation = "bchw->bc"> (image)'), id="one-operand"),
        pytest.param(
            image('y = Einsum <equation = "bchw,wd,de->bche"> (image, w, v)', w=random(8, 2), v=random(2, 3)),
            id="three-operands",
        ),
        pytest.param(
            image('y = Einsum <equation = "...w,wd->...d"> (image, w)', w=random(8, 2)), id="ellipsis"
        ),
    ],
)
def test_what_does_not_count(model: onnx.ModelProto) -> None:
    assert counted(model) == {}
