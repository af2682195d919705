"""batch_norm_folded: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.convolutions import BATCH_NORM_FOLDED
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

MODELS = [
    pytest.param(
        image(
            "c = Conv(image, w) y = BatchNormalization(c, s, o, m, v)",
            w=random(4, 4, 3, 3, seed=5),
            s=random(4) ** 2 + 1,
            o=random(4, seed=1),
            m=random(4, seed=2),
            v=random(4, seed=3) ** 2 + 0.1,
        ),
        id="plain",
    ),
    pytest.param(
        image(
            "c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (image, w, b) y = "
            "BatchNormalization <epsilon = 0.01> (c, s, o, m, v)",
            w=random(4, 4, 3, 3, seed=5),
            b=random(4, seed=6),
            s=random(4) ** 2 + 1,
            o=random(4, seed=1),
            m=random(4, seed=2),
            v=random(4, seed=3) ** 2 + 0.1,
        ),
        id="bias",
    ),
    pytest.param(
        image(
            "c = Conv(image, w) d = BatchNormalization(c, s, o, m, v) e = Conv(image, w) y = Add(d, e)",
            w=random(4, 4, 3, 3, seed=5),
            s=random(4) ** 2 + 1,
            o=random(4, seed=1),
            m=random(4, seed=2),
            v=random(4, seed=3) ** 2 + 0.1,
        ),
        id="shared-weights",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(BATCH_NORM_FOLDED, model)
    assert {"BatchNormalization"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image(
                "c = Conv(image, w) d = BatchNormalization(c, s, o, m, v) y = Add(c, d)",
                w=random(4, 4, 3, 3, seed=5),
                s=random(4) ** 2 + 1,
                o=random(4, seed=1),
                m=random(4, seed=2),
                v=random(4, seed=3) ** 2 + 0.1,
            ),
            id="read-twice",
        ),
        pytest.param(
            image(
                "c = Conv(image, w) y = BatchNormalization(c, s, o, m, v)",
                out="float[] y, float[] c",
                w=random(4, 4, 3, 3, seed=5),
                s=random(4) ** 2 + 1,
                o=random(4, seed=1),
                m=random(4, seed=2),
                v=random(4, seed=3) ** 2 + 0.1,
            ),
            id="convolution-is-an-output",
        ),
        pytest.param(
            image(
                "y = BatchNormalization(image, s, o, m, v)",
                s=random(4) ** 2 + 1,
                o=random(4, seed=1),
                m=random(4, seed=2),
                v=random(4, seed=3) ** 2 + 0.1,
            ),
            id="no-convolution",
        ),
        pytest.param(
            image(
                "k = Abs(w) c = Conv(image, k) y = BatchNormalization(c, s, o, m, v)",
                w=random(4, 4, 3, 3, seed=5),
                s=random(4) ** 2 + 1,
                o=random(4, seed=1),
                m=random(4, seed=2),
                v=random(4, seed=3) ** 2 + 0.1,
            ),
            id="computed-weights",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(BATCH_NORM_FOLDED, model)
