"""An ONNX graph under construction from a TFLite one: names, layouts and constants.

Four-dimensional tensors are (N, H, W, C) there and (N, C, H, W) here; all others keep their axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.errors import ModelError

OPSET = 18
TO_CHANNELS_FIRST = (0, 3, 1, 2)
AXIS = (0, 2, 3, 1)
"""Where an axis of (N, H, W, C) is in (N, C, H, W)."""
_TYPES = {"FLOAT32": TensorProto.FLOAT, "INT32": TensorProto.INT32, "INT64": TensorProto.INT64}


def channels_first(values: NDArray[Any]) -> NDArray[Any]:
    """(N, H, W, C) as (N, C, H, W); anything else as it is."""
    return np.ascontiguousarray(values.transpose(TO_CHANNELS_FIRST)) if values.ndim == 4 else values


@final
class Writer:
    """Collects nodes and constants; tensors go by their numbers in the file."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._tensors = model.subgraphs[0].tensors
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._floats: dict[int, NDArray[Any]] = {}
        self._taken: set[str] = set()
        self._names: dict[int, str] = {}

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape in the file."""
        return tuple(int(d) for d in self._tensors[tensor].shape)

    def name(self, tensor: int) -> str:
        """What a tensor is called in ONNX: as in the file, as far as that is nobody else's."""
        if tensor not in self._names:
            self._names[tensor] = self._free(flatbuffer.title(self._tensors[tensor]) or f"tensor_{tensor}")
        return self._names[tensor]

    def title(self, tensor: int) -> str:
        """What a tensor is called in the file."""
        return flatbuffer.title(self._tensors[tensor])

    def made(self) -> list[int]:
        """Tensors that nodes make, in the nodes' order."""
        numbers = {name: tensor for tensor, name in self._names.items()}
        return [numbers[name] for node in self._nodes for name in node.output if name in numbers]

    def known(self, tensor: int) -> NDArray[Any] | None:
        """A tensor's value in the file's layout; None where it is computed."""
        if tensor in self._floats:
            return self._floats[tensor]
        return flatbuffer.constant(self._model, tensor)

    def fixed(self, tensor: int, what: str) -> NDArray[Any]:
        """A value that must be a constant; raises ``ModelError`` where it is computed."""
        value = self.known(tensor)
        if value is None:
            raise ModelError(f"{what} is computed, and must be a constant")
        return value

    def widen(self, source: int, result: int) -> None:
        """Let ``result`` be the constant ``source`` in float32; raises ``ModelError`` where it is none."""
        value = self.fixed(source, "what DEQUANTIZE takes")
        if value.dtype.kind != "f":
            raise ModelError("its weights are integers: import-tflite reads float networks")
        self._floats[result] = value.astype(np.float32)

    def value(self, tensor: int, *, beside: int = 4) -> str:
        """A tensor as an input of a node; a constant as numbers that broadcast to ``beside`` axes."""
        constant = self.known(tensor)
        if constant is None:
            return self.name(tensor)
        if 0 < constant.ndim < beside:
            constant = constant.reshape((1,) * (beside - constant.ndim) + constant.shape)
        return self.constant(self.name(tensor), channels_first(constant))

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Put a constant in; gives its name, which is another where ``name`` holds another value."""
        tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
        if name in self._constants and self._constants[name] != tensor:
            name = self._free(name)
            tensor.name = name
        self._constants[name] = tensor
        self._taken.add(name)
        return name

    def node(self, kind: str, inputs: Sequence[str], result: str, **attributes: Any) -> None:
        """Add a node, named after what it gives."""
        self._nodes.append(helper.make_node(kind, list(inputs), [result], name=result, **attributes))

    def type_of(self, tensor: int) -> int:
        """A tensor's type as ONNX numbers it; raises ``ModelError`` for one that no float network has."""
        kind = flatbuffer.dtype(self._tensors[tensor])
        if kind not in _TYPES:
            raise ModelError(f"'{self.name(tensor)}' is {kind.lower()}: import-tflite reads float networks")
        return _TYPES[kind]

    def between(self, tensor: int) -> str:
        """A name for what lies in front of a tensor, of an operator that becomes two nodes."""
        return self._free(f"{self.name(tensor)}.sum")

    def model(self, inputs: Sequence[int], outputs: Sequence[int], title: str) -> onnx.ModelProto:
        """The finished model."""
        given, made = ([self.end(int(tensor)) for tensor in tensors] for tensors in (inputs, outputs))
        graph = helper.make_graph(self._nodes, title, given, made, initializer=list(self._constants.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="mosaic-deploy")

    def end(self, tensor: int) -> onnx.ValueInfoProto:
        """A tensor as an input or an output; raises ``ModelError`` where no float network has its type."""
        shape = self.shape(tensor)
        if len(shape) == 4:
            shape = tuple(shape[axis] for axis in TO_CHANNELS_FIRST)
        return helper.make_tensor_value_info(self.name(tensor), self.type_of(tensor), shape)

    def _free(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name
