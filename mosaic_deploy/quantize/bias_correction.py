"""The mean error that rounding leaves in each channel, taken out of the biases; for child processes.

Rounded weights and inputs shift what a layer gives: by the same amount everywhere in a channel, and by some
that is left over. The former can be put into the bias. It is measured, layer after layer, as the mean over
images and pixels of the float network's output less the quantised one's, those before it being corrected.

Source: M. Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019,
section 4.2, and its empirical form in the appendix.

A mean over some images may be wrong for others. So what it does is tried on images held out, and on images of
another domain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.execute import Session, expose
from mosaic_deploy.quantize.bias_shifts import BIASED, shifted
from mosaic_deploy.quantize.fed_images import FedImages
from mosaic_deploy.quantize.method_trial import Tried, decisions
from mosaic_deploy.quantize.qdq import Inserted, Style, pairs_inserted
from mosaic_deploy.quantize.sensitivity import changed
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
    """Measure what to add to the biases, and see what it does.

    The request is that of ``quantize_as``, with ``held_out`` and ``elsewhere``, files of images that do not
    calibrate: of the same kind, and of another domain.

    Returns:
        ``shifts``: output of a layer -> what is added to each of its channels; ``held_out`` and
        ``elsewhere``: ``before`` and ``after``, what ``method_trial.Tried`` says without and with them; and
        ``helps``, as the function says.

    Raises ``ModelError`` as ``quantize_as`` does.
    """
    made = pairs_inserted(style, {**request, "mixed": None}, lambda s, t: on_progress(_CALIBRATED * s, t))
    layers = tuple(_layers(made, Path(request["onnx"])))

    def hear(done: float, text: str) -> None:
        on_progress(_CALIBRATED + (_MEASURED - _CALIBRATED) * done, text)

    shifts = measure(made, layers, request, hear)
    named = {layer.quantized: shifts[layer.output] for layer in layers}
    graphs = {"before": made.model, "after": shifted(made.model, named)}
    on_progress(_MEASURED, "trying corrected biases")
    told: dict[str, dict[str, Tried]] = {}
    for fold in ("held_out", "elsewhere"):
        images = [Path(path) for path in request[fold]]
        plain = Session(Path(request["onnx"]), threads=request["threads"], optimize=True)
        base = decisions(plain, images, FedImages.of(request), request)
        told[fold] = {}
        for when, graph in graphs.items():
            rounded = Session(graph, threads=request["threads"])
            after = decisions(rounded, images, FedImages.of(request, made), request)
            told[fold][when] = Tried(*changed(base, after))
    return {
        "shifts": {name: [float(value) for value in shift] for name, shift in shifts.items()},
        "helps": helps(told["held_out"], told["elsewhere"]),
        **{fold: {when: asdict(tried) for when, tried in each.items()} for fold, each in told.items()},
    }


def helps(held_out: Mapping[str, Tried], elsewhere: Mapping[str, Tried]) -> bool:
    """Whether a tenth less is lost on the other domain, and no more on images like those calibrated on."""
    own = held_out["after"].lost <= held_out["before"].lost
    return own and elsewhere["after"].lost < (1 - _NOISE) * elsewhere["before"].lost


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
