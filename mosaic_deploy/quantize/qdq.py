"""Float ONNX -> a QDQ graph with integers at both ends; runs in a child process.

    image (float) -> net -> scores (float)

becomes, with the quantisers at both ends cut off and their parameters reported,

    image (uint8) -> DQ -> net of DQ/Q pairs -> Q -> scores (uint8)

Where the contract normalises all colours alike, the input's grid is chosen so that a quantised value *is*
the pixel (uint8), or 256 times the pixel (uint16). Which nodes get their pairs, and what is fused before,
differs between compilers: ``Style``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.normal.dequantize import stated_ranges
from mosaic_deploy.quantize.boundary import (
    cut_input,
    cut_output,
    drop_cast,
    inner_axes,
    input_grid,
    outer_ends,
    pixel_facts,
    takes_bytes,
    without_normalisation,
)
from mosaic_deploy.quantize.calibrate import Calibrator
from mosaic_deploy.quantize.headroom import with_headroom
from mosaic_deploy.quantize.histogram import Floats, Ranges
from mosaic_deploy.quantize.kept_ranges import load_ranges, save_ranges
from mosaic_deploy.quantize.lead_in import free_names, grid_of, quantize_image
from mosaic_deploy.quantize.mixed import Finer, Mixed, in_float, island, without_clips
from mosaic_deploy.quantize.mixed_facts import count
from mosaic_deploy.quantize.mixed_overrides import TwoRanges, merged
from mosaic_deploy.quantize.mixed_overrides import overrides as wide_overrides
from mosaic_deploy.quantize.onnx_activations import Runner, activation_ranges, load_image, ranges_by_method
from mosaic_deploy.quantize.ort_tools import optimize
from mosaic_deploy.quantize.sentinels import bound_sentinels, without_infinities
from mosaic_deploy.quantize.weight_grids import Kept, own_grids, rounded_channels
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

_TYPES = {(8, False): "QUInt8", (8, True): "QInt8", (16, False): "QUInt16", (16, True): "QInt16"}
"""(bits, signed) of a recipe's grid -> ONNX Runtime's ``QuantType``."""
_DTYPES = {(8, False): "uint8", (8, True): "int8", (16, False): "uint16", (16, True): "int16"}
"""The same -> numpy's name."""
_LONG = 16
"""Bits of a grid that has levels to spare."""
_BYTES = [0.0, 1.0]
"""Mean and scale of pixels that are the input as they are."""


_NOTHING: Mapping[str, Any] = MappingProxyType({})
_NO_GRIDS = Kept({}, 0)


Watch = Callable[[], Iterator[tuple[str, Floats]]]
"""Yields names and values of the float network's activations, image by image."""
_WATCHED = 16
"""Calibration images, at most, that are shown so."""


@dataclass(frozen=True, slots=True)
class Insertion:
    """What there is to decide where the Q/DQ pairs go."""

    model: onnx.ModelProto
    ranges: Ranges
    recipe: JsonObject
    weight_type: Any
    activation_type: Any
    """``QuantType`` of ONNX Runtime."""
    overrides: Mapping[str, list[dict[str, Any]]] = _NOTHING
    """Parameters of single tensors, as ONNX Runtime wants them."""
    kept: Kept = _NO_GRIDS
    """The kernels that stay on the grid they came on."""
    floats: tuple[str, ...] = ()
    """Names of the nodes that are left in float."""
    watch: Watch | None = None
    """Tells what tensors hold on calibration images."""


@dataclass(frozen=True, slots=True)
class Style:
    """What differs between compilers."""

    fuse: Callable[[Path], Path]
    """Rewrite the simplified float graph, or hand it back."""
    insert: Callable[[Insertion], onnx.ModelProto]
    """Put Q/DQ pairs around the nodes."""
    folds: bool = False
    """Whether a network of raw bytes loses its normalisation to the input's grid."""
    finer: Finer = "16 bits"
    """What the activations are in that a ``Mixed`` lifts."""


def quantize_as(style: Style, request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Quantise ``request["onnx"]`` into ``request["out"]``.

    The request further holds ``calibration`` (.npy files of the network's input), ``recipe`` (a
    ``QuantRecipe`` as a dict), ``pixels`` ([mean, scale] where input = (pixel - mean) / scale, else
    None) and ``threads``. It may hold ``layout``, "NCHW" or "NHWC", and ``wanted``, the order of the
    calibration files, to which both ends are turned; ``ranges``, [low, high] of tensors in place of what the
    images say; ``description``, an object to store in the file; ``mixed``, what a ``Mixed`` gives as JSON;
    ``kept_ranges``, a folder that keeps what calibration found; and ``every_method``, whether it is to find
    and keep what each method gives.

    Returns:
        ``input`` and ``output`` (name, shape, dtype, scale, zero_point), ``nodes``, ``version``,
        ``weight_grids``: of how many ``kernels`` how many are ``kept`` on the grid they came on, how many of
        their channels are ``rounded`` nevertheless, and of how many activation ``ranges`` that the file
        states how many are (``ranges_kept``); and ``ranges``: of how many ``tensors`` how many were
        ``given``. The input also has pixel_factor, where quantised value =
        factor * pixel (else None), and pixel_shift, by how many steps the zero point misses the contract's
        mean: 0.5 for a mean of 127.5, else 0. ``precisions`` is what ``mixed_facts.count`` tells.

    Raises ``ModelError`` if the graph cannot be read, run or quantised.
    """
    import onnxruntime as ort

    made = pairs_inserted(style, request, on_progress)
    quantized = made.model
    precisions = count(quantized)
    source, result = cut_input(quantized), cut_output(quantized)
    source |= pixel_facts(made.pixels, request["recipe"]["activations"], made.grid)
    _name(quantized)
    outer_ends(quantized, request, source, result)
    Path(request["out"]).write_bytes(quantized.SerializeToString(deterministic=True))
    facts = {
        "nodes": len(quantized.graph.node),
        "version": ort.__version__,
        "weight_grids": dict(made.kept),
        "precisions": precisions,
        "ranges": dict(made.given),
    }
    return {"input": source, "output": result, **facts}


@dataclass(frozen=True, slots=True)
class Inserted:
    """A graph with its pairs of quantisers, floats at both ends, and what it was made of."""

    model: onnx.ModelProto
    plain: onnx.ModelProto
    """The float graph that the pairs were put into."""
    ranges: TwoRanges
    extents: Ranges
    """What each tensor held, its smallest and largest number, where something is or may be lifted."""
    pixels: list[float] | None
    grid: tuple[float, int] | None
    """Of the image, where it is not calibrated."""
    kept: Mapping[str, int]
    """Of how many kernels and stated ranges how many stay."""
    given: Mapping[str, int]
    """Of how many tensors how many ranges came with the request."""


def pairs_inserted(style: Style, request: JsonObject, on_progress: OnProgress) -> Inserted:
    """Prepare, calibrate and put in the pairs; ``request`` is that of ``quantize_as``.

    Raises ``ModelError`` as ``quantize_as`` does.
    """
    import onnx

    recipe = request["recipe"]
    model = prepared(Path(request["onnx"]), style.fuse)
    pixels = request["pixels"]
    if takes_bytes(model):
        drop_cast(model)
        pixels = _BYTES
    without_infinities(model)
    mixed = Mixed.from_json(request.get("mixed"))
    collected = _calibrate(model, request, on_progress)
    stated = stated_ranges(onnx.load(request["onnx"], load_external_data=False))
    taken, given = _spans(stated, collected), _given(request, collected)
    found = {**collected, **taken, **given}
    ranges = bound_sentinels(model, found)
    lifts = mixed.lifted or request.get("wide")
    extents = _widest(model, request, on_progress) if lifts else found
    wide = {**extents, **taken, **given} if lifts else found
    wide = {name: span if ranges[name] == found[name] else ranges[name] for name, span in wide.items()}
    if lifts:
        wide = with_headroom(model, wide, exact=taken)
    if recipe["activations"]["bits"] == _LONG:
        ranges = with_headroom(model, ranges, exact=taken)
    if style.folds and pixels == _BYTES:
        model, folded = without_normalisation(model, recipe["activations"])
        pixels = folded or pixels
    grid = input_grid(pixels, recipe["activations"])
    on_progress(0.9, "quantising")
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    two = TwoRanges(ranges, wide)
    insertion = replace(
        _insertion(model, two, recipe, grid, mixed, style.finer), watch=partial(_watch, plain, request)
    )
    quantized = style.insert(insertion)
    image, activations = model.graph.input[0].name, recipe["activations"]
    lowest, highest = ranges[image]
    own = grid or grid_of(float(lowest), float(highest), activations)
    quantize_image(quantized, own, _DTYPES[activations["bits"], activations["signed"]])
    grids = insertion.kept
    kept = {"kernels": grids.kernels, "kept": len(grids.overrides)}
    kept |= {"rounded": rounded_channels(plain, quantized, grids)}
    kept |= {"ranges": len(stated), "ranges_kept": len(taken)}
    counts = {"tensors": len(collected), "given": len(given)}
    return Inserted(quantized, plain, two, extents, pixels, grid, kept, counts)


def _widest(model: onnx.ModelProto, request: JsonObject, on_progress: OnProgress) -> Ranges:
    """Ranges that hold every value."""
    recipe = request["recipe"]
    plain = {**recipe, "calibration": {**recipe["calibration"], "method": "minmax"}}
    return _calibrate(model, {**request, "recipe": plain}, on_progress)


def _calibrate(model: onnx.ModelProto, request: JsonObject, on_progress: OnProgress) -> Ranges:
    how = Calibrator.of(request["recipe"], request["threads"], inner_axes(request))
    images = [Path(path) for path in request["calibration"]]
    folder = request.get("kept_ranges")
    place = Path(folder, f"{how.method}.json") if folder else None
    kept = load_ranges(place) if place is not None else None
    if kept is not None:
        return kept
    try:
        if folder and request.get("every_method"):
            every = ranges_by_method(model, images, how, lambda share, text: on_progress(0.9 * share, text))
            for method, each in every.items():
                save_ranges(Path(folder, f"{method}.json"), each)
            return _calibrate(model, {**request, "every_method": False}, on_progress)
        found = activation_ranges(model, images, how, lambda share, text: on_progress(0.9 * share, text))
    except ValueError as err:
        raise ModelError(f"{Path(request['onnx']).name}: {err}") from err
    except Exception as err:
        raise from_runtime(err, request["onnx"]) from err
    if place is not None:
        save_ranges(place, found)
    return found


def _watch(model: onnx.ModelProto, request: JsonObject) -> Iterator[tuple[str, Floats]]:
    """What every tensor of a float graph holds on some calibration images."""
    runner, axes = Runner(model, request["threads"]), inner_axes(request)
    images = sorted(request["calibration"])
    for path in images[:: -(-len(images) // _WATCHED)]:
        yield from runner.activations(load_image(Path(path), axes))


def _given(request: JsonObject, collected: Ranges) -> Ranges:
    """The ranges that the request brings for tensors of the graph.

    Raises ``ModelError`` where it brings some, and the graph has none of those tensors.
    """
    stated = request.get("ranges") or {}
    found = _spans(stated, collected)
    if stated and not found:
        raise ModelError(f"{Path(request['onnx']).name}: has none of the tensors that ranges are given for")
    return found


def _spans(stated: Mapping[str, Sequence[float]], collected: Ranges) -> Ranges:
    """Stated ranges of tensors that the graph has."""
    return {n: (np.float32(stated[n][0]), np.float32(stated[n][1])) for n in collected if n in stated}


def prepared(path: Path, fuse: Callable[[Path], Path]) -> onnx.ModelProto:
    """Read the graph, fold its constants, fuse what the compiler has as one op, and name its nodes."""
    import onnx

    plain = Path("plain.onnx")
    try:
        onnx.checker.check_model(str(path))
        optimize(path, plain)
    except Exception as err:
        raise from_runtime(err, path) from err
    model = onnx.load(fuse(plain))
    require_one_each(model, path)
    free_names(model)
    return onnx.shape_inference.infer_shapes(model)


def require_one_each(model: onnx.ModelProto, path: Path) -> None:
    """Raise ``ModelError`` unless the graph has one input and one output."""
    if len(model.graph.input) != 1 or len(model.graph.output) != 1:
        raise ModelError(
            f"{path.name}: has {len(model.graph.input)} inputs and {len(model.graph.output)} outputs, "
            "one of each is expected"
        )


def from_runtime(err: Exception, path: object) -> ModelError:
    """ONNX's or ONNX Runtime's complaint about a file, in one line."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    reason = lines[0] if lines else type(err).__name__
    return ModelError(f"{Path(str(path)).name}: cannot be read or run: {reason[:300]}")


def _insertion(
    model: onnx.ModelProto,
    two: TwoRanges,
    recipe: JsonObject,
    grid: tuple[float, int] | None,
    mixed: Mixed,
    finer: Finer,
) -> Insertion:
    """The recipe in ONNX Runtime's terms, the input's own parameters, and what is not in 8 bits."""
    from onnxruntime.quantization import QuantType

    keys = [(g["bits"], g["signed"]) for g in (recipe["weights"], recipe["activations"])]
    weight_type, activation_type = (QuantType[_TYPES[key]] for key in keys)
    kept = own_grids(model) if recipe["weights"]["bits"] == 8 else Kept({}, 0)
    overrides = dict(kept.overrides)
    if grid is not None:
        scale, zero_point = np.array(grid[0], np.float32), np.array(grid[1], _DTYPES[keys[1]])
        own = {"quant_type": activation_type, "scale": scale, "zero_point": zero_point}
        overrides[model.graph.input[0].name] = [own]
    ranges = two.narrow
    floats: tuple[str, ...] = ()
    if mixed.lifted and finer == "float":
        floats = in_float(model, mixed.lifted)
    elif mixed.lifted:
        without_clips(model)
        found = island(model, mixed.lifted)
        ranges = two.of(found)
        overrides = merged(
            wide_overrides(model, found, two, signed=recipe["activations"]["signed"]), overrides
        )
    return Insertion(model, ranges, recipe, weight_type, activation_type, overrides, kept, floats)


def _name(model: onnx.ModelProto) -> None:
    """Leave nothing in the file that does not describe the graph."""
    del model.graph.value_info[:]
    del model.metadata_props[:]
    model.producer_name, model.producer_version = "mosaic-deploy", ""
