"""A case as ``build`` would quantise it: the backend's own preparation and Q/DQ pairs, ranges from the feeds.

    in1 (float), in2 (float) -> nodes -> out (float)

becomes, as a network is after quantising, with integers at both ends and the feeds quantised alike,

    in1 (uint8), in2 (uint8) -> DQ -> nodes -> Q -> out (uint8)

The quantiser leaves some operators in float where no other has quantised their input before, as in a network
one has. So each input gets an Add before it, which is cut off again afterwards. Unlike a network, a case may
have many inputs and outputs, of any type. What the recipe leaves in float, and what is no float,
keeps its type.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.compare import from_tool, said
from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.execute import Session, expose
from mosaic_deploy.graph.index import consumers_of, producer_of
from mosaic_deploy.quantize.ort_tools import optimize
from mosaic_deploy.quantize.qdq import Insertion
from mosaic_deploy.quantize.sentinels import bound_sentinels, without_infinities
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

    from mosaic_deploy.quantize.histogram import Ranges

Prepare = Callable[[Path], Path]
"""Rewrites a graph for the compiler, as a ``Style`` of ``qdq`` does."""
Insert = Callable[[Insertion], "onnx.ModelProto"]


@dataclass(frozen=True, slots=True)
class Ends:
    """The grid of an input or output."""

    name: str
    scale: float | None
    """None where it is no quantised tensor."""
    zero_point: int
    dtype: str
    """numpy's name, of the integers where it is quantised."""

    def quantized(self, values: NDArray[Any]) -> NDArray[Any]:
        """Floats to the nearest integers of the grid."""
        if self.scale is None:
            return values
        bounds = np.iinfo(self.dtype)
        steps = np.rint(values.astype(np.float64) / self.scale) + self.zero_point
        integers: NDArray[Any] = np.clip(steps, bounds.min, bounds.max).astype(self.dtype)
        return integers

    def dequantized(self, values: NDArray[Any]) -> NDArray[Any]:
        """Integers of the grid to floats."""
        if self.scale is None:
            return values
        floats: NDArray[Any] = (values.astype(np.float64) - self.zero_point) * self.scale
        return floats.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Quantized:
    """A case in integers."""

    model: bytes
    feeds: Mapping[str, NDArray[Any]]
    """Quantised where the inputs are."""
    outputs: tuple[Ends, ...]

    @property
    def scales(self) -> tuple[float | None, ...]:
        """Of the outputs' grids."""
        return tuple(end.scale for end in self.outputs)

    def floats(self, answer: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """An answer with its quantised outputs dequantised."""
        return tuple(end.dequantized(values) for end, values in zip(self.outputs, answer, strict=True))


def recipe_of(precision: Precision) -> JsonObject:
    """The project's own recipe of a precision, ``w8a8`` or ``w8a16``."""
    from mosaic_deploy.specs.recipe import QuantRecipe
    from mosaic_deploy.specs.registry import load_spec

    recipe: JsonObject = load_spec(QuantRecipe, precision).model_dump(mode="json", by_alias=True)
    return recipe


def quantize(
    model: bytes,
    feeds: Mapping[str, NDArray[Any]],
    *,
    prepare: Prepare,
    insert: Insert,
    recipe: JsonObject,
    scratch: Path,
) -> Quantized:
    """Quantise a float case as a backend does; ``prepare`` and ``insert`` are its ``Style``'s.

    The smallest and largest values of each tensor on the feeds are its range.

    Raises ``ModelError`` where that fails.
    """
    import onnx

    scratch.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(scratch):  # the backends' preparation leaves its files where it stands
        try:
            Path("case.onnx").write_bytes(model)
            optimize(Path("case.onnx"), Path("plain.onnx"))
            graph = onnx.shape_inference.infer_shapes(onnx.load(prepare(Path("plain.onnx"))))
            without_infinities(graph)
            ranges = bound_sentinels(graph, _ranges(graph, feeds))
            led = _lead(graph, ranges)
            made = insert(_insertion(graph, ranges, recipe))
        except Exception as err:
            if not from_tool(err) and not isinstance(
                err, AssertionError | KeyError | AttributeError | TypeError
            ):
                raise
            raise ModelError(f"cannot be quantised: {said(err)}") from err
    sources = [_cut_input(made, value, led) for value in made.graph.input]
    for name in led:
        made.graph.output.remove(next(value for value in made.graph.output if value.name == name))
    results = tuple(_cut_output(made, value) for value in made.graph.output)
    del made.graph.value_info[:]
    grids = {end.name: end for end in sources}
    # numpy makes a number of an array without dimensions.
    integers = {n: np.asarray(grids[n].quantized(values)) for n, values in feeds.items() if n in grids}
    return Quantized(made.SerializeToString(deterministic=True), integers, results)


def _insertion(graph: onnx.ModelProto, ranges: Ranges, recipe: JsonObject) -> Insertion:
    from onnxruntime.quantization import QuantType

    kinds = [
        QuantType[f"Q{'' if recipe[role]['signed'] else 'U'}Int{recipe[role]['bits']}"]
        for role in ("weights", "activations")
    ]
    return Insertion(graph, ranges, recipe, kinds[0], kinds[1])


def _ranges(graph: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> Ranges:
    """Smallest and largest value of each float tensor."""
    session = Session(expose(graph), quiet=True)
    known = {port.name for port in session.inputs}
    given = {name: values for name, values in feeds.items() if name in known}
    values = dict(zip([port.name for port in session.outputs], session.run(given), strict=True))
    return {
        name: (np.float32(array.min()), np.float32(array.max()))
        for name, array in (*given.items(), *values.items())
        if array.dtype == np.float32 and array.size
    }


def _lead(graph: onnx.ModelProto, ranges: Ranges) -> tuple[str, ...]:
    """Turn each float input  in  into  in/source -> Add -> in, and show  in; return the inputs' names.

    That the graph shows it keeps the quantiser from merging the Add with a Relu or Clip behind it.
    """
    import onnx

    led = []
    used = {name for node in graph.graph.node for name in node.input}
    for value in graph.graph.input:
        if value.name not in used or value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            continue
        shown = graph.graph.output.add()
        shown.CopyFrom(value)
        value.name = f"{shown.name}/source"
        node = onnx.helper.make_node("Add", [value.name, value.name], [shown.name], f"{shown.name}/lead")
        graph.graph.node.insert(0, node)
        ranges[value.name] = ranges[shown.name]
        led.append(shown.name)
    return tuple(led)


def _cut_input(model: onnx.ModelProto, value: onnx.ValueInfoProto, led: Sequence[str]) -> Ends:
    """Turn  in/source -> Q -> DQ -> Add -> Q -> q -> DQ -> in  into  in -> DQ -> in/floats."""
    graph = model.graph
    name = value.name.removesuffix("/source")
    if name not in led or name == value.name:
        return _plain(value)
    add = next(node for node in graph.node if node.name == f"{name}/lead")
    quantizer = next(node for node in graph.node if add.output[0] in node.input)
    pairs = consumers_of(graph, value.name)
    pairs += [node for node in graph.node if node.output[0] in add.input]
    end = _grid(model, value, quantizer, name)
    _rename(graph, name, f"{name}/floats")
    _rename(graph, quantizer.output[0], name)
    for node in (*pairs, add, quantizer):
        graph.node.remove(node)
    value.name = name
    return end


def _cut_output(model: onnx.ModelProto, value: onnx.ValueInfoProto) -> Ends:
    """Turn  q -> DQ -> out  into  q, under the output's name, where a node makes q."""
    graph = model.graph
    maker = producer_of(graph, value.name)
    if maker is None or maker.op_type != "DequantizeLinear":
        return _plain(value)
    made = {name for node in graph.node for name in node.output}
    results = {result.name for result in graph.output}
    if maker.input[0] not in made or maker.input[0] in results:
        return _plain(value)
    end = _grid(model, value, maker, value.name)
    graph.node.remove(maker)
    for node in graph.node:  # whatever reads the floats behind the output dequantises for itself
        for index, name in enumerate(node.input):
            if name == value.name:
                node.input[index] = f"{value.name}/floats"
    integers = maker.input[0]
    _rename(graph, integers, value.name)
    if any(f"{value.name}/floats" in node.input for node in graph.node):
        maker.input[0], maker.output[0] = value.name, f"{value.name}/floats"
        graph.node.append(maker)
    return end


def _grid(model: onnx.ModelProto, value: onnx.ValueInfoProto, quantizer: onnx.NodeProto, name: str) -> Ends:
    """A quantiser's parameters; the graph's end gets its integers' type."""
    import onnx

    constants = {i.name: i for i in model.graph.initializer}
    scale = onnx.numpy_helper.to_array(constants[quantizer.input[1]])
    point = onnx.numpy_helper.to_array(constants[quantizer.input[2]])
    value.type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(point.dtype)
    return Ends(name, float(scale.reshape(())), int(point.reshape(())), str(point.dtype))


def _plain(value: onnx.ValueInfoProto) -> Ends:
    import onnx

    kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return Ends(value.name, None, 0, str(kind))


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
