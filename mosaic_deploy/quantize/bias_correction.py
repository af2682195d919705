"""The mean error that rounding leaves in each channel, taken out of the biases; for child processes.

Rounded weights and inputs shift what a layer gives: by the same amount everywhere in a channel, and by some
that is left over. The former can be put into the bias. It is measured, layer after layer, as the mean over
images and pixels of the float network's output less the quantised one's, those before it being corrected.

Source: M. Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019,
section 4.2, and its empirical form in the appendix.

A mean over some images may be wrong for others. So what it does is tried on images held out, and on images of
another domain; and on the network as it is, and with its channels equalised (``equalisation``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.execute import Session, expose
from mosaic_deploy.graph.normal.dequantize import stated_ranges
from mosaic_deploy.quantize.bias_shifts import BIASED, shifted
from mosaic_deploy.quantize.decisions import Decision, changed
from mosaic_deploy.quantize.equalisation import equalised
from mosaic_deploy.quantize.fed_images import FedImages
from mosaic_deploy.quantize.method_trial import Tried, decisions
from mosaic_deploy.quantize.qdq import Inserted, Style, pairs_inserted
from mosaic_deploy.quantize.stepwise import stepwise
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

_IMAGES = 16
"""Calibration images that the means are of, at most; of large ones fewer."""
_HELD_BYTES = 2 << 30
_TENSORS = 3
"""As many of the largest tensors may be held at once for each image."""
_NOISE = 0.1
"""Share of the loss on the other domain by which it must fall."""
_CALIBRATED, _MEASURED = 0.4, 0.7
"""Shares of the work that are done when each part ends."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer whose bias can be corrected."""

    output: str
    """Its output in the float network."""
    quantized: str
    """The same in the graph with pairs."""


def correct(style: Style, request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Measure what to add to the biases, and see what it does: to the network as it is, and equalised.

    The request is that of ``quantize_as``, with ``held_out`` and ``elsewhere``, files of images that do not
    calibrate: of the same kind, and of another domain.

    Returns:
        ``held_out`` and ``elsewhere``: what ``method_trial.Tried`` says of the network as it is. And
        ``variants``, each with the same after correction, ``pairs``: how many were equalised before, 0 for
        the network as it is, ``shifts``: output of a layer -> what is added to each channel, ``ranges``:
        tensor -> [low, high] before correction, and ``helps``.

    Raises ``ModelError`` as ``quantize_as`` does.
    """
    networks = list(_networks(request))
    folds = {name: _Fold.of(name, request) for name in ("held_out", "elsewhere")}
    before: dict[str, Tried] = {}
    variants = []
    for index, (pairs, asked) in enumerate(networks):
        hear = _part(on_progress, index / len(networks), (index + 1) / len(networks))
        made = pairs_inserted(style, asked, _part(hear, 0.0, _CALIBRATED))
        before = before or {name: fold.tried(made, made.model, asked) for name, fold in folds.items()}
        layers = tuple(_layers(made, Path(asked["onnx"])))
        shifts = measure(made, layers, asked, _part(hear, _CALIBRATED, _MEASURED))
        graph = shifted(made.model, {layer.quantized: shifts[layer.output] for layer in layers})
        after = {name: fold.tried(made, graph, asked) for name, fold in folds.items()}
        told = {name: [float(value) for value in shift] for name, shift in shifts.items()}
        losses = {name: asdict(tried) for name, tried in after.items()}
        ranges = {name: [float(low), float(high)] for name, (low, high) in made.ranges.narrow.items()}
        known = {"pairs": pairs, "shifts": told, "ranges": ranges}
        variants.append({**known, "helps": helps(before, after), **losses})
    return {"variants": variants, **{name: asdict(tried) for name, tried in before.items()}}


def helps(before: Mapping[str, Tried], after: Mapping[str, Tried]) -> bool:
    """Whether a tenth less is lost on the other domain, and no more on images like those calibrated on."""
    own = after["held_out"].lost <= before["held_out"].lost
    return own and after["elsewhere"].lost < (1 - _NOISE) * before["elsewhere"].lost


@dataclass(frozen=True, slots=True)
class _Fold:
    """Images that decide, and what the float network decides on them."""

    images: tuple[Path, ...]
    base: tuple[Decision, ...]

    @classmethod
    def of(cls, name: str, request: JsonObject) -> _Fold:
        """Run the float network on the images that the request has under this name."""
        images = tuple(Path(path) for path in request[name])
        plain = Session(Path(request["onnx"]), threads=request["threads"], optimize=True)
        return cls(images, decisions(plain, images, FedImages.of(request), request))

    def tried(self, made: Inserted, graph: onnx.ModelProto, request: JsonObject) -> Tried:
        """What a graph that was made of these pairs changes."""
        rounded = Session(graph, threads=request["threads"])
        fed = FedImages.of(request, made)
        return Tried(*changed(self.base, decisions(rounded, self.images, fed, request)))


def _networks(request: JsonObject) -> Iterator[tuple[int, JsonObject]]:
    """The request as it is and, where it may be, for the network with its channels equalised.

    Ranges that are stated are of the channels as they are.
    """
    import onnx

    plain = {**request, "mixed": None}
    yield 0, plain
    network = onnx.load(request["onnx"])
    if request.get("ranges") or stated_ranges(network):
        return
    even, pairs = equalised(network)
    if pairs:
        place = Path("equalised.onnx").absolute()
        place.write_bytes(even.SerializeToString())
        yield pairs, {**plain, "onnx": str(place), "kept_ranges": None}


def measure(
    made: Inserted, layers: Sequence[Layer], request: JsonObject, on_progress: OnProgress
) -> dict[str, NDArray[np.float32]]:
    """Output of each layer -> (channels,) float mean less quantised mean, those before it being corrected."""
    paths = _some(request["calibration"], made.plain)
    fed = FedImages.of(request, made)
    plain = Session(expose(made.plain, [layer.output for layer in layers]), threads=request["threads"])
    port, names = plain.inputs[0], [layer.output for layer in layers]
    images = [{port.name: fed.read(path, port)} for path in paths]
    wanted: dict[str, NDArray[np.float64]] = {}
    for image in images:
        for name, values in zip(names, plain.run(image, names), strict=True):
            wanted[name] = wanted.get(name, 0.0) + _means(values) / len(images)
    outputs = {layer.quantized: layer.output for layer in layers}
    found: dict[str, NDArray[np.float32]] = {}
    for index, (cut, held) in enumerate(stepwise(made.model, outputs, images, threads=request["threads"])):
        error = wanted[outputs[cut]] - sum(_means(tensors[cut]) for tensors in held) / len(held)
        shift = error.astype(np.float32)
        for tensors in held:
            tensors[cut] = tensors[cut] + _along(shift, tensors[cut].ndim)
        found[outputs[cut]] = shift
        on_progress((index + 1) / len(layers), f"mean error of {outputs[cut]}")
    return found


def _layers(made: Inserted, source: Path) -> Iterator[Layer]:
    """What has a bias in the network itself and in the graph with pairs, in the order of its nodes."""
    import onnx

    network = onnx.load(source, load_external_data=False)
    own = {node.output[0]: node.op_type for node in network.graph.node if node.op_type in BIASED}
    plain = {node.name: node for node in made.plain.graph.node}
    for node in made.model.graph.node:
        before = plain.get(node.name)
        if before is not None and node.op_type == before.op_type == own.get(before.output[0]):
            yield Layer(before.output[0], node.output[0])


def _some(paths: Sequence[str], model: onnx.ModelProto) -> list[str]:
    """As many images, evenly spread, as memory is for."""
    largest = 1
    for value in model.graph.value_info:
        sides = [max(int(side.dim_value), 1) for side in value.type.tensor_type.shape.dim]
        largest = max(largest, 4 * int(np.prod(sides, dtype=np.int64)))
    count = min(len(paths), _IMAGES, max(2, _HELD_BYTES // (_TENSORS * largest)))
    return [paths[i] for i in np.linspace(0, len(paths) - 1, count).round().astype(int)]


def _means(values: NDArray[Any]) -> NDArray[np.float64]:
    """(channels,) mean over all but the second axis."""
    means: NDArray[np.float64] = values.mean(axis=(0, *range(2, values.ndim)), dtype=np.float64)
    return means


def _along(shift: NDArray[np.float32], rank: int) -> NDArray[np.float32]:
    return shift.reshape((1, -1, *(1,) * (rank - 2)))


def _part(on_progress: OnProgress, start: float, end: float) -> OnProgress:
    return lambda share, text: on_progress(start + (end - start) * share, text)
