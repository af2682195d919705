"""A TFLite file of a float network as ONNX, and both run to see that they are one; in a child process."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.importing import mediapipe, operators
from mosaic_deploy.backends.litert.importing.writer import Writer, channels_first
from mosaic_deploy.backends.oracle.compare import from_tool, said
from mosaic_deploy.errors import ModelError
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

LIMIT = 1e-3
"""Of a tensor's range: what rounding in other orders of sums leaves is a hundred times less."""
_DAMAGED = (
    AttributeError, EOFError, IndexError, KeyError, OverflowError, RuntimeError, TypeError, ValueError,
    struct.error,
)  # fmt: skip
_EQUAL = 1e-6
"""Apart by no more than this are equal: a mask that is 0 nearly everywhere has no range to speak of."""
_CELLS = 8
"""Of the random images that both are run on: as many squares a side, so that neighbours are alike."""


def convert(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Read ``request["tflite"]`` and write ``request["onnx"]``, whose images are (1, C, H, W).

    Returns:
        ``operators`` (how many), ``restated`` (what MediaPipe's own operators made), ``input`` (its shape)
        and ``difference``: the largest between a tensor of LiteRT's run and of ONNX Runtime's, as a share of
        its range.

    Raises:
        ModelError: the file is damaged, quantised, holds an operator that is not read, or computes something
            else than what was written.
    """
    source, place = Path(request["tflite"]), Path(request["onnx"])
    plain = place.with_suffix(".plain.tflite")
    try:
        model = flatbuffer.load(source)
        restated = mediapipe.standardise(model)
        count = len(model.subgraphs[0].operators)
        writer = _read(model)
        written = writer.model(model.subgraphs[0].inputs, model.subgraphs[0].outputs, source.stem)
        shape = [int(d) for d in model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].shape]
        tensors = model.subgraphs[0].tensors
        flatbuffer.save(model, plain)  # numbers them anew
        numbers = {id(tensor): number for number, tensor in enumerate(model.subgraphs[0].tensors)}
        places = {old: numbers[id(tensor)] for old, tensor in enumerate(tensors) if id(tensor) in numbers}
    except _DAMAGED as err:
        raise ModelError(f"{source.name}: cut off or damaged TFLite file") from err
    except ModelError as err:
        raise ModelError(f"{source.name}: {err}") from err
    try:
        onnx.checker.check_model(written, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as err:
        raise ModelError(f"{source.name}: states what its operators do not give: {said(err)}") from err
    onnx.save(onnx.shape_inference.infer_shapes(written), place)
    on_progress(0.3, "running both")
    try:
        difference = _compare(source.name, plain, places, written, writer)
    except Exception as err:
        if not from_tool(err):
            raise
        raise ModelError(f"{source.name}: does not run: {said(err)}") from err
    return {
        "operators": count,
        "restated": restated,
        "input": shape,
        "difference": difference,
    }


def _read(model: Any) -> Writer:
    graph = model.subgraphs[0]
    if len(graph.inputs) != 1:
        raise ModelError(f"has {len(graph.inputs)} inputs, one is expected")
    image = graph.tensors[graph.inputs[0]]
    if flatbuffer.dtype(image) != "FLOAT32":
        raise ModelError(
            f"takes {flatbuffer.dtype(image).lower()}: import-tflite reads float networks; a quantised file "
            "is run as it is: see mosaic-deploy validate --help"
        )
    if len(image.shape) != 4 or int(image.shape[0]) != 1:
        raise ModelError(f"takes {[int(d) for d in image.shape]}, one image (1, H, W, C) is expected")
    if not graph.operators:
        raise ModelError("holds no operator")
    writer = Writer(model)
    for op in graph.operators:
        operators.write(writer, flatbuffer.kind(model, op), op)
    return writer


def _compare(
    name: str, plain: Path, places: Mapping[int, int], written: onnx.ModelProto, writer: Writer
) -> float:
    """Run both on random images; the largest difference of any tensor, as a share of its range.

    ``places`` are the tensors' numbers in the file ``plain``. Raises ``ModelError`` with the first tensor
    that differs. Outputs alone would prove little where a mask is 0 nearly everywhere.
    """
    import onnxruntime as ort
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    made = writer.made()
    watched = onnx.ModelProto()
    watched.CopyFrom(written)
    del watched.graph.output[:]
    watched.graph.output.extend(writer.end(tensor) for tensor in made)
    session = ort.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    interpreter = Interpreter(
        str(plain),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]
    theirs, ours = [], []
    for values in _images([int(d) for d in image["shape"]]):
        interpreter.set_tensor(image["index"], values)
        interpreter.invoke()
        theirs.append([channels_first(interpreter.get_tensor(places[t])) for t in made])
        ours.append(session.run(None, {session.get_inputs()[0].name: channels_first(values)}))
    apart = [
        _apart(wanted, found)
        for wanted, found in zip(zip(*theirs, strict=True), zip(*ours, strict=True), strict=True)
    ]
    for tensor, difference in zip(made, apart, strict=True):
        if not difference <= LIMIT:
            raise ModelError(
                f"{name}: '{writer.title(tensor)}' differs from LiteRT's run by {difference:.2%} of its "
                "range: the operator that makes it is misread: please report it with this file"
            )
    return max(apart)


def _images(shape: list[int]) -> list[NDArray[np.float32]]:
    """Squares of random colours between 0 and 1, and noise between -1 and 1."""
    random = np.random.default_rng(0)
    _, height, width, channels = shape
    cells = random.random((1, _CELLS, _CELLS, channels), np.float32)
    rows, columns = np.arange(height) * _CELLS // height, np.arange(width) * _CELLS // width
    noise = random.uniform(-1, 1, shape).astype(np.float32)
    return [np.ascontiguousarray(cells[:, rows][:, :, columns]), noise]


def _apart(wanted: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> float:
    """The largest difference of one output on all images, as a share of its range on all of them."""
    if [values.shape for values in wanted] != [np.shape(values) for values in found]:
        return float("inf")
    theirs, ours = np.stack(wanted), np.stack(found)
    if theirs.dtype.kind in "iu":
        return float(np.mean(theirs != ours))
    beyond = np.maximum(np.abs(theirs - ours) - _EQUAL, 0)
    return float(np.max(beyond) / (np.ptp(theirs) or 1.0))
