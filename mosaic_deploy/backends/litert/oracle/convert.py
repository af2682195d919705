"""Cases on their way to LiteRT, converted and tidied as the TFLite backend does it; in a child process only.

    model -> onnx2tf -> file of TFLite -> tidied -> float.tflite

A case may have several inputs and outputs of any type and rank, which a network that is built has not:

- An input of rank 4 comes out as NHWC, as images do; with other ranks, onnx2tf is told to leave it alone.
- A float output of rank 4 ends in an ArgMax over channels while it is converted, as a build's scores do.
- Any other output may come with its axes as they were, or with the second moved behind the others.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import convert as conversion
from mosaic_deploy.backends.litert import flatbuffer, rewrites
from mosaic_deploy.backends.litert.child_calls import TOOLCHAIN
from mosaic_deploy.backends.litert.child_calls import version as version_of
from mosaic_deploy.backends.litert.simplified import simplify_here
from mosaic_deploy.backends.litert.spread_constants import SPREAD_CONSTANTS
from mosaic_deploy.backends.oracle.compare import Arrays, Comparison, Tolerance, compare_outputs, said
from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.passes import apply
from mosaic_deploy.quantize.sentinels import without_infinities
from mosaic_deploy.specs.toolchain import unavailable

if TYPE_CHECKING:
    import onnx

_TAIL = "mosaic_deploy_tail"
_PLAIN = re.compile(r"[^0-9A-Za-z]+")
"""What onnx2tf may replace in names: ``:`` by two underscores, say."""
_IMAGE = 4
"""Rank of the tensors whose axes a build moves."""


class NotMadeError(Exception):
    """The backend makes no file of the case; the text is the outcome's. Not an error to show."""


def missing() -> str:
    """Why the toolchain cannot be had here, or nothing."""
    return unavailable(TOOLCHAIN) or ""


def version() -> str:
    """LiteRT's and that of what converts: both decide."""
    packages = ("ai-edge-litert", "onnx2tf")
    return " with ".join(f"{name} {version_of(name)}" for name in packages)


def begin() -> None:
    """Import what converting needs."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import ai_edge_litert.interpreter  # noqa: F401  # here, so that no case waits for it
    import onnxsim  # noqa: F401

    simplify_here()
    gc.collect()
    gc.freeze()  # onnx2tf collects garbage twice per graph, otherwise in all that has been imported


def convert(model: bytes, scratch: Path) -> Path:
    """Write ``float.tflite`` into ``scratch``; raises ``NotMadeError`` where there can be none."""
    import onnx

    graph = onnx.load_from_string(model)
    conversion._keep_constants(graph)
    without_infinities(graph)
    graph = apply(SPREAD_CONSTANTS, onnx.shape_inference.infer_shapes(graph)).model
    tailed = onnx.ModelProto()
    tailed.CopyFrom(graph)
    names = [_ended_in_ids(tailed.graph, index) for index in range(len(tailed.graph.output))]
    made = _converted(tailed, names, scratch)
    if made is None:
        names = [output.name for output in graph.graph.output]
        made = _converted(graph, names, scratch)
    if made is None:
        raise NotMadeError("onnx2tf makes other outputs")
    rewrites.tidy(made)
    for op in made.subgraphs[0].operators:
        if (kind := flatbuffer.kind(made, op)).startswith("CUSTOM"):
            raise NotMadeError(f"TFLite has no operator for {kind.removeprefix('CUSTOM ')}")
    made.metadata, made.description = [], b""
    path = scratch / "float.tflite"
    flatbuffer.save(made, path)
    return path


def _ended_in_ids(graph: onnx.GraphProto, index: int) -> str:
    """Let an output that is an image of floats end in an ArgMax; gives the output's name."""
    from onnx import TensorProto, helper

    output = graph.output[index]
    kind = output.type.tensor_type
    sides = [dim.dim_value for dim in kind.shape.dim]
    if len(sides) != _IMAGE or kind.elem_type not in (TensorProto.FLOAT, TensorProto.FLOAT16):
        return str(output.name)
    name = f"{_TAIL}{index}"
    turned = helper.make_node("Transpose", [output.name], [f"{name}_nhwc"], perm=(0, 2, 3, 1))
    ids = helper.make_node("ArgMax", [f"{name}_nhwc"], [name], axis=3, keepdims=0)
    graph.node.extend([turned, ids])
    sides = [sides[0], *sides[2:]]
    output.CopyFrom(helper.make_tensor_value_info(name, TensorProto.INT64, sides))
    return name


def _converted(graph: onnx.ModelProto, names: Sequence[str], scratch: Path) -> Any:
    """The file as an object, its outputs in the model's order; None where it has not all of them."""
    import onnx
    import onnx2tf

    onnx.save(graph, scratch / "net.onnx")
    kept = [i.name for i in graph.graph.input if len(i.type.tensor_type.shape.dim) != _IMAGE]
    try:
        with working_in(scratch):
            onnx2tf.convert(
                input_onnx_file_path="net.onnx",
                output_folder_path="made",
                copy_onnx_input_output_names_to_tflite=True,
                non_verbose=True,
                keep_shape_absolutely_input_names=kept or None,
            )
        model = flatbuffer.load(scratch / "made" / "net_float32.tflite")
    except SystemExit as err:
        raise NotMadeError(f"onnx2tf gives up with status {err.code}") from err
    except ModelError as err:
        raise NotMadeError(said(err)) from err
    except Exception as err:  # whatever onnx2tf raises, it does not take the graph
        raise NotMadeError(f"onnx2tf: {said(err)}") from err
    titles = {flatbuffer.title(model.subgraphs[0].tensors[i]): int(i) for i in model.subgraphs[0].outputs}
    if not set(names) <= set(titles):
        return None
    model.subgraphs[0].outputs = [titles[name] for name in names]
    for tensor in model.subgraphs[0].tensors:
        tensor.shapeSignature = None
        tensor.shape = [] if tensor.shape is None else tensor.shape  # of a scalar
    return model if all(_cut(model, i) for i, name in enumerate(names) if name.startswith(_TAIL)) else None


def _cut(model: Any, index: int) -> bool:
    """Turn an output's scores -> ARG_MAX -> ids  into  scores; whether there was an ARG_MAX."""
    graph = model.subgraphs[0]
    maker = next((op for op in graph.operators if graph.outputs[index] in list(op.outputs)), None)
    if maker is None or flatbuffer.kind(model, maker) != "ARG_MAX":
        return False
    graph.outputs[index] = int(maker.inputs[0])
    graph.operators.remove(maker)
    return True


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Be in a folder that may be littered, and hear nothing."""
    before, said_here = Path.cwd(), io.StringIO()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(said_here), contextlib.redirect_stderr(said_here):
            yield
    finally:
        os.chdir(before)


def fed(path: Path, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
    """What to feed a converted file, input by input, as its shapes ask.

    Raises ``NotMadeError`` where an input has neither the model's shape nor that in NHWC.
    """
    model = flatbuffer.load(path)
    plain = {_PLAIN.sub("", name): np.asarray(values) for name, values in feeds.items()}
    given = []
    for index in model.subgraphs[0].inputs:
        tensor = flatbuffer.describe(model, index)
        name = _PLAIN.sub("", tensor["name"])
        if name not in plain:
            raise NotMadeError(f"onnx2tf makes an input '{tensor['name']}' of {', '.join(feeds)}")
        values = plain[name]
        moved = np.moveaxis(values, 1, -1) if values.ndim == _IMAGE else values
        ways = [moved, values, *([values.reshape(1)] if not values.ndim else [])]
        fits = [array for array in ways if list(array.shape) == tensor["shape"]]
        if not fits:
            raise NotMadeError(f"onnx2tf makes an input of shape {tensor['shape']} of {list(values.shape)}")
        given.append(np.ascontiguousarray(fits[0]))
    return tuple(given)


def compared(
    expected: Arrays,
    actual: Arrays,
    *,
    tolerance: Tolerance,
    feeds: Mapping[str, NDArray[Any]],
    scales: Sequence[float | None] = (),
) -> Comparison:
    """Weigh what a file gave against the model's outputs, in either layout where both are possible."""
    laid = [_alike(wanted, given) for wanted, given in zip(expected, actual, strict=True)]
    best = [
        min(
            (
                compare_outputs(
                    [wanted], [values], tolerance=tolerance, feeds=feeds, scales=scales[i : i + 1]
                )
                for values in ways
            ),
            key=lambda found: (not found.right, found.difference),
        )
        for i, (wanted, ways) in enumerate(zip(expected, laid, strict=True))
    ]
    return max(
        best,
        key=lambda found: (not found.right, found.difference),
        default=Comparison(right=True, difference=0.0),
    )


def _alike(wanted: NDArray[Any], given: NDArray[Any]) -> list[NDArray[Any]]:
    """The ways to read an output; images of floats have one, with channels last."""
    if wanted.ndim < 3:
        return [given.reshape(wanted.shape) if wanted.size == given.size == 1 else given]
    moved = np.moveaxis(given, -1, 1) if given.ndim == wanted.ndim else given
    return [way for way in (moved, given) if way.shape == wanted.shape] or [given]
