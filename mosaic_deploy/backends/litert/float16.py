"""Emulating a GPU that computes in float16: every number is rounded to it, on ONNX Runtime's CPU.

    x -> Conv -> y      becomes      x -> Conv of rounded weights -> Cast to float16 -> Cast to float32 -> y

Sums inside an operator stay float32, so this is what a GPU gives that stores float16 and adds in float32;
one that adds in float16 too loses more. Numbers below 6e-5 keep their subnormal form, where some GPUs make 0
of them. A number that Relu turns to 0 anyway may leave float16 before it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.errors import ModelError, RefusedError
from mosaic_deploy.graph.execute import Session
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

LARGEST = float(np.finfo(np.float16).max)
"""65504."""
_THREADS = 2
_CHOOSING = (
    *("Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GlobalMaxPool", "Identity", "Max", "MaxPool"),
    *("Min", "Neg", "Relu", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose"),
    "Unsqueeze",
)
"""Operators whose outputs are numbers of their inputs, their negatives or 0: nothing new to be rounded."""
_EXACT_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}
"""Inputs that say what an operator does, scales say; they are no numbers that it computes with."""
_INPUT = "/float16"
"""What the rounded input is called beside the input's own name."""
_WATCH = "float16_watch"
"""Name of the output that holds one sum of squares per rounded tensor: not finite if the tensor is not."""


def predict(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Run ``request["onnx"]``, rounded to float16, on each of ``inputs`` (.npy) into ``outputs`` (.npy).

    ``layout`` is the order of the inputs' axes; the graph may have the other one. Outputs are as the graph
    gives them: float32 scores, or ids.

    Returns:
        ``rounded`` (how many tensors are rounded), ``precision`` and ``version`` of ONNX Runtime.

    Raises:
        ModelError: the graph cannot be read, run or rounded, or an input does not fit it.
        RefusedError: a number is too large for float16; the first tensor that holds one is named.
    """
    import onnx

    path = Path(request["onnx"])
    try:
        model = onnx.load(path)
        watched = round_to_float16(model)
        session = Session(model, threads=_THREADS)
        shape = tuple(int(dim.dim_value) for dim in model.graph.input[0].type.tensor_type.shape.dim)
        pairs = list(zip(request["inputs"], request["outputs"], strict=True))
        for index, (image, place) in enumerate(pairs):
            values = turned(np.load(image, allow_pickle=False), request["layout"], shape)
            found, *watch = session.run({session.inputs[0].name: values})
            _require_finite(watched, watch, path)
            np.save(place, found, allow_pickle=False)
            on_progress((index + 1) / len(pairs), f"image {index + 1} of {len(pairs)}")
    except Exception as err:
        if not type(err).__module__.startswith(("onnx", "google.protobuf")):
            raise
        reason = (str(err).strip().splitlines() or [type(err).__name__])[0][:300]
        raise ModelError(f"{path.name}: cannot be run in float16: {reason}") from err
    precision = "float16 with float32 sums, emulated"
    return {"rounded": len(watched), "precision": precision, "version": session.version}


def emulated(model: bytes, feeds: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """The outputs of a model, of as many inputs and outputs as it has, in float16; raises as ``predict``."""
    import onnx

    graph = onnx.load_from_string(model)
    watched = round_to_float16(graph)
    *found, watch = Session(graph).run(dict(feeds))
    _require_finite(watched, [watch], Path("the model"))
    return tuple(found)


def round_to_float16(model: onnx.ModelProto) -> tuple[str, ...]:
    """Round the weights, the input and what every operator gives; a second output watches for infinity.

    Returns:
        the names of the tensors that are rounded when it runs, in order.

    Raises:
        RefusedError: a weight is too large for float16.
        ModelError: operators hold graphs of their own, or a tensor's type is unknown.
    """
    import onnx

    graph = model.graph
    if any(a.HasField("g") or a.graphs for node in graph.node for a in node.attribute):
        raise ModelError(f"operators of graph '{graph.name}' hold graphs, which cannot be rounded to float16")
    floats, exact = _floats(model), _exact(graph)
    _round_constants(graph, exact)
    nodes: list[onnx.NodeProto] = []
    rounded = []
    for value in graph.input:
        if value.name in floats:
            rounded.append(f"{value.name}{_INPUT}")
            nodes += _rounding(value.name, rounded[-1])
    renamed = {name.removesuffix(_INPUT): name for name in rounded}
    postponed = _before_relu(graph)
    for node in graph.node:
        late = node.op_type == "Relu" and node.input[0] in postponed
        new = [name for name in node.output if name in floats - exact and (late or _computes(node))]
        new = [name for name in new if name not in postponed]
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [f"{name}/exact" if name in new else name for name in node.output]
        nodes.append(node)
        nodes += [step for name in new for step in _rounding(f"{name}/exact", name)]
        rounded += new
    del graph.node[:]
    graph.node.extend([*nodes, *_watching(rounded)])
    watch = onnx.helper.make_tensor_value_info(_WATCH, onnx.TensorProto.FLOAT, [1, len(rounded)])
    graph.output.append(watch)
    return tuple(rounded)


def turned(values: NDArray[Any], layout: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """An input in the graph's own order of axes; raises ``ModelError`` where it fits neither way."""
    order = (0, 3, 1, 2) if layout == "NHWC" else (0, 2, 3, 1)
    if values.shape == shape:
        return values
    if values.ndim == 4 and values.transpose(order).shape == shape:
        return np.ascontiguousarray(values.transpose(order))
    raise ModelError(f"the input has shape {values.shape}, the graph's {shape}")


def to_float16(values: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Round constants; raises ``RefusedError`` for one that float16 cannot hold."""
    if np.isfinite(values).all() and np.abs(values).max(initial=0) > LARGEST:
        # Halfway to the next step, 65520, still rounds down; beyond it is infinity.
        with np.errstate(over="ignore"):
            if np.isinf(values.astype(np.float16)).any():
                largest = float(np.abs(values).max())
                raise RefusedError(f"constant '{name}' holds {largest:g}, float16 ends at {LARGEST:g}")
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


def _round_constants(graph: onnx.GraphProto, exact: set[str]) -> None:
    import onnx

    held = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant":
            held += [(node.output[0], a.t) for a in node.attribute if a.name == "value"]
            for a in node.attribute:
                if a.name == "value_float" and node.output[0] not in exact:
                    a.f = float(to_float16(np.array([a.f], np.float32), node.output[0])[0])
    for name, tensor in held:
        if tensor.data_type == onnx.TensorProto.FLOAT and name not in exact:
            values = to_float16(onnx.numpy_helper.to_array(tensor), name)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def _before_relu(graph: onnx.GraphProto) -> set[str]:
    """Tensors that go into one Relu and nowhere else: rounding after it gives the same, and costs less."""
    uses: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            uses.setdefault(name, []).append(node.op_type)
    inputs = {value.name for value in graph.input}
    ends = {value.name for value in graph.output}
    return {name for name, kinds in uses.items() if kinds == ["Relu"]} - ends - inputs


def _rounding(source: str, result: str) -> list[onnx.NodeProto]:
    import onnx

    half, make = f"{result}/half", onnx.helper.make_node
    return [
        make("Cast", [source], [half], to=onnx.TensorProto.FLOAT16),
        make("Cast", [half], [result], to=onnx.TensorProto.FLOAT),
    ]


def _watching(rounded: list[str]) -> list[onnx.NodeProto]:
    import onnx

    make, sums = onnx.helper.make_node, [f"{name}/squares" for name in rounded]
    lines = [f"{total}/line" for total in sums]
    pairs = zip(rounded, sums, strict=True)
    nodes = [make("ReduceSumSquare", [name], [total], keepdims=0) for name, total in pairs]
    nodes += [make("Flatten", [total], [line], axis=0) for total, line in zip(sums, lines, strict=True)]
    return [*nodes, make("Concat", lines, [_WATCH], axis=1)]


def _computes(node: onnx.NodeProto) -> bool:
    return node.op_type not in _CHOOSING and node.op_type != "Constant"


def _exact(graph: onnx.GraphProto) -> set[str]:
    places = ((node, i) for node in graph.node for i in _EXACT_INPUTS.get(node.op_type, ()))
    return {node.input[i] for node, i in places if i < len(node.input)}


def _floats(model: onnx.ModelProto) -> set[str]:
    """Names of the float32 tensors that come in or are computed."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    kinds = {value.name: int(value.type.tensor_type.elem_type) for value in values}
    unknown = [name for node in model.graph.node for name in node.output if name and not kinds.get(name)]
    if unknown:
        raise ModelError(f"the type of '{unknown[0]}' cannot be inferred, so it cannot be rounded to float16")
    return {name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT}


def _require_finite(watched: tuple[str, ...], watch: list[NDArray[Any]], path: Path) -> None:
    for name, total in zip(watched, watch[0].ravel(), strict=True):
        if not np.isfinite(total):
            tensor = name.removesuffix(_INPUT)
            raise RefusedError(f"{path.name}: tensor '{tensor}' leaves float16, which ends at {LARGEST:g}")
