"""Float ONNX -> float TFLite by onnx2tf, tidied, and compared with ONNX Runtime; runs in a child process.

onnx2tf guesses which axes are which, and guesses scores and inputs differently. It is told about the input,
and it always sees a class map: an ArgMax over the last axis, which settles the output too. Where scores are
asked for, the ArgMax is cut off again:

    scores (NCHW)  becomes  scores (NCHW) -> Transpose -> ArgMax,  in TFLite  scores (NHWC) -> ARG_MAX
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_deploy.backends.litert import flatbuffer, rewrites
from mosaic_deploy.backends.litert.scalings import SCALED_ONCE
from mosaic_deploy.backends.litert.shuffles import SHUFFLE_BATCH
from mosaic_deploy.backends.litert.simplified import simplify_here
from mosaic_deploy.backends.litert.spread_constants import SPREAD_CONSTANTS
from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.execute import Session
from mosaic_deploy.graph.passes import apply
from mosaic_deploy.graph.shares import gives_shares
from mosaic_deploy.quantize.boundary import drop_cast, takes_bytes
from mosaic_deploy.quantize.normalisation import drop_normalisation
from mosaic_deploy.quantize.sentinels import without_infinities
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

_TAIL = "mosaic_deploy_tail"
_TOLERANCE = 2e-3
"""Largest difference that passes, as a share of the largest score."""
_IDS_TOLERANCE = 2e-3
"""Largest share of class ids that may differ; near ties fall either way."""
_TO_NHWC = (0, 2, 3, 1)


def convert(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Convert ``request["onnx"]`` into ``request["out"]``.

    The request further holds ``shape`` (of the input to come out, NHWC), ``layout`` (of the ONNX's input),
    ``fold`` (whether an input of bytes may come out normalised, as an integer grid then says so) and
    ``image`` (.npy in the shape to come out, as the contract prepares it, or None for noise).

    Returns:
        ``input`` and ``output`` (name, shape, dtype, scale and zero point), ``pixels`` ([mean, scale] where
        the network takes raw bytes and the file (byte - mean) / scale, else None), ``difference`` and
        ``version``.

    Raises:
        ModelError: onnx2tf does not take the graph, or what it made is another network.
    """
    source = Path(request["onnx"])
    graph = _read(source)
    pixels = _floats_in(graph, fold=request["fold"])
    output = graph.graph.output[0].name
    least = 1.0 if gives_shares(graph) else 0.0
    scores = _end_in_ids(graph)
    on_progress(0.1, "onnx2tf")
    made = _onnx2tf(graph, layout=request["layout"])
    on_progress(0.7, "tidying")
    model = flatbuffer.load(made)
    if scores:
        rewrites.cut_ids(model)
    for tensor in model.subgraphs[0].tensors:
        tensor.shapeSignature = None  # onnx2tf calls sizes unknown that it knows; ``_compare`` sees to them
    rewrites.tidy(model)
    _check(model, request, source.name)
    described = {"input": flatbuffer.describe(model, model.subgraphs[0].inputs[0])}
    model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]].name = output.encode()
    described["output"] = flatbuffer.describe(model, model.subgraphs[0].outputs[0])
    model.metadata, model.description = [], b""
    flatbuffer.save(model, Path(request["out"]))
    on_progress(0.8, "comparing")
    difference = _compare(source, Path(request["out"]), request, pixels, least=least)
    return {**described, "pixels": pixels, "difference": difference, "version": _version("onnx2tf")}


def _read(path: Path) -> onnx.ModelProto:
    import onnx

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as err:
        raise ModelError(f"{path.name}: cannot be read: {_first_line(err)}") from err
    _keep_constants(model)
    without_infinities(model)
    for step in (SHUFFLE_BATCH, SCALED_ONCE, SPREAD_CONSTANTS):
        model = apply(step, model).model
    if len(model.graph.input) != 1 or len(model.graph.output) != 1:
        raise ModelError(
            f"{path.name}: has {len(model.graph.input)} inputs and {len(model.graph.output)} outputs, "
            "one of each is expected"
        )
    return model


def _keep_constants(model: onnx.ModelProto) -> None:
    """Turn Constant nodes into initialisers: onnx2tf takes only those that hold a tensor."""
    from onnx import TensorProto, helper, numpy_helper

    for node in [n for n in model.graph.node if n.op_type == "Constant"]:
        value = helper.get_attribute_value(node.attribute[0])
        if not isinstance(value, TensorProto):
            whole = node.attribute[0].name.startswith("value_int")
            value = numpy_helper.from_array(np.array(value, np.int64 if whole else np.float32))
        value.name = node.output[0]
        model.graph.initializer.append(value)
        model.graph.node.remove(node)


def _floats_in(model: onnx.ModelProto, *, fold: bool) -> list[float] | None:
    """Give a graph of bytes a float input; mean and scale of what it then takes, None if it took floats."""
    if not takes_bytes(model):
        return None
    drop_cast(model)
    folded = drop_normalisation(model) if fold else None
    return list(folded or (0.0, 1.0))


def _end_in_ids(model: onnx.ModelProto) -> bool:
    """Make the graph end in an ArgMax over the last axis; whether it gave scores before."""
    from onnx import TensorProto, helper

    graph = model.graph
    output = graph.output[0]
    rank = len(output.type.tensor_type.shape.dim)
    if rank == 4:
        dims = [d.dim_value for d in output.type.tensor_type.shape.dim]
        last = helper.make_node("Transpose", [output.name], [f"{_TAIL}_nhwc"], perm=_TO_NHWC)
        ids = helper.make_node("ArgMax", [f"{_TAIL}_nhwc"], [_TAIL], axis=3, keepdims=0)
        graph.node.extend([last, ids])
        del graph.output[:]
        shape = [dims[0], dims[2], dims[3]]
        graph.output.append(helper.make_tensor_value_info(_TAIL, TensorProto.INT64, shape))
        return True
    for index, node in enumerate(graph.node):
        axes = [a for a in node.attribute if a.name == "axis"]
        keep = [a.i for a in node.attribute if a.name == "keepdims"] or [1]
        if node.op_type == "ArgMax" and axes and axes[0].i == 1 and keep == [0]:
            last = helper.make_node("Transpose", [node.input[0]], [f"{_TAIL}_nhwc"], perm=_TO_NHWC)
            node.input[0], axes[0].i = f"{_TAIL}_nhwc", 3
            graph.node.insert(index, last)
            break
    return False


def _onnx2tf(model: onnx.ModelProto, *, layout: str) -> Path:
    """Convert in the working folder, which onnx2tf litters; gives the float32 file."""
    import onnx

    simplify_here()
    import onnx2tf

    onnx.save(model, "net.onnx")
    kept = {"keep_nwc_or_nhwc_or_ndhwc_input_names": [model.graph.input[0].name]} if layout == "NHWC" else {}
    try:
        onnx2tf.convert(
            input_onnx_file_path="net.onnx",
            output_folder_path="made",
            copy_onnx_input_output_names_to_tflite=True,
            non_verbose=True,
            **kept,
        )
    except SystemExit as err:
        raise ModelError(f"onnx2tf does not take the graph: it gave up with status {err.code}") from err
    except Exception as err:
        raise ModelError(f"onnx2tf does not take the graph: {_first_line(err)}") from err
    return Path("made") / "net_float32.tflite"


def _check(model: Any, request: JsonObject, name: str) -> None:
    graph = model.subgraphs[0]
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ModelError(f"{name}: onnx2tf made {len(graph.inputs)} inputs and {len(graph.outputs)} outputs")
    for op in graph.operators:
        if (kind := flatbuffer.kind(model, op)).startswith("CUSTOM"):
            where = flatbuffer.title(graph.tensors[op.outputs[0]])
            raise ModelError(f"{name}: TFLite has no operator for {kind.removeprefix('CUSTOM ')} '{where}'")
    made = flatbuffer.describe(model, graph.inputs[0])
    if made["shape"] != list(request["shape"]) or made["dtype"] != "float32":
        raise ModelError(
            f"{name}: onnx2tf made an input of {made['dtype']}{made['shape']}, "
            f"float32{list(request['shape'])} is expected"
        )


def _compare(
    source: Path, made: Path, request: JsonObject, pixels: list[float] | None, *, least: float
) -> float:
    """Run both graphs on one image; the largest difference as a share, or the share of ids that differ.

    The share is of the largest score, or of ``least`` where that is more. Raises ``ModelError`` if it is too
    large: shapes alone do not tell height from width.
    """
    image = _image(request, bytes_in=pixels is not None)
    expected = _on_onnxruntime(source, image, layout=request["layout"])
    if pixels is not None:
        image = (image.astype(np.float32) - np.float32(pixels[0])) / np.float32(pixels[1])
    found = _on_litert(made, image)
    if expected.ndim == 4 and expected.dtype.kind == "f":
        expected = expected.transpose(_TO_NHWC)
    if found.shape != expected.shape:
        raise ModelError(f"onnx2tf made an output of {found.shape}, {expected.shape} is expected")
    if expected.dtype.kind != "f":
        difference, limit = float((found != expected).mean()), _IDS_TOLERANCE
    else:
        top = max(float(np.abs(expected).max()), least) or 1.0
        difference, limit = float(np.abs(found - expected).max()) / top, _TOLERANCE
    if not difference <= limit:
        raise ModelError(
            f"{source.name}: after onnx2tf it is another network: outputs differ by {difference:.3g} "
            f"of their range, {limit:g} is allowed"
        )
    return difference


def _image(request: JsonObject, *, bytes_in: bool) -> Any:
    if request["image"] is not None:
        return np.load(request["image"], allow_pickle=False)
    shape, rng = tuple(request["shape"]), np.random.default_rng(0)
    if bytes_in:
        return rng.integers(0, 256, shape).astype(np.uint8)
    return rng.uniform(-1, 1, shape).astype(np.float32)


def _on_onnxruntime(path: Path, image: Any, *, layout: str) -> Any:
    session = Session(path, optimize=True)
    feed = image if layout == "NHWC" else np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    return session.run({session.inputs[0].name: feed})[0]


def _on_litert(path: Path, image: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def _first_line(err: Exception) -> str:
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(err).__name__


def _version(package: str) -> str:
    import importlib.metadata

    return importlib.metadata.version(package)
