"""Float TFLite -> float16 weights, or integers by ai-edge-quantizer; runs in a child process.

The ranges are gathered here, on the images and by the method that the recipe states: ai-edge-quantizer's own
calibrator knows moving averages of minima and maxima only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_deploy.backends.litert import flatbuffer, floats, lifted, rewrites
from mosaic_deploy.backends.litert.activations import Activations
from mosaic_deploy.backends.litert.fitting_weights import fit_weights
from mosaic_deploy.backends.litert.fixed_grids import keep_fixed_grids
from mosaic_deploy.backends.litert.gpu.rewrites import for_accelerator
from mosaic_deploy.backends.litert.masks import bound_masks, fold_masks
from mosaic_deploy.backends.litert.repairs import connect_fully, name_apart, raise_constants
from mosaic_deploy.backends.litert.sound_ranges import sound_ranges
from mosaic_deploy.errors import ModelError, RefusedError
from mosaic_deploy.quantize.calibrate import Calibrator, collect
from mosaic_deploy.quantize.histogram import Ranges
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_HALF = float(np.finfo(np.float16).max)


def copy(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Write the float file ``request["model"]`` to ``out`` with its ``description``; see ``halves``."""
    return _finish(_float_file(request), request)


def _float_file(request: JsonObject) -> Any:
    model = flatbuffer.load(Path(request["model"]))
    if request["accelerator"] == "gpu":
        for_accelerator(model)
    return model


def halves(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Store the weights of ``request["model"]`` as float16 in ``out``; see ``integers``.

        x -> CONV(float32)  becomes  float16 -> DEQUANTIZE -> CONV

    XNNPACK and GPUs undo this once, when they load the file. Biases are halved too: with float32 ones beside
    float16 weights XNNPACK runs no convolution at all. For ``accelerator`` "gpu" the file is rewritten first.

    Raises:
        ModelError: a weight is too large for float16.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = _float_file(request)
    graph = model.subgraphs[0]
    weighted = [op for op in graph.operators if flatbuffer.kind(model, op) in _WEIGHTED]
    for number in sorted({int(i) for op in weighted for i in op.inputs if i >= 0}):
        tensor = graph.tensors[number]
        value = flatbuffer.constant(model, number) if flatbuffer.dtype(tensor) == "FLOAT32" else None
        if value is None:
            continue
        if not np.abs(value).max() <= _HALF:
            raise ModelError(f"weight '{flatbuffer.title(tensor)}' does not fit into float16: build fp32")
        half = flatbuffer.add_constant(model, f"{flatbuffer.title(tensor)}_half", value.astype(np.float16))
        tensor.buffer = 0
        op = schema.OperatorT()
        op.opcodeIndex = flatbuffer.opcode(model, "DEQUANTIZE", version=3)
        op.inputs, op.outputs = [half], [number]
        op.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
        op.builtinOptions = schema.DequantizeOptionsT()
        first = next(i for i, o in enumerate(graph.operators) if number in list(o.inputs))
        graph.operators.insert(first, op)
    return _finish(model, request)


def integers(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Quantise ``request["model"]`` into ``out``, int8 from input to output.

    The request further holds ``calibration`` (.npy as the contract prepares them), ``recipe`` (a
    ``QuantRecipe`` as a dict), ``pixels`` ([mean, scale] where the file's input is (pixel - mean) / scale,
    else None), ``bytes`` (whether the .npy hold the pixels), ``convolve_pools``, ``floats_stay`` (whether
    some may stay in float), ``lifted`` ([low, high] of the tensors that are to stay so), ``threads`` and
    ``description`` with ``key``.

    Returns:
        ``input`` and ``output`` (name, shape, dtype, scale, zero point) and ``nodes``. The input also has
        ``pixel_factor`` and ``pixel_offset``, where quantised value = factor * pixel + offset (else None),
        and ``pixel_shift``, by how many steps the zero point misses the mean: 0.5 for 127.5, else 0.
        ``weight_grids`` says of how many ``kernels`` how many are ``kept`` on the grid they came on, and
        ``left_in_float`` how many operators stay in float because of ``lifted``.

    Raises:
        ModelError: a tensor holds NaN or infinity.
        RefusedError: something stays in float, and must not.
    """
    model = flatbuffer.load(Path(request["model"]))
    if request["convolve_pools"]:
        rewrites.pools_as_convolutions(model)
    connect_fully(model)
    raise_constants(model)
    fold_masks(model)
    name_apart(model)
    plain = Path("plain.tflite")
    flatbuffer.save(model, plain)
    found = bound_masks(model, _ranges(plain, request, on_progress))
    flatbuffer.save(model, plain)
    facts = _pixel_grid(request, found, flatbuffer.describe(model, model.subgraphs[0].inputs[0])["name"])
    on_progress(0.9, "quantising")
    if request["floats_stay"]:
        asked = _lifted(model, plain, request)
        made, kept = mixed(plain, found, request["recipe"], asked)
    else:
        asked = frozenset()
        made, kept = _integers(plain, found, request["recipe"])
    return _finish(made, request, facts) | {"weight_grids": kept, "left_in_float": len(asked)}


def _integers(plain: Path, ranges: Ranges, recipe: JsonObject) -> tuple[Any, dict[str, int]]:
    path, kept = _quantized(plain, ranges, recipe)
    made = flatbuffer.load(path)
    rewrites.integer_ids(made)
    _refuse_floats(made)
    return made, kept


def mixed(
    plain: Path, ranges: Ranges, recipe: JsonObject, asked: frozenset[str] = frozenset()
) -> tuple[Any, dict[str, int]]:
    """Quantise all of a file, see what XNNPACK leaves then, and quantise again with some of that in float.

    ``asked`` are outputs of operators that stay in float anyway.

    Returns:
        The file, and what ``fit_weights`` says of its kernels.
    """
    path, _ = _quantized(plain, ranges, recipe, floats=floats.hopeless(plain) | asked)
    path, kept = _quantized(plain, ranges, recipe, floats=floats.staying(plain, path) | asked)
    made = flatbuffer.load(path)
    rewrites.integer_ids(made)
    return made, kept


def _ranges(path: Path, request: JsonObject, on_progress: OnProgress) -> Ranges:
    how = Calibrator.of(request["recipe"], request["threads"])
    images = [Path(image) for image in request["calibration"]]
    runner = Activations(path, threads=how.threads, pixels=request["pixels"] if request["bytes"] else None)
    try:
        return collect(runner.of, images, how, lambda share, text: on_progress(0.9 * share, text))
    except ValueError as err:
        raise ModelError(f"{Path(request['model']).name}: {err}") from err


def _lifted(model: Any, plain: Path, request: JsonObject) -> frozenset[str]:
    """Outputs of the operators that stay in float as ``lifted`` asks.

    Raises ``ModelError`` where it asks for some, and the file has none of them.
    """
    if not request["lifted"]:
        return frozenset()
    recipe = request["recipe"]
    widest = {**recipe, "calibration": {**recipe["calibration"], "method": "minmax"}}
    every = _ranges(plain, {**request, "recipe": widest}, lambda _share, _note: None)
    found = lifted.operators(model, every, request["lifted"])
    if not found:
        raise ModelError(
            f"{Path(request['model']).name}: holds none of the {len(request['lifted'])} tensors that are to "
            "stay in float: their ranges are of another network or other calibration images"
        )
    return found


def _pixel_grid(request: JsonObject, ranges: Ranges, image: str) -> JsonObject:
    """Give the input the range whose grid is the pixels: int8 q = pixel - 128 for a mean of 128."""
    mean, scale = request["pixels"] or (0.0, 0.0)
    zero = round(mean)
    if scale <= 0 or not 0 <= zero <= 255:
        return {"pixel_factor": None, "pixel_offset": None, "pixel_shift": 0.0}
    ranges[image] = (np.float32((0 - zero) / scale), np.float32((255 - zero) / scale))
    return {"pixel_factor": 1, "pixel_offset": -128, "pixel_shift": zero - mean}


def _quantized(
    path: Path, ranges: Ranges, recipe: JsonObject, *, floats: Collection[str] = ()
) -> tuple[Path, dict[str, int]]:
    """Let ai-edge-quantizer do it, but for what makes the tensors ``floats``, and mend its file."""
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

    per_channel = recipe["weights"]["per_channel"]
    granularity = qtyping.QuantGranularity
    work = quantizer.Quantizer(str(path))
    work.add_static_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        activation_num_bits=recipe["activations"]["bits"],
        weight_num_bits=recipe["weights"]["bits"],
        weight_granularity=granularity.CHANNELWISE if per_channel else granularity.TENSORWISE,
    )
    if floats:
        names = "|".join(re.escape(name) for name in sorted(floats))
        work.update_quantization_recipe(
            regex=f"(?:^|;)(?:{names});",
            operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
            algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE,
        )
    model = flatbuffer.load(path)
    ranks = {flatbuffer.title(t): len(t.shape) for t in model.subgraphs[0].tensors}
    found = {
        name: {"min": np.full((1,) * ranks[name], low), "max": np.full((1,) * ranks[name], high)}
        for name, (low, high) in sound_ranges(model, ranges).items()
    }
    written = Path("quantised.tflite")
    written.write_bytes(bytes(work.quantize(found).quantized_model))
    made = flatbuffer.load(written)
    keep_fixed_grids(made)
    kept = fit_weights(made, model)
    flatbuffer.save(made, written)
    return written, kept


def _refuse_floats(model: Any) -> None:
    """Raise ``RefusedError`` if any tensor is still of floats, naming what makes or takes it."""
    left = set(flatbuffer.floats(model))
    if not left:
        return
    graph = model.subgraphs[0]
    bridges = ("QUANTIZE", "DEQUANTIZE")
    for op in graph.operators:
        names = [flatbuffer.title(graph.tensors[i]) for i in (*op.inputs, *op.outputs) if i >= 0]
        if flatbuffer.kind(model, op) not in bridges and left & {*names}:
            raise RefusedError(
                f"ai-edge-quantizer has no integers for {flatbuffer.kind(model, op)} '{names[-1]}', "
                "and a float operator in an integer network is not taken: build fp16, or replace the operator"
            )
    raise RefusedError(f"the quantised file still holds the float tensor '{min(left)}'")


def _finish(model: Any, request: JsonObject, pixel_facts: JsonObject | None = None) -> JsonObject:
    """Describe the file inside itself and write it; what the functions above return."""
    graph = model.subgraphs[0]
    source = {**flatbuffer.describe(model, graph.inputs[0]), **(pixel_facts or {})}
    result = flatbuffer.describe(model, graph.outputs[0])
    text = json.dumps({**request["description"], "input": source, "output": result}, sort_keys=True)
    flatbuffer.embed(model, request["key"], text)
    flatbuffer.save(model, Path(request["out"]))
    kinds = [flatbuffer.kind(model, op) for op in graph.operators]
    return {"input": source, "output": result, "nodes": len(kinds)}
