"""parts_low_rank: same numbers, only where it may, and once."""

from __future__ import annotations

from typing import Any

import onnx
import pytest

from mosaic_deploy.graph.passes.parts import PARTS_LOW_RANK
from tests.graph.passes.agreement import agrees, image, leaves

HEADS: dict[str, Any] = {"shape": "2,6,36", "k": [2, 6, 3, 4, 3]}
TURNED = "a = Reshape(image, k) b = Transpose <perm = [2, 0, 3, 1, 4]> (a)"
MULTIHEAD = "b = Transpose <perm = [3, 1, 2, 0, 4]> (a) c = Squeeze(b, z)"
MODELS = [
    pytest.param(
        image(f"{TURNED} q, r, s = Split <axis = 0, num_outputs = 3> (b) y = Squeeze(s, z)", **HEADS, z=[0]),
        id="split",
    ),
    pytest.param(image(f"{TURNED} y = Gather <axis = 0> (b, i)", **HEADS, i=1), id="gather"),
    pytest.param(image(f"{TURNED} y = Gather <axis = 0> (b, i)", **HEADS, i=-1), id="gather-from-the-end"),
    pytest.param(
        image(f"{TURNED} c = Slice(b, s, e, z) y = Squeeze(c, z)", **HEADS, s=[1], e=[2], z=[0]), id="slice"
    ),
    pytest.param(
        image(f"{TURNED} c = Slice(b, s, e, z) y = Reshape(c, f)", **HEADS, s=[2], e=[3], z=[0], f=[8, 6, 3]),
        id="reshape",
    ),
    pytest.param(
        image(
            "a = Reshape(image, k) b = Transpose <perm = [0, 3, 2, 1, 4]> (a) y = Gather <axis = 2> (b, i)",
            shape="1,6,16",
            k=[1, 6, 2, 4, 2],
            i=0,
        ),
        id="another-axis",
    ),
    pytest.param(
        image(
            f"a = Reshape(image, k) {MULTIHEAD} y = Gather <axis = 0> (c, i)",
            shape="6,2,36",
            k=[1, 6, 2, 3, 12],
            z=[-2],
            i=1,
        ),
        id="multihead",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(PARTS_LOW_RANK, model)


def test_every_part_has_its_turn() -> None:
    parts = "q, r, s = Split <axis = 0, num_outputs = 3> (b)"
    ends = "l = Squeeze(q, z) m = Squeeze(r, z) n = Squeeze(s, z) o = Sub(l, m) y = Sub(o, n)"
    applied = agrees(PARTS_LOW_RANK, image(f"{TURNED} {parts} {ends}", **HEADS, z=[0]), changes=3)
    assert "Split" not in {node.op_type for node in applied.model.graph.node}


def test_multihead_attention_has_no_five_dimensions_left() -> None:
    parts = "q = Gather <axis = 0> (c, i) r = Gather <axis = 0> (c, j) s = Gather <axis = 0> (c, m)"
    ends = "o = Sub(q, r) y = Sub(o, s)"
    held: dict[str, Any] = {"shape": "6,1,36", "k": [1, 6, 1, 3, 12], "i": 0, "j": 1, "m": 2}
    model = image(f"a = Reshape(image, k) {MULTIHEAD} {parts} {ends}", z=[3], **held)
    applied = agrees(PARTS_LOW_RANK, model, changes=3)
    assert not {"Squeeze", "Gather"} & {node.op_type for node in applied.model.graph.node}


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image(f"{TURNED.replace('2, 0, 3', '3, 0, 2')} y = Gather <axis = 0> (b, i)", **HEADS, i=1),
            id="inner-factor",
        ),
        pytest.param(
            image(
                f"{TURNED} c = Slice(b, s, e, z) y = Reshape(c, f)",
                **HEADS,
                s=[0],
                e=[2],
                z=[0],
                f=[16, 6, 3],
            ),
            id="two-places",
        ),
        pytest.param(
            image(
                "a = Reshape(image, k) b = Transpose <perm = [2, 0, 1, 3]> (a) y = Gather <axis = 0> (b, i)",
                shape="2,6,36",
                k=[2, 6, 3, 12],
                i=1,
            ),
            id="four",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(PARTS_LOW_RANK, model)
