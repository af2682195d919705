"""What normalising must keep to: outputs on ONNX Runtime, their names, and nothing more to do afterwards."""

from __future__ import annotations

import onnx

from mosaic_deploy.graph.normal.normalise import normalise
from tests.graph.passes.agreement import error, ops


def normal(model: onnx.ModelProto, *, tolerance: float = 1e-5) -> onnx.ModelProto:
    """Normalise a model, which stays as it is, and compare both on random images."""
    kept = model.SerializeToString()
    made = normalise(model)
    assert model.SerializeToString() == kept, "the model that was given was changed"
    assert [v.name for v in made.graph.output] == [v.name for v in model.graph.output]
    assert [v.name for v in made.graph.input] == [v.name for v in model.graph.input]
    assert error(model, made) <= tolerance
    assert normalise(made) is made, "a second time finds more to do"
    return made


def becomes(model: onnx.ModelProto, *wanted: str) -> onnx.ModelProto:
    """Normalise, and expect these operators in this order."""
    made = normal(model)
    assert ops(made) == list(wanted)
    return made


def stays(model: onnx.ModelProto) -> None:
    """Nothing is to be done: the very same model comes back."""
    assert normalise(model) is model
