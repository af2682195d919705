"""A file's graph as all that follows may rely on it, whatever exporter and decade it comes from.

initialisers listed as inputs, nodes that lead nowhere    ->    gone
float16, bfloat16, float64                                ->    float32
stated shapes that are wrong                              ->    forgotten, and inferred
opsets 7 to 12                                            ->    13
averages with ceil_mode that count padding they have not  ->    that count none
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.reader import floats, older, shapes, training
from mosaic_deploy.graph.reader.living import prune
from mosaic_deploy.graph.reader.names import graphs

if TYPE_CHECKING:
    import onnx

_IR = 4
"""The first in which an initialiser need not be an input."""


def settle(model: onnx.ModelProto) -> None:
    """Bring a sound model, its data inside, into such a form, in place, with its shapes in ``value_info``.

    Raises:
        ModelError: it is no sound ONNX, was exported in training mode, or has a node that opset 13 cannot
            say.
        ToolError: as ``shapes.infer``.
    """
    _unlist(model)
    prune(model.graph)
    training.require_inference(model, older.opset_of(model))
    floats.to_float32(model)
    _infer(model)
    if older.raise_old(model):
        shapes.infer(model)
    _uncount(model)


def _unlist(model: onnx.ModelProto) -> None:
    """Take constants out of the inputs, where old exporters list them."""
    held = {tensor.name for tensor in model.graph.initializer}
    images = model.graph.input
    for index in reversed(range(len(images))):
        if images[index].name in held:
            del images[index]
    model.ir_version = max(model.ir_version, _IR)


def _uncount(model: onnx.ModelProto) -> None:
    """Let an AveragePool with ceil_mode and without padding count none, which says the same.

    Told to count it, ONNX Runtime 1.26 divides what a window that overshoots the image adds up by all of the
    window, before opset 19; PyTorch and ONNX's own reference divide by what lies in the image.
    """
    for graph, _ in graphs(model.graph):
        for node in graph.node:
            stated = {a.name: a for a in node.attribute} if node.op_type == "AveragePool" else {}
            if "count_include_pad" not in stated or "ceil_mode" not in stated or not stated["ceil_mode"].i:
                continue
            if "auto_pad" not in stated and ("pads" not in stated or not any(stated["pads"].ints)):
                stated["count_include_pad"].i = 0


def _infer(model: onnx.ModelProto) -> None:
    """Infer shapes; where what the file states of them is in the way, without that."""
    try:
        shapes.infer(model)
    except ModelError as err:
        if not _forget(model):
            raise
        try:
            shapes.infer(model)
        except ModelError as again:  # so it is not they that are wrong
            raise err from again


def _forget(model: onnx.ModelProto) -> bool:
    """Forget stated shapes, but of operators of other domains, of which onnx infers none."""
    foreign = {
        name for node in model.graph.node if node.domain not in ("", "ai.onnx") for name in node.output
    }
    stated = False
    for graph, _ in graphs(model.graph):
        kept = [value for value in graph.value_info if value.name in foreign]
        stated |= len(kept) < len(graph.value_info)
        del graph.value_info[:]
        graph.value_info.extend(kept)
    for value in model.graph.output:
        if value.name not in foreign and value.type.tensor_type.HasField("shape"):
            value.type.tensor_type.ClearField("shape")
            stated = True
    return stated
