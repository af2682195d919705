"""Parts are alike where a compiler has no way to tell them apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from mosaic_deploy.gate.ask.structure import structure
from mosaic_deploy.graph.reader.read import read_model
from tests.gate.gate_models import write

BODY = "a = Conv <pads = [0,0,0,0]> (image, w) y = Relu (a)"


def digest(folder: Path, body: str, *, opset: int = 18) -> str:
    return structure(read_model(write(folder / "m.onnx", body, opset=opset)))


def test_names_tell_nothing(tmp_path: Path) -> None:
    assert digest(tmp_path, BODY) == digest(tmp_path, BODY.replace("a =", "b =").replace("(a)", "(b)"))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(BODY.replace("Relu", "Neg"), id="operator"),
        pytest.param(BODY.replace("[0,0,0,0]", "[1,1,1,1]"), id="attribute"),
        pytest.param("a = Relu (image) y = Conv <pads = [0,0,0,0]> (a, w)", id="order"),
    ],
)
def test_what_a_compiler_sees_tells(other: str, tmp_path: Path) -> None:
    assert digest(tmp_path, BODY) != digest(tmp_path, other)


def test_values_of_parameters_tell(tmp_path: Path) -> None:
    body = "i = Constant <value_ints = [{}]> () y = ReduceSum <keepdims = 1> (image, i)"
    assert digest(tmp_path, body.format(1)) != digest(tmp_path, body.format(2))
