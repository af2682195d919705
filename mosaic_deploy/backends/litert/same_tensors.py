"""Tensors of an ONNX file found in a TFLite file that was made from it; runs in a child process.

The converter names its tensors as it likes, turns their axes and fuses operators. What a tensor holds it must
not change. So the ONNX is converted once more, both float networks get the same inputs, and a tensor is known
by all of its values, in whatever order of axes. The quantiser keeps the names of the converted file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.activations import Activations
from mosaic_deploy.backends.litert.convert import convert
from mosaic_deploy.backends.litert.layout import TO_NCHW
from mosaic_deploy.backends.litert.masks import fold_masks
from mosaic_deploy.backends.litert.repairs import connect_fully, name_apart, raise_constants
from mosaic_deploy.backends.stored_weights import write_weights
from mosaic_deploy.graph.execute import Session, expose
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_SAME = 1e-3
"""Share of a tensor's range by which two runtimes may differ in float32."""
_SIDES = 5
"""Axes of a tensor of which every order is tried."""
_SEED = 4


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a tensor held."""

    values: NDArray[Any]
    """For the image."""
    measures: tuple[float, ...]
    """Smallest, largest and mean value for each input: no order of axes changes them."""

    def then(self, values: NDArray[Any]) -> _Seen:
        """The same with a further input."""
        return _Seen(self.values, (*self.measures, *_measures(values)))


Values = dict[str, _Seen]


def find(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``backends.file_parts.FileParts.find`` says.

    Raises ``ModelError`` where the ONNX cannot be converted, or is not that of the file's network.
    """
    import onnx

    made = Path("converted.tflite")
    asked = {**request, "out": str(made), "fold": request["integers"]}
    converted = convert(asked, lambda share, text: on_progress(0.7 * share, text))
    on_progress(0.7, "comparing tensors")
    network = flatbuffer.load(made)
    if request["integers"]:  # as before they are quantised
        for rewrite in (connect_fully, raise_constants, fold_masks):
            rewrite(network)
    name_apart(network)
    plain = Path("plain.tflite")
    flatbuffer.save(network, plain)
    model = flatbuffer.load(Path(request["file"]))
    names = {flatbuffer.title(tensor) for tensor in _tensors(model)}
    images = _images(Path(request["image"]))
    theirs = _litert_values(plain, images, converted["pixels"], names)
    ours, image = _onnx_values(Path(request["onnx"]), images, turned=request["layout"] == "NCHW")
    graph = onnx.load(request["onnx"])
    tensors = {name: _described(model, *place) for name, place in _matches(ours, theirs).items()}
    output = graph.graph.output[0].name
    if output in ours and tensors.get(output) is None:
        tensors[output] = _output(model, output, ours[output].values.shape)
    tensors[image] = _described(model, flatbuffer.title(_tensors(model)[model.subgraphs[0].inputs[0]]), None)
    halves = any(flatbuffer.dtype(tensor) == "FLOAT16" for tensor in _tensors(model))
    write_weights(Path(request["weights"]), graph, _weights(model), {})
    return {"tensors": {n: fields for n, fields in tensors.items() if fields is not None}, "halves": halves}


def _images(path: Path) -> list[Path]:
    """The image, and noise in its type and range: what is alike on both is alike."""
    image = np.load(path, allow_pickle=False)
    rng = np.random.default_rng(_SEED)
    noise = rng.uniform(float(image.min()), float(image.max()), image.shape)
    np.save("noise.npy", noise.astype(image.dtype), allow_pickle=False)
    return [path, Path("noise.npy")]


def _litert_values(
    plain: Path, images: Sequence[Path], pixels: list[float] | None, names: Collection[str]
) -> Values:
    """What tensors of these names hold."""
    network = Activations(plain, threads=1, pixels=pixels)
    found: Values = {}
    for image in images:
        for name, values in network.of(image):
            if name in names:
                _see(found, name, values)
    return found


def _onnx_values(path: Path, images: Sequence[Path], *, turned: bool) -> tuple[Values, str]:
    """What the ONNX's float tensors hold, and the name of its image."""
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    infos = (*model.graph.value_info, *model.graph.output)
    floats = {v.name for v in infos if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    names = [name for node in model.graph.node for name in node.output if name in floats]
    session = Session(expose(model, names))
    source = session.inputs[0].name
    found: Values = {}
    for image in images:
        values = np.load(image, allow_pickle=False)
        fed = np.ascontiguousarray(values.transpose(0, 3, 1, 2)) if turned else values
        for name, made in zip(names, session.run({source: fed}, names), strict=True):
            _see(found, name, made)
    return found, source


def _see(found: Values, name: str, values: NDArray[Any]) -> None:
    seen = found.get(name)
    found[name] = _Seen(np.array(values), _measures(values)) if seen is None else seen.then(values)


def _measures(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(measure(values)) for measure in (np.min, np.max, np.mean)) if values.size else ()


def _matches(ours: Values, theirs: Values) -> dict[str, tuple[str, tuple[int, ...] | None]]:
    """Tensor of the ONNX -> the first of the file that holds the same, and the order of axes."""
    by_size: dict[int, list[str]] = {}
    for name, seen in theirs.items():
        by_size.setdefault(seen.values.size, []).append(name)
    found: dict[str, tuple[str, tuple[int, ...] | None]] = {}
    for name, seen in ours.items():
        size = float(np.ptp(seen.values)) if seen.values.size else 0.0
        if not 0 < size < np.inf:
            continue  # a constant is like any other
        for other in by_size.get(seen.values.size, []):
            order = _order(seen, theirs[other], _SAME * size)
            if order is not None:
                found[name] = (other, None if order == tuple(range(len(order))) else order)
                break
    return found


def _order(ours: _Seen, theirs: _Seen, tolerance: float) -> tuple[int, ...] | None:
    """The order of the second one's axes in which they hold the same; None where there is none."""
    rank = ours.values.ndim
    if theirs.values.ndim != rank or rank > _SIDES:
        return None
    if any(abs(a - b) > tolerance for a, b in zip(ours.measures, theirs.measures, strict=True)):
        return None
    for order in permutations(range(rank)):
        turned = theirs.values.transpose(order)
        if turned.shape == ours.values.shape and np.abs(ours.values - turned).max() <= tolerance:
            return order
    return None


def _described(model: Any, stored: str, axes: tuple[int, ...] | None) -> Mapping[str, object] | None:
    """Fields of a ``FileTensor``; None where the file has no such tensor, or none with one scale."""
    places = [place for place, t in enumerate(_tensors(model)) if flatbuffer.title(t) == stored]
    if len(places) != 1:
        return None
    facts = flatbuffer.describe(model, places[0])
    integers = facts["dtype"] != "float32"
    if integers and facts["scale"] is None:
        return None
    return {
        "stored": stored,
        "axes": axes,
        "scale": facts["scale"] if integers else None,
        "zero_point": facts["zero_point"] or 0,
        "dtype": facts["dtype"],
        "integers": integers,
    }


def _output(model: Any, name: str, shape: tuple[int, ...]) -> Mapping[str, object] | None:
    """The scores, which keep their name whatever they hold: where they are wrong, they must be found so."""
    places = [place for place, t in enumerate(_tensors(model)) if flatbuffer.title(t) == name]
    held = tuple(int(side) for side in _tensors(model)[places[0]].shape) if places else ()
    turned = tuple(held[axis] for axis in TO_NCHW) if len(held) == len(TO_NCHW) else ()
    if shape not in (held, turned):
        return None
    return _described(model, name, None if held == shape else tuple(TO_NCHW))


def _weights(model: Any) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Constants of int8 with the step of each, and of floats."""
    for place, tensor in enumerate(_tensors(model)):
        grid = tensor.quantization
        kind = flatbuffer.dtype(tensor)
        values = flatbuffer.constant(model, place) if kind in ("INT8", "FLOAT32") else None
        if values is not None and kind == "FLOAT32":
            yield values, np.zeros(1, np.float32)
            continue
        if values is None or grid is None or grid.scale is None or np.any(grid.zeroPoint):
            continue
        sides = [1] * values.ndim
        if len(grid.scale) > 1:
            sides[int(grid.quantizedDimension)] = len(grid.scale)
        yield values, np.asarray(grid.scale, np.float32).reshape(sides)


def _tensors(model: Any) -> Any:
    return model.subgraphs[0].tensors
