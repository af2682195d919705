"""What a person says of a model that leaves it open: the size of its image, and which output is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError

if TYPE_CHECKING:
    import onnx

_SHOWN = 8


def fulfil(model: onnx.ModelProto, input_shape: tuple[int, ...] | None, output: str | None) -> None:
    """Fix the image's dynamic sides and keep one output, in the model itself; a dynamic batch is one image.

    Raises ``ModelError`` where a side is fixed otherwise already, or there is no such output.
    """
    graph = model.graph
    if output is not None:
        _keep_output(graph, output)
    held = {tensor.name for tensor in graph.initializer}
    images = [value for value in graph.input if value.name not in held]
    if len(images) == 1:
        _fix(graph, images[0], input_shape)


def _keep_output(graph: onnx.GraphProto, wanted: str) -> None:
    kept = [value for value in graph.output if value.name == wanted]
    if not kept:
        known = ", ".join(value.name for value in graph.output[:_SHOWN])
        raise ModelError(f"--output-name {wanted}: there is no such output; its outputs: {known}")
    if len(graph.output) > 1:
        del graph.output[:]
        graph.output.extend(kept)


def _fix(graph: onnx.GraphProto, image: onnx.ValueInfoProto, wanted: tuple[int, ...] | None) -> None:
    dims = image.type.tensor_type.shape.dim
    sides = [dim.dim_value for dim in dims]
    if wanted is not None and len(wanted) != len(sides):
        raise ModelError(f"--input-shape has {len(wanted)} sides, input '{image.name}' has {len(sides)}")
    full = [side if side > 0 else 1 if place == 0 else 0 for place, side in enumerate(sides)]
    if wanted is not None:
        clash = [side for side, other in zip(sides, wanted, strict=True) if side > 0 and side != other]
        if clash:
            raise ModelError(
                f"--input-shape {_listed(wanted)}: input '{image.name}' is fixed to {_listed(sides)} "
                "(0 is dynamic): leave it out, or export the model in that size"
            )
        full = list(wanted)
    if full == sides:
        return
    for dim, side in zip(dims, full, strict=True):
        if side:
            dim.dim_value = side
    del graph.value_info[:]  # what they say depends on the sides
    for value in graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")


def _listed(sides: Sequence[int]) -> str:
    return ",".join(str(side) for side in sides)
