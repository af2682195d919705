"""einsum: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.einsum import EINSUM
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

MODELS = [
    pytest.param(image('y = Einsum <equation = "bhid,bhjd->bhij"> (image, image)'), id="attention"),
    pytest.param(
        image(
            "r = Transpose <perm = [0, 1, 3, 2]> (image) q = MatMul(image, r) y = Einsum "
            '<equation = "bhij,bhjd->bhid"> (q, image)'
        ),
        id="values",
    ),
    pytest.param(
        image('y = Einsum <equation = "bchw,kc->bkhw"> (image, w)', w=random(5, 4)), id="one-by-one"
    ),
    pytest.param(
        image('y = Einsum <equation = "bchw,bkc->bkhw"> (image, w)', w=random(1, 5, 4)), id="queries"
    ),
    pytest.param(image('y = Einsum <equation = "kc,bchw->bkhw"> (w, image)', w=random(5, 4)), id="swapped"),
    pytest.param(image('y = Einsum <equation = "bchw,wv->bchv"> (image, w)', w=random(8, 5)), id="rows"),
    pytest.param(
        image('y = Einsum <equation = "bchw,bkhw->bck"> (image, w)', w=random(1, 3, 6, 8)), id="two-summed"
    ),
    pytest.param(image('y = Einsum <equation = "bchw,cd->bhdw"> (image, w)', w=random(4, 5)), id="mixed"),
    pytest.param(image('y = Einsum <equation = "bchw->bhwc"> (image)'), id="transpose"),
    pytest.param(image('y = Einsum <equation = "bchw->wb"> (image)'), id="sum"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(EINSUM, model)
    assert {"Einsum"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image('a = Reshape(image, k) y = Einsum <equation = "ii->i"> (a)', shape="1,4,6,6", k=[12, 12]),
            id="diagonal",
        ),
        pytest.param(image('y = Einsum <equation = "...w,vw->...v"> (image, w)', w=random(5, 8)), id="dots"),
        pytest.param(image('y = Einsum <equation = "bchw,vw"> (image, w)', w=random(5, 8)), id="implicit"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(EINSUM, model)
