"""What an ONNX file takes and gives, as far as its graph tells: what a contract for it begins with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.ends.ends import Ends, Network, settle
from mosaic_deploy.graph.ends.output import dims
from mosaic_deploy.graph.normal.normalise import normalise
from mosaic_deploy.graph.reader.read import AS_IT_IS, Reading, read_model

_BYTE = 2
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The one image input of a file, and what its output seems to be."""

    height: int
    width: int
    layout: Literal["NCHW", "NHWC"]
    dtype: Literal["float32", "uint8"]
    output: Literal["logits", "lowres", "classmap"] | None
    """As in ``Contract``; None where the shape does not tell."""
    channels: int | None
    """Scores per pixel; None for class ids."""
    threshold: float | None
    """Where there is one score per pixel, or ids that were made of one: above this it is foreground."""
    normalises: bool
    """Whether the graph itself begins with arithmetic on the pixels."""

    @property
    def lone(self) -> bool:
        """Whether one score per pixel tells two classes apart, in the graph or behind it."""
        return self.channels == 1 or (self.channels is None and self.threshold is not None)


def describe(path: Path, reading: Reading = AS_IT_IS) -> FileFacts:
    """Read what a model takes and gives; errors as ``read_model``.

    Raises ``ModelError`` also for more images than one at a time, for other than three colours, and for
    several outputs.
    """
    model = read_model(path, reading)
    outputs = model.graph.output
    if len(outputs) != 1:
        named = ", ".join(value.name for value in outputs[:_SHOWN])
        more = ", ..." if len(outputs) > _SHOWN else ""
        raise ModelError(
            f"{path}: has {len(outputs)} outputs ({named}{more}): name the one to deploy, the scores or the "
            f"class map, with --output-name {outputs[0].name} say"
        )
    (image,) = model.graph.input
    shape = dims(image)
    if shape[0] != 1:
        raise ModelError(f"{path}: takes {shape[0]} images at once: export it for one")
    if shape[1] != 3 and shape[3] != 3:
        raise ModelError(f"{path}: input '{image.name}' {list(shape)} has no dimension of three colours")
    layout: Literal["NCHW", "NHWC"] = "NCHW" if shape[1] == 3 else "NHWC"
    height, width = shape[2:] if layout == "NCHW" else shape[1:3]
    network = settle(normalise(model))
    dtype: Literal["float32", "uint8"] = "uint8" if image.type.tensor_type.elem_type == _BYTE else "float32"
    result = network.model.graph.output[0]
    return FileFacts(
        height,
        width,
        layout,
        dtype,
        _kind(network.ends, dims(result), height, width),
        _channels(network, (height, width)),
        network.ends.back.threshold,
        network.ends.front.factor != (1.0, 1.0, 1.0) or network.ends.front.offset != (0.0, 0.0, 0.0),
    )


def _kind(
    ends: Ends, shape: tuple[int, ...], height: int, width: int
) -> Literal["logits", "lowres", "classmap"] | None:
    """Tell what an output is by its shape and by what made it."""
    if ends.back.ids:
        return "classmap"
    sides = _sides(shape, (height, width))
    if sides is None:
        return None
    return "logits" if sides[:2] == (height, width) else "lowres"


def _channels(network: Network, size: tuple[int, int]) -> int | None:
    sides = _sides(dims(network.model.graph.output[0]), size)
    return None if network.ends.back.ids or sides is None else sides[2]


def _sides(shape: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int, int] | None:
    """Height, width and channels of scores; None where they are larger than the image, or not 4-d."""
    if len(shape) != 4:
        return None
    first, last = (shape[2], shape[3], shape[1]), (shape[1], shape[2], shape[3])
    fitting = [found for found in (first, last) if 0 < found[0] <= size[0] and 0 < found[1] <= size[1]]
    whole = [found for found in fitting if found[:2] == size]
    alike = [found for found in fitting if found[0] * size[1] == found[1] * size[0]]
    return next(iter((*whole, *alike, *fitting)), None)
