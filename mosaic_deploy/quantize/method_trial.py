"""One calibration method for a network: the one whose ranges change the fewest decisions on images held out.

The error of a tensor does not tell what it does to the classes, so each method's ranges, of the other images,
go through the network as the compiler will get it, rounded between its operators. What that decides is held
against what the float network decides.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mosaic_deploy.graph.execute import Session
from mosaic_deploy.quantize.calibrate import BEST_SCORES, PLAIN
from mosaic_deploy.quantize.decisions import Decision, changed, decide, picture, threshold_of
from mosaic_deploy.quantize.fed_images import FedImages
from mosaic_deploy.quantize.qdq import Style, pairs_inserted, quantize_as
from mosaic_deploy.quantize.range_choice import METHODS, Method
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_HELD_OUT = 4
"""One image of so many is held out."""
_NOISE = 0.1
"""Share of the default's loss by which another method must be better."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What the ranges of one method gave on the images held out."""

    flips: float
    """Share of the pixels whose class is another than the float network's."""
    lost: float
    """The same, weighed by the margin of the float network's decision."""


def held_out(images: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Part images, by what they hold: ranges are made of the first part, a quarter is held out.

    Order and names of the images make no difference, nor does the order of their axes. Of a single image
    nothing is held out.
    """
    ranked = sorted(images, key=_print)
    count = max(len(ranked) // _HELD_OUT, 1) if len(ranked) > 1 else 0
    return tuple(ranked[count:]), tuple(ranked[:count])


def _print(path: Path) -> bytes:
    """A digest of an image's values, wherever each stands."""
    values = np.sort(np.load(path, allow_pickle=False), axis=None)
    return hashlib.blake2b(values.tobytes(), digest_size=16).digest()


def best(tried: Mapping[Method, Tried]) -> Method:
    """The method that loses least; the default unless another loses a tenth less."""
    leader = min(tried, key=lambda method: (tried[method].lost, tried[method].flips))
    return leader if tried[leader].lost < (1 - _NOISE) * tried[PLAIN].lost else PLAIN


def try_methods(
    style: Style, request: JsonObject, on_progress: OnProgress, *, names: Sequence[Method] = METHODS
) -> dict[Method, Tried]:
    """See what the ranges of each method change on images that none is made of.

    ``request`` is that of ``quantize_as``, with ``held_out``, the ``.npy`` files that decide.

    Raises ``ModelError`` as ``quantize_as`` does.
    """
    held = [Path(path) for path in request["held_out"]]
    float_graph = Session(Path(request["onnx"]), threads=request["threads"], optimize=True)
    base = decisions(float_graph, held, FedImages.of(request), request)
    found: dict[Method, Tried] = {}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        shared = {"kept_ranges": folder, "every_method": True, "mixed": None}
        for index, method in enumerate(names):
            made = pairs_inserted(
                style, {**_with(request, method), **shared}, on_progress if not index else _silent
            )
            rounded = Session(made.model, threads=request["threads"])
            after = decisions(rounded, held, FedImages.of(request, made), request)
            found[method] = Tried(*changed(base, after))
    return found


def compared(style: Style, request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``try_methods`` says for ``request["methods"]``; gives the best one's name as ``method``."""
    tried = try_methods(style, request, on_progress, names=request["methods"])
    return {"method": best(tried), "tried": {name: asdict(each) for name, each in tried.items()}}


def quantize_best(style: Style, request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``quantize_as`` says; where the recipe wants ``best-scores``, with the method that trials tell.

    ``ranges`` then also holds ``method`` and, of each that was tried, its ``flips`` and ``lost``.
    """
    if request["recipe"]["calibration"]["method"] != BEST_SCORES:
        return quantize_as(style, request, on_progress)
    fit, held = held_out([Path(path) for path in request["calibration"]])
    tried = {}
    if held:
        parted = {"calibration": list(map(str, fit)), "held_out": list(map(str, held))}
        tried = try_methods(style, {**request, **parted}, lambda share, text: on_progress(share / 2, text))
    method = best(tried) if tried else PLAIN
    made = quantize_as(style, _with(request, method), lambda share, text: on_progress((1 + share) / 2, text))
    told = {name: asdict(each) for name, each in tried.items()}
    return {**made, "ranges": {**made["ranges"], "method": method, "tried": told}}


def _with(request: JsonObject, method: Method) -> JsonObject:
    recipe = request["recipe"]
    return {**request, "recipe": {**recipe, "calibration": {**recipe["calibration"], "method": method}}}


def decisions(
    session: Session, images: Sequence[Path], fed: FedImages, request: JsonObject
) -> tuple[Decision, ...]:
    """What a graph that was made of the request's network says of each image."""
    port, last, threshold = session.inputs[0], request.get("layout") == "NHWC", threshold_of(request)
    fed_images = (fed.read(path, port) for path in images)
    return tuple(
        decide(
            session.run({port.name: image})[0], channels_last=last, part=picture(image), threshold=threshold
        )
        for image in fed_images
    )


def _silent(_share: float, _text: str) -> None:
    pass
