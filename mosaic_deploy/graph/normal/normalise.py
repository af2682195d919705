"""The one graph of a network: read, brought into its plain form, and from then on the only one spoken of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.normal import (
    affine,
    bodies,
    branches,
    channels,
    constants,
    focus,
    idle,
    paddings,
    resizes,
)
from mosaic_deploy.graph.normal.dequantize import dequantize
from mosaic_deploy.graph.normal.draft import Draft
from mosaic_deploy.graph.normal.opset import raised
from mosaic_deploy.graph.passes import apply
from mosaic_deploy.graph.passes.adaptive_pool import ADAPTIVE_POOL
from mosaic_deploy.graph.reader import shapes
from mosaic_deploy.graph.reader.read import AS_IT_IS, Reading, read_model

if TYPE_CHECKING:
    import onnx

_ROUNDS, _SWEEPS = 8, 16
_SPELLED_OUT = ("GatherND", "GatherElements")
"""What an exporter writes uneven adaptive pooling with."""

FAMILIES = (
    constants.fold,
    bodies.inline,
    idle.drop,
    paddings.state,
    resizes.state,
    affine.fold,
    branches.merge,
    focus.join,
    channels.reorder,
)


def read_network(path: Path, reading: Reading = AS_IT_IS) -> onnx.ModelProto:
    """Read an ONNX file as ``read_model`` does, and normalise it; raises as that does."""
    return normalise(read_model(path, reading))


def normalise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Compute what is constant, drop what is idle, fold what stands beside convolutions, raise opsets to 18.

    A quantised network becomes the float one that it states (``dequantize``), which is the network from then
    on. Nodes that stay keep their names, and so do inputs, outputs and whatever tensors are left. Outputs are
    the same but for rounding of the folded weights, and for that of the integers.

    Args:
        model: as ``read_model`` returned it; it is not changed.

    Returns:
        A model with its shapes inferred; the very one that was given where nothing is to be done. Where a
        rule makes no sound ONNX of it, the last sound one.
    """
    plain = dequantize(model)
    if plain is not model and _infers(plain):
        model = plain
    later = raised(model)
    sound = _swept_soundly(model, later)
    if sound is model and later is not None:  # not sound in the later opset
        sound = _swept_soundly(model)
    if any(node.op_type in _SPELLED_OUT for node in sound.graph.node):
        try:
            pooled = apply(ADAPTIVE_POOL, sound).model
        except ModelError:  # an odd graph
            return sound
        sound = pooled if pooled is sound else _swept_soundly(pooled)
    return sound


def _swept_soundly(model: onnx.ModelProto, begun: onnx.ModelProto | None = None) -> onnx.ModelProto:
    """All rules until they find no more, shapes inferred in between; the last that was sound.

    ``begun`` is a changed copy to start from.
    """
    sound = model
    for _ in range(_ROUNDS):
        made = _swept(sound, begun)
        if made is None or not _infers(made):  # an odd graph, on which the rules' reasoning does not hold
            break
        sound, begun = made, None
    return sound


def _infers(model: onnx.ModelProto) -> bool:
    """Infer a model's shapes; whether it is sound."""
    try:
        shapes.infer(model)
    except ModelError:
        return False
    return True


def _swept(model: onnx.ModelProto, made: onnx.ModelProto | None) -> onnx.ModelProto | None:
    """All rules until they find no more that they can see without new shapes; None where nothing changed.

    ``made`` is a copy that may be changed further.
    """
    for _ in range(_SWEEPS):
        draft = Draft(model if made is None else made)
        for family in FAMILIES:
            family(draft)
        if not draft.edited:
            break
        made = draft.carry_out(copy=made is None)
    return made
