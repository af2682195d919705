"""Float ONNX -> the QDQ graph that the Hexagon compiler takes; runs in a child process.

    image (float) -> net -> scores (float)

becomes, with the quantisers at both ends cut off and their parameters reported,

    image (uint8) -> DQ -> net of DQ/Q pairs -> Q -> scores (uint8)

Where the contract normalises all colours alike, the input's grid is chosen so that a quantised value *is*
the pixel (uint8), or 256 times the pixel (uint16).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_deploy.backends._qnn_ranges import Calibrator, Ranges, activation_ranges
from mosaic_deploy.errors import ModelError
from mosaic_deploy.worker import JsonObject, Tick

if TYPE_CHECKING:
    import onnx

_DTYPES = {(8, False): "uint8", (8, True): "int8", (16, False): "uint16", (16, True): "int16"}
"""(bits, signed) of a recipe's grid -> numpy's name."""


def quantise(request: JsonObject, tick: Tick) -> JsonObject:
    """Quantise ``request["onnx"]`` into ``request["out"]``.

    The request further holds ``calibration`` (.npy files of the network's input), ``recipe`` (a
    ``QuantRecipe`` as a dict), ``pixels`` ([mean, scale] where input = (pixel - mean) / scale, else
    None) and ``threads``.

    Returns:
        ``input`` and ``output`` (name, shape, dtype, scale, zero_point), ``nodes`` and ``version``. The
        input also has pixel_factor, where quantised value = factor * pixel (else None), and pixel_shift,
        by how many steps the zero point misses the contract's mean: 0.5 for a mean of 127.5, else 0.

    Raises:
        ModelError: the graph cannot be read, run or quantised.
    """
    import onnxruntime as ort

    recipe = request["recipe"]
    model = _prepared(Path(request["onnx"]))
    pixels = request["pixels"]
    if _takes_bytes(model):
        _drop_cast(model)
        pixels = [0.0, 1.0]
    ranges = _calibrate(model, request, tick)
    grid = _input_grid(pixels, recipe["activations"])
    tick(0.9, "quantising")
    quantised = _insert(model, ranges, recipe, grid)
    source, result = _cut_input(quantised), _cut_output(quantised)
    source |= _pixel_facts(pixels, recipe["activations"], grid)
    _name(quantised)
    Path(request["out"]).write_bytes(quantised.SerializeToString(deterministic=True))
    return {
        "input": source,
        "output": result,
        "nodes": len(quantised.graph.node),
        "version": ort.__version__,
    }


def _calibrate(model: onnx.ModelProto, request: JsonObject, tick: Tick) -> Ranges:
    calibration = request["recipe"]["calibration"]
    how = Calibrator(calibration["method"], calibration["percentile"], request["threads"])
    images = [Path(path) for path in request["calibration"]]
    try:
        return activation_ranges(model, images, how, lambda share, text: tick(0.9 * share, text))
    except ValueError as err:
        raise ModelError(f"{Path(request['onnx']).name}: {err}") from err
    except Exception as err:
        raise _from_runtime(err, request["onnx"]) from err


def _prepared(path: Path) -> onnx.ModelProto:
    """Read the graph, fold its constants, fuse what HTP has as one op, and name its nodes."""
    import onnx
    from onnxruntime.quantization.execution_providers.qnn import qnn_preprocess_model
    from onnxruntime.tools.onnx_model_utils import optimize_model

    plain, fused = Path("plain.onnx"), Path("fused.onnx")
    try:
        onnx.checker.check_model(str(path))
        optimize_model(path, plain)
    except Exception as err:
        raise _from_runtime(err, path) from err
    changed = qnn_preprocess_model(str(plain), str(fused), fuse_layernorm=_opset(onnx.load(plain)) >= 17)
    model = onnx.load(fused if changed else plain)
    if len(model.graph.input) != 1 or len(model.graph.output) != 1:
        raise ModelError(
            f"{path.name}: has {len(model.graph.input)} inputs and {len(model.graph.output)} outputs, "
            "one of each is expected"
        )
    return onnx.shape_inference.infer_shapes(model)


def _from_runtime(err: Exception, path: object) -> ModelError:
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    reason = lines[0] if lines else type(err).__name__
    return ModelError(f"{Path(str(path)).name}: cannot be read or run: {reason[:300]}")


def _opset(model: onnx.ModelProto) -> int:
    return max(int(o.version) for o in model.opset_import if o.domain in {"", "ai.onnx"})


def _takes_bytes(model: onnx.ModelProto) -> bool:
    import onnx

    return bool(model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8)


def _drop_cast(model: onnx.ModelProto) -> None:
    """Turn uint8 image -> Cast -> x  into  float image -> x, to be quantised with scale 1, zero point 0.

    HTP takes a Cast from uint8 to float and gets it wrong; the quantised input is the same, exactly.
    Raises ``ModelError`` if something else than such a Cast uses the input.
    """
    import onnx

    graph = model.graph
    image = graph.input[0]
    users = [node for node in graph.node if image.name in node.input]
    for cast in users:
        to = [a.i for a in cast.attribute if a.name == "to"]
        if cast.op_type != "Cast" or to != [onnx.TensorProto.FLOAT]:
            raise ModelError(f"the uint8 input '{image.name}' goes into {cast.op_type}, not a Cast to float")
        for node in graph.node:
            _rename(node.input, cast.output[0], image.name)
        graph.node.remove(cast)
    image.type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def _input_grid(pixels: list[float] | None, grid: JsonObject) -> tuple[float, int] | None:
    """Scale and zero point with which raw pixels are the quantised input; None to calibrate instead."""
    if pixels is None or grid["signed"]:
        return None
    mean, scale = pixels
    factor = 1 << (grid["bits"] - 8)
    zero_point = round(mean * factor)
    if scale <= 0 or not 0 <= zero_point < 1 << grid["bits"]:
        return None
    return 1 / (scale * factor), zero_point


def _pixel_facts(
    pixels: list[float] | None, activations: JsonObject, grid: tuple[float, int] | None
) -> JsonObject:
    if pixels is None or grid is None:
        return {"pixel_factor": None, "pixel_shift": 0.0}
    factor = 1 << (activations["bits"] - 8)
    return {"pixel_factor": factor, "pixel_shift": grid[1] - pixels[0] * factor}


def _insert(
    model: onnx.ModelProto, ranges: Ranges, recipe: JsonObject, grid: tuple[float, int] | None
) -> onnx.ModelProto:
    """Put Q/DQ pairs around every op, in the shape that the QNN provider recognises."""
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    weights, activations = recipe["weights"], recipe["activations"]
    types = {"uint8": "QUInt8", "int8": "QInt8", "uint16": "QUInt16", "int16": "QInt16"}
    weight_type, activation_type = (
        QuantType[types[_DTYPES[g["bits"], g["signed"]]]] for g in (weights, activations)
    )
    overrides = _override(model, activations, grid, activation_type)
    config = get_qnn_qdq_config(
        model,
        None,
        activation_type=activation_type,
        weight_type=weight_type,
        per_channel=weights["per_channel"],
        init_overrides=overrides,
        activation_symmetric=activations["symmetric"],
        weight_symmetric=weights["symmetric"],
    )
    quantizer = QDQQuantizer(
        model,
        config.per_channel,
        config.reduce_range,
        config.weight_type,
        config.activation_type,
        TensorsData(CalibrationMethod.MinMax, dict(ranges)),
        [],
        [],
        config.op_types_to_quantize,
        config.extra_options,
    )
    quantizer.quantize_model()
    quantised: onnx.ModelProto = quantizer.model.model
    return quantised


def _override(
    model: onnx.ModelProto, activations: JsonObject, grid: tuple[float, int] | None, kind: Any
) -> dict[str, Any] | None:
    """The input's parameters, as ONNX Runtime wants a tensor's own; ``kind`` is its ``QuantType``."""
    if grid is None:
        return None
    dtype = np.dtype(_DTYPES[activations["bits"], activations["signed"]])
    scale, zero_point = np.array(grid[0], np.float32), np.array(grid[1], dtype)
    return {model.graph.input[0].name: [{"quant_type": kind, "scale": scale, "zero_point": zero_point}]}


def _cut_input(model: onnx.ModelProto) -> JsonObject:
    """Turn image -> Q -> q  into  q, under the image's name."""
    graph = model.graph
    image = graph.input[0]
    users = [node for node in graph.node if image.name in node.input]
    if [node.op_type for node in users] != ["QuantizeLinear"]:
        found = ", ".join(sorted({node.op_type for node in users})) or "nothing"
        raise ModelError(f"the input '{image.name}' cannot be quantised: it goes into {found}")
    quantiser = users[0]
    for node in graph.node:
        _rename(node.input, quantiser.output[0], image.name)
    graph.node.remove(quantiser)
    return _describe(model, image, quantiser)


def _cut_output(model: onnx.ModelProto) -> JsonObject:
    """Turn q -> DQ -> scores  into  q, under the scores' name; integer outputs stay as they are."""
    graph = model.graph
    scores = graph.output[0]
    makers = [node for node in graph.node if scores.name in node.output]
    if [node.op_type for node in makers] != ["DequantizeLinear"]:
        return _describe(model, scores, None)
    dequantiser = makers[0]
    graph.node.remove(dequantiser)
    for node in graph.node:
        _rename(node.input, dequantiser.input[0], scores.name)
        _rename(node.output, dequantiser.input[0], scores.name)
    return _describe(model, scores, dequantiser)


def _rename(names: Any, old: str, new: str) -> None:
    for index, name in enumerate(names):
        if name == old:
            names[index] = new


def _describe(
    model: onnx.ModelProto, value: onnx.ValueInfoProto, quantiser: onnx.NodeProto | None
) -> JsonObject:
    """Set a graph input or output to the quantiser's integers; its parameters for the manifest."""
    import onnx

    tensor = value.type.tensor_type
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    scale = zero_point = None
    if quantiser is not None:
        scale = float(constants[quantiser.input[1]])
        point = constants[quantiser.input[2]]
        zero_point = int(point)
        tensor.elem_type = onnx.helper.np_dtype_to_tensor_dtype(point.dtype)
    return {
        "name": value.name,
        "shape": [int(d.dim_value) for d in tensor.shape.dim],
        "dtype": str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)),
        "scale": scale,
        "zero_point": zero_point,
    }


def _name(model: onnx.ModelProto) -> None:
    """Leave nothing in the file that does not describe the graph."""
    del model.graph.value_info[:]
    del model.metadata_props[:]
    model.producer_name, model.producer_version = "mosaic-deploy", ""
