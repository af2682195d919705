"""gelu_fused: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.gelu import GELU_FUSED
from tests.graph.passes.agreement import agrees, image, leaves, number, ops

MODELS = [
    pytest.param(
        image(
            "d = Div(image, r) e = Erf(d) a = Add(e, one) m = Mul(image, a) y = Mul(m, half)",
            r=number(2**0.5),
            one=np.ones((), np.float32),
            half=number(0.5),
        ),
        id="torch",
    ),
    pytest.param(
        image(
            "h = Mul(half, image) d = Div(image, r) e = Erf(d) a = Add(one, e) y = Mul(h, a)",
            r=number(2**0.5),
            one=np.ones((), np.float32),
            half=number(0.5),
        ),
        id="half-first",
    ),
    pytest.param(
        image(
            "d = Mul(image, q) e = Erf(d) a = Add(e, one) m = Mul(a, half) y = Mul(image, m)",
            q=number(0.5**0.5),
            r=number(2**0.5),
            one=np.ones((), np.float32),
            half=number(0.5),
        ),
        id="scale",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(GELU_FUSED, model)
    assert {"Erf"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image(
                "d = Div(image, half) e = Erf(d) a = Add(e, one) m = Mul(image, a) y = Mul(m, half)",
                r=number(2**0.5),
                one=np.ones((), np.float32),
                half=number(0.5),
            ),
            id="another-factor",
        ),
        pytest.param(
            image(
                "d = Div(image, r) e = Erf(d) a = Add(e, one) m = Mul(image, a) y = Mul(m, half)",
                opset=17,
                r=number(2**0.5),
                one=np.ones((), np.float32),
                half=number(0.5),
            ),
            id="opset-17",
        ),
        pytest.param(
            image(
                "o = Abs(image) d = Div(image, r) e = Erf(d) a = Add(e, one) m = Mul(o, a) y = Mul(m, half)",
                r=number(2**0.5),
                one=np.ones((), np.float32),
                half=number(0.5),
            ),
            id="other-image",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(GELU_FUSED, model)


def test_the_opset_rises_only_as_far_as_needed() -> None:
    applied = agrees(GELU_FUSED, MODELS[0].values[0])  # type: ignore[arg-type]  # pytest types values as objects
    assert ops(applied.model) == ["Gelu"]
    assert applied.model.opset_import[0].version == 20


def test_what_others_read_stays() -> None:
    model = image(
        "d = Div(image, r) e = Erf(d) a = Add(e, one) m = Mul(image, a) g = Mul(m, half) y = Add(g, e)",
        r=number(2**0.5),
        one=np.ones((), np.float32),
        half=number(0.5),
    )
    assert "Erf" in ops(agrees(GELU_FUSED, model).model)
