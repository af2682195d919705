"""OpenVINO's files (IR): made from ONNX, described, written; runs in child processes.

A file is a pair: ``.xml``, the graph and its description, and ``.bin``, the weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mosaic_deploy.backends.openvino.channel_order import count_from_the_end
from mosaic_deploy.backends.openvino.counted_pools import COUNTED_POOLS
from mosaic_deploy.errors import ModelError, RefusedError
from mosaic_deploy.graph.passes import apply
from mosaic_deploy.graph.passes.products import MATMUL_CONSTANT_SECOND
from mosaic_deploy.specs.metadata import METADATA_KEY
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import openvino

_UNWANTED = ("openvino_telemetry", "torch")
_READERS = ("openvino", "onnx", "google.protobuf")
"""Packages whose errors say that a file is no network they can read."""
_UNKNOWN = "No conversion rule found for operations:"


def bring_openvino() -> ModuleType:
    """Import OpenVINO into this child process, without what must not or need not come along.

    Its telemetry reports every import to its makers unless its package is missing; and NNCF loads torch,
    half a gigabyte, only to find that the model is none of torch's. Both take a None for a missing module.
    """
    for name in _UNWANTED:
        if name not in sys.modules:
            sys.modules[name] = None  # type: ignore[assignment]  # how Python is told that there is none
    import openvino

    module: ModuleType = openvino
    return module


def convert(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Turn ``request["onnx"]`` into ``request["xml"]`` and the ``.bin`` beside it, all in float32.

    ``request["layout"]`` and ``request["wanted"]`` are the orders of its input's axes, before and after.

    Returns:
        ``input`` and ``output`` (see ``ports``), and ``version`` of OpenVINO.

    Raises:
        ModelError: the file cannot be read.
        RefusedError: OpenVINO has no operator for one of the graph's.
    """
    ov = bring_openvino()
    onnx = Path(request["onnx"])
    try:
        model = from_onnx(onnx)
    except Exception as err:
        if not type(err).__module__.startswith(_READERS):
            raise
        if _UNKNOWN in str(err):
            named = str(err).partition(_UNKNOWN)[2].strip().splitlines()[0]
            raise RefusedError(f"{onnx.name}: OpenVINO does not take {named}") from err
        raise ModelError(f"{onnx.name}: OpenVINO cannot read it: {reason(err)}") from err
    if request["layout"] != request["wanted"]:
        model = _reordered(model, request["layout"], request["wanted"])
    on_progress(0.8, "converted")
    write(model, Path(request["xml"]), description={}, half=False)
    return {**ports(model), "version": ov.__version__}


def from_onnx(path: Path) -> openvino.Model:
    """Read an ONNX file with OpenVINO's converter, channels in its own order, what it gets wrong rewritten.

    Raises whatever OpenVINO and protobuf raise.
    """
    import onnx

    ov = bring_openvino()
    graph = onnx.load(path)
    if graph.opset_import:  # else it is damaged, which the converter says better
        for step in (COUNTED_POOLS, MATMUL_CONSTANT_SECOND):
            graph = apply(step, graph).model
    count_from_the_end(graph)
    with TemporaryDirectory(dir=".") as folder:  # the converter takes ONNX from memory only beside torch
        plain = Path(folder).resolve() / path.name
        onnx.save_model(graph, plain)
        model: openvino.Model = ov.convert_model(plain)
    return model


def _reordered(model: openvino.Model, layout: str, wanted: str) -> openvino.Model:
    """Let the input's axes come in another order; plugins take the channels last anyway."""
    ov = bring_openvino()
    steps = ov.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_layout(ov.Layout(wanted))
    steps.input().model().set_layout(ov.Layout(layout))
    reordered: openvino.Model = steps.build()
    return reordered


def compress(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Write the float32 ``request["source"]`` as ``request["xml"]``, with ``request["description"]``.

    With ``request["half"]`` its weights become float16, half the size. Returns as ``convert`` does.
    """
    ov = bring_openvino()
    model = read(Path(request["source"]))
    on_progress(0.5, "writing")
    write(model, Path(request["xml"]), description=request["description"], half=bool(request["half"]))
    return {**ports(model), "version": ov.__version__}


def read(xml: Path) -> openvino.Model:
    """Read a pair of files; raises ``ModelError`` if they are damaged."""
    ov = bring_openvino()
    try:
        model: openvino.Model = ov.Core().read_model(xml)
    except RuntimeError as err:
        raise ModelError(f"{xml.name}: OpenVINO cannot read it: {reason(err)}") from err
    return model


def write(model: openvino.Model, xml: Path, *, description: JsonObject, half: bool) -> None:
    """Write ``xml`` and its ``.bin``, the same bytes for the same model.

    Args:
        model: gets names and a description.
        xml: the place; an empty description is not written.
        description: facts about the network, to which those of its input and output are added.
        half: whether float32 weights are stored as float16.
    """
    ov = bring_openvino()
    for index, node in enumerate(model.get_ordered_ops()):
        # What nobody named is called after a counter of the process, which runs on in several threads.
        if node.get_friendly_name() == node.get_name():
            node.set_friendly_name(f"{node.get_type_name()}_{index}")
    if description:
        facts = {**description, **ports(model)}
        model.set_rt_info(json.dumps(facts, sort_keys=True), [METADATA_KEY])
    ov.save_model(model, xml, compress_to_fp16=half)


def ports(model: openvino.Model) -> JsonObject:
    """``input`` and ``output`` as a manifest has them: floats or class ids, never a grid of integers."""
    facts: JsonObject = {}
    for role, port in (("input", model.input()), ("output", model.output())):
        facts[role] = {
            "name": port.get_any_name(),
            "shape": [int(side) for side in port.get_shape()],
            "dtype": port.get_element_type().to_dtype().name,
            "scale": None,
            "zero_point": None,
        }
    return facts


def reason(err: BaseException) -> str:
    """The line of an OpenVINO error that says most: the last one, after those of where it was raised."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(err).__name__


def constant(node: openvino.Node, index: int) -> Any:
    """The array behind a node's input that is a constant."""
    return node.input_value(index).get_node().data
