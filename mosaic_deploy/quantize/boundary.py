"""Both ends of a quantised graph: the input's grid, raw pixels where that is possible, and integers out.

    image (float) -> Q -> q -> DQ -> net -> Q -> q -> DQ -> scores (float)

loses the quantisers at both ends, whose parameters are reported:

    image (uint8) -> DQ -> net -> Q -> scores (uint8)

``to_integers`` and ``to_floats`` are what an application does in their place.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.index import consumers_of, producer_of, replace_name
from mosaic_deploy.quantize.normalisation import drop_normalisation
from mosaic_deploy.specs.metadata import METADATA_KEY
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

    from mosaic_deploy.specs.contract import Contract

_TO_FIRST = (0, 3, 1, 2)
_TO_LAST = (0, 2, 3, 1)


def to_integers(values: NDArray[Any], grid: JsonObject) -> NDArray[Any]:
    """Quantise to the nearest integer of a grid; bytes pass, times 256 where the grid is finer.

    Where raw pixels are the grid, the pixel comes out, also of floats normalised with half a step off.
    """
    dtype = np.dtype(grid["dtype"])
    if values.dtype.kind in "iu":
        return (values.astype(dtype) * (grid["pixel_factor"] or 1)).astype(dtype)
    if grid["scale"] is None:
        return values.astype(dtype)
    bounds = np.iinfo(str(dtype))
    steps = values.astype(np.float64) / grid["scale"] + grid["zero_point"] - grid["pixel_shift"]
    integers: NDArray[Any] = np.clip(np.rint(steps), bounds.min, bounds.max).astype(dtype)
    return integers


def to_floats(values: NDArray[Any], grid: JsonObject) -> NDArray[Any]:
    """Dequantise to float32; what has no scale, class ids say, stays as it is."""
    if grid["scale"] is None:
        return values
    floats: NDArray[Any] = (values.astype(np.float32) - grid["zero_point"]) * np.float32(grid["scale"])
    return floats


def takes_bytes(model: onnx.ModelProto) -> bool:
    """Whether the graph's input is uint8."""
    import onnx

    return bool(model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8)


def drop_cast(model: onnx.ModelProto) -> None:
    """Turn uint8 image -> Cast -> x  into  float image -> x, to be quantised with scale 1, zero point 0.

    HTP takes a Cast from uint8 to float and gets it wrong; the quantised input is the same, exactly.
    Raises ``ModelError`` if something else than such a Cast uses the input.
    """
    import onnx

    graph = model.graph
    image = graph.input[0]
    users = consumers_of(graph, image.name)
    for cast in users:
        to = [a.i for a in cast.attribute if a.name == "to"]
        if cast.op_type != "Cast" or to != [onnx.TensorProto.FLOAT]:
            raise ModelError(f"the uint8 input '{image.name}' goes into {cast.op_type}, not a Cast to float")
        for node in graph.node:
            replace_name(node.input, cast.output[0], image.name)
        graph.node.remove(cast)
    image.type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def raw_pixels(contract: Contract) -> list[float] | None:
    """Mean and scale where one pair serves all colours, so that raw pixels can be the quantised input."""
    if contract.dtype != "float32" or len({*contract.mean}) > 1 or len({*contract.scale}) > 1:
        return None
    return [contract.mean[0], contract.scale[0]]


def input_grid(pixels: list[float] | None, grid: JsonObject) -> tuple[float, int] | None:
    """Scale and zero point with which raw pixels are the quantised input; None to calibrate instead.

    ``pixels`` is what ``raw_pixels`` gives; ``grid`` is the recipe's.
    """
    if pixels is None or grid["signed"]:
        return None
    mean, scale = pixels
    factor = 1 << (grid["bits"] - 8)
    zero_point = round(mean * factor)
    if scale <= 0 or not 0 <= zero_point < 1 << grid["bits"]:
        return None
    return 1 / (scale * factor), zero_point


def pixel_facts(
    pixels: list[float] | None, activations: JsonObject, grid: tuple[float, int] | None
) -> JsonObject:
    """``pixel_factor``, where quantised value = factor * pixel, and by how much the zero point misses."""
    if pixels is None or grid is None:
        return {"pixel_factor": None, "pixel_shift": 0.0}
    factor = 1 << (activations["bits"] - 8)
    return {"pixel_factor": factor, "pixel_shift": grid[1] - pixels[0] * factor}


def without_normalisation(
    model: onnx.ModelProto, grid: JsonObject
) -> tuple[onnx.ModelProto, list[float] | None]:
    """Give a graph of raw pixels without its first Sub and Mul, where the input's grid says the same exactly.

    Returns:
        The graph, and [mean, scale] as ``raw_pixels`` does; the same graph and None where there is no such
        arithmetic with one number for all colours, or no such grid.
    """
    import onnx

    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    found = drop_normalisation(plain)
    if found is None or input_grid([*found], grid) is None:
        return model, None
    return plain, [*found]


def cut_input(model: onnx.ModelProto) -> JsonObject:
    """Turn image -> Q -> q  into  q, under the image's name."""
    graph = model.graph
    image = graph.input[0]
    users = consumers_of(graph, image.name)
    if [node.op_type for node in users] != ["QuantizeLinear"]:
        found = ", ".join(sorted({node.op_type for node in users})) or "nothing"
        raise ModelError(f"the input '{image.name}' cannot be quantised: it goes into {found}")
    quantizer = users[0]
    for node in graph.node:
        replace_name(node.input, quantizer.output[0], image.name)
    graph.node.remove(quantizer)
    return describe(model, image, quantizer)


def cut_output(model: onnx.ModelProto) -> JsonObject:
    """Turn q -> DQ -> scores  into  q, under the scores' name; integer outputs stay as they are."""
    graph = model.graph
    scores = graph.output[0]
    dequantizer = producer_of(graph, scores.name)
    if dequantizer is None or dequantizer.op_type != "DequantizeLinear":
        return describe(model, scores, None)
    graph.node.remove(dequantizer)
    for node in graph.node:
        replace_name(node.input, dequantizer.input[0], scores.name)
        replace_name(node.output, dequantizer.input[0], scores.name)
    return describe(model, scores, dequantizer)


def describe(
    model: onnx.ModelProto, value: onnx.ValueInfoProto, quantizer: onnx.NodeProto | None
) -> JsonObject:
    """Set a graph input or output to the quantiser's integers; its parameters for the manifest."""
    import onnx

    tensor = value.type.tensor_type
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    scale = zero_point = None
    if quantizer is not None:
        scale = float(constants[quantizer.input[1]])
        point = constants[quantizer.input[2]]
        zero_point = int(point)
        tensor.elem_type = onnx.helper.np_dtype_to_tensor_dtype(point.dtype)
    return {
        "name": value.name,
        "shape": [int(d.dim_value) for d in tensor.shape.dim],
        "dtype": str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)),
        "scale": scale,
        "zero_point": zero_point,
    }


def inner_axes(request: JsonObject) -> tuple[int, ...] | None:
    """Order in which a graph of ``request["layout"]`` takes the axes of ``wanted``; None for their own."""
    wanted = request.get("wanted")
    if wanted is None or wanted == request["layout"]:
        return None
    return _TO_FIRST if wanted == "NHWC" else _TO_LAST


def outer_ends(model: onnx.ModelProto, request: JsonObject, source: JsonObject, result: JsonObject) -> None:
    """Turn both ends from ``request["layout"]`` to ``wanted``, and store the ``description``, if it has them.

    ``source`` and ``result`` are the facts of input and output; their shapes become those of the turned ends.
    """
    inwards = inner_axes(request)
    if inwards is not None:
        _turn(model, inwards)
    for facts, value in ((source, model.graph.input[0]), (result, model.graph.output[0])):
        facts["shape"] = [int(d.dim_value) for d in value.type.tensor_type.shape.dim]
    if request.get("description") is not None:
        text = json.dumps({**request["description"], "input": source, "output": result}, sort_keys=True)
        entry = model.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, text


def _turn(model: onnx.ModelProto, inwards: tuple[int, ...]) -> None:
    """Put the colours of the input and the classes of 4-d scores elsewhere, under the same names.

    Each end gets a Transpose, which ONNX Runtime's optimiser cancels where its kernels prefer that order.
    """
    from onnx import helper

    graph = model.graph
    image, scores = graph.input[0], graph.output[0]
    outwards = _TO_LAST if inwards == _TO_FIRST else _TO_FIRST
    inner = f"{image.name}/inner"
    for node in graph.node:
        replace_name(node.input, image.name, inner)
    graph.node.insert(0, helper.make_node("Transpose", [image.name], [inner], inner, perm=inwards))
    _permute(image, outwards)
    if len(scores.type.tensor_type.shape.dim) != len(outwards):
        return
    inner = f"{scores.name}/inner"
    for node in graph.node:
        replace_name(node.input, scores.name, inner)
        replace_name(node.output, scores.name, inner)
    graph.node.append(helper.make_node("Transpose", [inner], [scores.name], inner, perm=outwards))
    _permute(scores, outwards)


def _permute(value: onnx.ValueInfoProto, order: tuple[int, ...]) -> None:
    dims = value.type.tensor_type.shape.dim
    sizes = [int(dim.dim_value) for dim in dims]
    for dim, axis in zip(dims, order, strict=True):
        dim.dim_value = sizes[axis]
