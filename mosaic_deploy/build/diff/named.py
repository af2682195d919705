"""The tensors of a graph that two runtimes can be compared at: by name, in order, each with its grid.

In a quantised graph these are what a QuantizeLinear stores, under the name of the float tensor that goes into
it; in a float graph, all floats that depend on the image.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.between import between
from mosaic_deploy.graph.index import reads

if TYPE_CHECKING:
    import onnx

_SUFFIX = "_QuantizeLinear_Input"
"""What ONNX Runtime's quantiser appends to an output's name where it puts a pair behind it."""
_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


@dataclass(frozen=True, slots=True)
class Grid:
    """Integers that stand for floats: ``(integer - zero_point) * scale``."""

    scale: float
    zero_point: int
    dtype: str

    def integers(self, values: NDArray[Any]) -> NDArray[Any]:
        """The nearest ones, halves to even; what is out of range becomes the end of the range."""
        bounds = np.iinfo(self.dtype)
        steps = np.rint(values.astype(np.float64) / self.scale) + self.zero_point
        found: NDArray[Any] = np.clip(steps, bounds.min, bounds.max).astype(self.dtype)
        return found

    def floats(self, values: NDArray[Any]) -> NDArray[Any]:
        """What they stand for, in float64, so that ``integers`` gives them back."""
        found: NDArray[Any] = (values.astype(np.float64) - self.zero_point) * self.scale
        return found


@dataclass(frozen=True, slots=True)
class Named:
    """One tensor."""

    name: str
    stored: str
    """Its name in the graph: of the integers, where it has a grid."""
    grid: Grid | None
    makers: tuple[str, ...]
    """``name`` of the tensors that it is computed from with no other between, the image's too."""
    depth: int
    """Of the longest way from the image, in named tensors: 1 for the first."""


@dataclass(frozen=True)
class NamedGraph:
    """A graph of one image, and its tensors that have names for this purpose."""

    model: onnx.ModelProto
    image: Named
    tensors: Mapping[str, Named]
    """By ``name``, in topological order, without the image."""

    @cached_property
    def ancestors(self) -> Mapping[str, frozenset[str]]:
        """Tensor -> all that it depends on, without the image."""
        found: dict[str, frozenset[str]] = {self.image.name: frozenset()}
        for name, tensor in self.tensors.items():
            inner = [maker for maker in tensor.makers if maker != self.image.name]
            found[name] = frozenset(inner).union(*(found[maker] for maker in inner))
        return found

    def nearest(self, name: str, among: Collection[str]) -> tuple[str, ...]:
        """Those of ``among``, and the image, that a tensor is computed from with no other of them between."""
        found: dict[str, None] = {}
        waiting, seen = [name], {name}
        while waiting:
            for maker in self.tensors[waiting.pop()].makers:
                if maker in among or maker == self.image.name:
                    found[maker] = None
                elif maker not in seen:
                    seen.add(maker)
                    waiting.append(maker)
        return tuple(found)

    def part(
        self, name: str, given: Mapping[str, tuple[int, ...]], shape: tuple[int, ...] | None = None
    ) -> onnx.ModelProto:
        """Cut out what computes a tensor from ``given``, tensor -> its shape; from the image if empty.

        ``shape`` is the tensor's own, where it is known and to be stated.
        """
        import onnx

        fed = {}
        for maker, shape in given.items():
            tensor = self.at(maker)
            dtype = np.dtype(tensor.grid.dtype if tensor.grid else "float32")
            kind = onnx.helper.np_dtype_to_tensor_dtype(dtype)
            fed[tensor.stored] = onnx.helper.make_tensor_value_info(tensor.stored, kind, shape)
        if self.image.name in given:  # as the graph has it: raw pixels may be its integers
            del fed[self.image.stored]
        part = between(self.model, self.tensors[name].stored, fed)
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype(name)))
        end = part.graph.output[0].type.tensor_type
        end.elem_type = kind
        if shape is not None:
            end.shape.CopyFrom(onnx.TensorShapeProto())
            for side in shape:
                end.shape.dim.add().dim_value = side
        return part

    def at(self, name: str) -> Named:
        """A tensor, or the image."""
        return self.image if name == self.image.name else self.tensors[name]

    def dtype(self, name: str) -> str:
        """The type of a tensor as the graph stores it."""
        grid = self.at(name).grid
        return grid.dtype if grid else "float32"

    def operators(self, name: str, given: Collection[str]) -> tuple[str, ...]:
        """Type and name of the nodes that compute a tensor from others, quantisers left out."""
        part = self.part(name, dict.fromkeys(given, ()))
        glue = (_QUANTIZE, _DEQUANTIZE)
        return tuple(f"{n.op_type} '{n.name}'" for n in part.graph.node if n.op_type not in glue)


def read_named(path: Path) -> NamedGraph:
    """Read a graph of a build, float or with Q/DQ pairs.

    Raises ``ModelError`` for what is no sound graph of one image and one output, or names no tensor.
    """
    import onnx

    from mosaic_deploy.graph.reader.read import read_model, read_names

    model = read_names(path)  # nothing native sees it here
    quantised = any(node.op_type == _QUANTIZE for node in model.graph.node)
    if not quantised:
        model = read_model(path)  # its types are wanted
    elsewhere = onnx.TensorProto.EXTERNAL
    if any(tensor.data_location == elsewhere for tensor in model.graph.initializer):
        raise ModelError(f"{path}: its weights lie in another file, which no build does: build it again")
    stored = {tensor.name for tensor in model.graph.initializer}
    images = [value for value in model.graph.input if value.name not in stored]
    if len(images) != 1 or len(model.graph.output) != 1:
        raise ModelError(
            f"{path}: has {len(images)} inputs and {len(model.graph.output)} outputs, not one each"
        )
    graph = _named(model, images[0].name, quantised=quantised)
    if not graph.tensors:
        raise ModelError(f"{path}: no tensor in it can be compared: none is a float, or has one scale")
    return graph


def _named(model: onnx.ModelProto, image: str, *, quantised: bool) -> NamedGraph:
    constants = _Constants(model)
    first = Named(image, image, _grid_of_image(model, image, constants) if quantised else None, (), 0)
    known: dict[str, Named] = {}
    floats = set() if quantised else _floats(model)
    behind: dict[str, dict[str, None]] = {image: {image: None}}
    """Tensor of the graph -> the named ones nearest above it."""
    opened = {name for node in model.graph.node if node.op_type == _DEQUANTIZE for name in node.output}
    for node in model.graph.node:
        above: dict[str, None] = {}
        for name in reads(node):
            above |= behind.get(name, {})
        if not above:
            continue  # it computes a constant
        depth = 1 + max(known[m].depth if m in known else 0 for m in above)
        for name in filter(None, node.output):
            behind[name] = above
            stores = quantised and node.op_type == _QUANTIZE and node.input[0] not in opened
            grid = constants.grid(node) if stores else None
            own = node.input[0].removesuffix(_SUFFIX) if quantised else name
            if (grid is not None or name in floats) and own not in known and own != image:
                known[own] = Named(own, name, grid, tuple(above), depth)
                behind[name] = {own: None}
    return NamedGraph(model, first, known)


def _floats(model: onnx.ModelProto) -> set[str]:
    import onnx

    values = (*model.graph.value_info, *model.graph.output)
    return {v.name for v in values if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}


def _grid_of_image(model: onnx.ModelProto, image: str, constants: _Constants) -> Grid | None:
    for node in model.graph.node:
        if node.op_type == "Transpose" and node.input[0] == image:
            return _grid_of_image(model, node.output[0], constants)
        if node.op_type == _DEQUANTIZE and node.input[0] == image:
            return constants.grid(node)
    return None


class _Constants:
    """Values that a graph stores."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}

    def grid(self, node: onnx.NodeProto) -> Grid | None:
        """Of a quantiser; None for one of many scales, or whose numbers are computed."""
        import onnx

        if len(node.input) < 3 or any(name not in self._stored for name in node.input[1:3]):
            return None
        scale, point = (onnx.numpy_helper.to_array(self._stored[name]) for name in node.input[1:3])
        if scale.size != 1 or point.size != 1 or not float(scale.item()) > 0:
            return None
        return Grid(float(scale.item()), int(point.item()), str(point.dtype))
