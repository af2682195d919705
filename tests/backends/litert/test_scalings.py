"""Scalings around an activation on the way to onnx2tf: the same numbers, and only where it would go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mosaic_deploy.backends.litert.convert import convert
from mosaic_deploy.backends.litert.scalings import SCALED_ONCE
from mosaic_deploy.backends.registry import load_backend
from tests.graph.passes.agreement import agrees, image, leaves, number, ops

TFLITE = load_backend("tflite")
PER_CHANNEL = np.array([2.0, -3.0, 0.5, 1.0], np.float32).reshape(1, 4, 1, 1)
MODELS = [
    pytest.param(
        image(
            "a = Mul(image, s) b = Clip(a, z, h) y = Mul(b, t)",
            h=number(6),
            s=number(6),
            t=number(0.2),
            z=number(0),
        ),
        ["Mul", "Clip"],
        id="clip",
    ),
    pytest.param(
        image("a = Mul(s, image) b = Clip(a, , h) y = Mul(b, t)", h=number(6), s=PER_CHANNEL, t=number(0.2)),
        ["Mul", "Clip"],
        id="one bound",
    ),
    pytest.param(
        image("a = Mul(image, s) b = Relu(a) y = Mul(b, t)", s=PER_CHANNEL, t=number(3)),
        ["Mul", "Relu"],
        id="relu",
    ),
]


@pytest.mark.parametrize(("model", "expected"), MODELS)
def test_before_and_after_agree(model: onnx.ModelProto, expected: list[str]) -> None:
    assert ops(agrees(SCALED_ONCE, model).model) == expected


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            "a = Mul(image, s) b = Relu(a) y = Mul(b, minus)", id="a negative factor turns it round"
        ),
        pytest.param("a = Mul(image, s) b = Relu(a) c = Mul(b, t) y = Add(b, c)", id="read elsewhere"),
        pytest.param("b = Relu(image) y = Mul(b, t)", id="one scaling"),
        pytest.param("a = Mul(image, image) b = Relu(a) y = Mul(b, t)", id="a product of tensors"),
        pytest.param("a = Mul(image, s) y = Mul(a, t)", id="no activation"),
    ],
)
def test_other_graphs_stay(body: str) -> None:
    used: dict[str, Any] = {"s": number(6), "t": number(0.5), "minus": number(-1)}
    leaves(SCALED_ONCE, image(body, **{name: value for name, value in used.items() if f" {name})" in body}))


@pytest.mark.slow
@pytest.mark.skipif(TFLITE.missing() is not None, reason=str(TFLITE.missing()))
def test_onnx2tf_keeps_the_activation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    body = "a = Mul(image, s) b = Clip(a, z, h) y = Mul(b, t)"
    used: dict[str, Any] = {"h": number(6), "s": number(6), "t": number(1 / 6), "z": number(0)}
    onnx.save(image(body, shape="1,3,6,10", out="float[1,3,6,10] y", **used), "gate.onnx")
    request = {
        "onnx": "gate.onnx",
        "out": "out.tflite",
        "shape": [1, 6, 10, 3],
        "layout": "NCHW",
        "fold": False,
    }
    assert convert({**request, "image": None}, lambda *_: None)["difference"] < 1e-5
