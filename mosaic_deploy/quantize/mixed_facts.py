"""What a graph with pairs of quantisers came to: activations in 8 and 16 bits, and conversions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaic_deploy.graph.index import GraphIndex
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

_WIDE = ("uint16", "int16")


def count(model: onnx.ModelProto) -> JsonObject:
    """Count ``activations``, how many of them are ``sixteen`` bits wide, ``conversions``, and ``bytes``.

    ``bytes`` is what all activations take together, each once, at a batch of one image: what would go to
    memory and back where nothing stays on the chip.
    """
    graph = GraphIndex(model)
    activations = sixteen = conversions = total = 0
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear":
            continue
        before = graph.producer(node.input[0]) or _any(model, node.input[0])
        if before is not None and before.op_type == "DequantizeLinear":
            conversions += 1
            continue
        point = graph.constant(node.input[2])
        wide = point is not None and str(point.dtype) in _WIDE
        sides = graph.shape(node.input[0].removesuffix("_QuantizeLinear_Input"))
        size = 1
        for side in sides or ():
            size *= side
        activations, sixteen, total = activations + 1, sixteen + wide, total + size * (2 if wide else 1)
    return {"activations": activations, "sixteen": sixteen, "conversions": conversions, "bytes": total}


def _any(model: onnx.ModelProto, name: str) -> onnx.NodeProto | None:
    """The maker of a tensor, of whatever domain."""
    return next((node for node in model.graph.node if name in node.output), None)
