"""Models that were exported as they train: refused, since what they compute is not what was learned.

Normalisation by the statistics of the image at hand and dropout that drops are PyTorch's default until
``model.eval()`` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.reader.names import graphs

if TYPE_CHECKING:
    import onnx

_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_CURE = "exported in training mode: call model.eval() before you export it"
_STATISTICS_OPSET = 14
"""From which on BatchNormalization says by an attribute that it trains, before by its further outputs."""

_TRAINING_INPUT_OPSET = 12
"""From which on Dropout says by an input that it drops."""


def require_inference(model: onnx.ModelProto, opset: int) -> None:
    """Refuse a model that trains, or draws random numbers.

    Args:
        model: a sound one without nodes that lead nowhere.
        opset: its version of ONNX's own operators.

    Raises:
        ModelError: names the node, and the cure.
    """
    for graph, _ in graphs(model.graph):
        held = _Held(model.graph, graph)
        for node in graph.node:
            if node.domain in ("", "ai.onnx"):
                reason = _reason(node, opset, held)
                if reason:
                    said = f"node '{node.name or node.output[0]}' ({node.op_type})"
                    raise ModelError(f"{said} {reason}: {_CURE}")


class _Held:
    """Constants of a body and of the main graph around it."""

    def __init__(self, *found: onnx.GraphProto) -> None:
        self._tensors = {tensor.name: tensor for graph in found for tensor in graph.initializer}
        self._read = {name for graph in found for node in graph.node for name in node.input}
        self._read |= {value.name for graph in found for value in graph.output}
        self._made = {str(node.output[0]): node for graph in found for node in graph.node if node.output}

    def number(self, name: str) -> float | None:
        """The value of a constant that is one number, through Identity and Cast."""
        import onnx

        for _ in range(8):
            if name in self._tensors:
                return _single(onnx.numpy_helper.to_array(self._tensors[name]))
            node = self._made.get(name)
            if node is None:
                return None
            if node.op_type == "Constant":
                return next((_single(_constant(a)) for a in node.attribute), None)
            if node.op_type not in ("Identity", "Cast") or not node.input:
                return None
            name = node.input[0]
        return None

    def read(self, name: str) -> bool:
        return bool(name) and name in self._read


def _constant(attribute: onnx.AttributeProto) -> object:
    import onnx

    return onnx.numpy_helper.to_array(attribute.t) if attribute.HasField("t") else attribute.i or attribute.f


def _single(value: object) -> float | None:
    array = np.asarray(value)
    return float(array.reshape(())[()]) if array.size == 1 and array.dtype.kind in "fiub" else None


def _reason(node: onnx.NodeProto, opset: int, held: _Held) -> str:
    if node.op_type in _RANDOM:
        return "draws random numbers"
    if node.op_type == "BatchNormalization" and _trains(node, opset):
        return "normalises by the statistics of the image at hand"
    if node.op_type == "Dropout" and _drops(node, opset, held):
        return "drops pixels at random"
    return ""


def _trains(node: onnx.NodeProto, opset: int) -> bool:
    if opset >= _STATISTICS_OPSET:
        return any(attribute.name == "training_mode" and attribute.i for attribute in node.attribute)
    return any(node.output[1:])


def _drops(node: onnx.NodeProto, opset: int, held: _Held) -> bool:
    if opset < _TRAINING_INPUT_OPSET:
        return len(node.output) > 1 and held.read(node.output[1])
    if len(node.input) < 3 or not node.input[2] or not held.number(node.input[2]):
        return False
    ratio = held.number(node.input[1]) if node.input[1] else 0.5
    return ratio != 0
