"""Float IR -> int8 IR by NNCF's post-training quantisation; runs in a child process.

    image -> Conv -> Relu     becomes     image -> FQ -> Conv (int8 weights) -> Relu -> FQ

where FQ (FakeQuantize) rounds to 256 levels between two floats. Which integers the levels become, signed
or unsigned, OpenVINO decides when it compiles the file for a device. Biases are corrected for the mean
error of the rounding (fast bias correction), as NNCF does by default. The first convolution's weights are
rounded anew (see ``pair_sums``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from mosaic_deploy.backends.openvino.ir import bring_openvino, constant, ports, read, write
from mosaic_deploy.backends.openvino.pair_sums import refine
from mosaic_deploy.backends.openvino.short_attention import products
from mosaic_deploy.errors import DataError, ModelError
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import openvino

_READS = 2
"""How often NNCF asks for each image: for the ranges, and to correct the biases."""


def quantize(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Quantise ``request["source"]`` (.xml) into ``request["xml"]`` and the ``.bin`` beside it.

    The request further holds ``calibration`` (.npy files of the network's input), ``recipe`` (a
    ``QuantRecipe`` as a dict), ``pixels`` ([mean, scale] where input = (pixel - mean) / scale in all
    colours, else None), ``floats`` (names of the ONNX's tensors that stay in float, with what reads them) and
    ``description``.

    Returns:
        ``input`` and ``output`` (see ``ir.ports``), ``version`` of NNCF, ``pixel_grid``: whether the first
        quantiser's levels are the pixels 0..255 exactly, and ``left_in_float``: of how many operators it was
        asked that they stay in float.

    Raises:
        DataError: a calibration image holds NaN or infinity.
        ModelError: the network makes such values.
    """
    bring_openvino()
    import nncf

    model = read(Path(request["source"]))
    images = [Path(path) for path in request["calibration"]]
    left = _readers(model, set(request["floats"]))
    quantized = nncf.quantize(
        model,
        nncf.Dataset(images, _Images(len(images), on_progress).load),
        subset_size=len(images),
        fast_bias_correction=True,
        ignored_scope=nncf.IgnoredScope(names=[*left, *products(model)], validate=False),
        advanced_parameters=_parameters(request["recipe"]),
    )
    first = [node for node in _fake_quantizers(quantized) if _takes_input(node)]
    exact = _fit_pixels(first, request["pixels"])
    refine(first, model, images)
    _require_finite(quantized)
    on_progress(0.95, "writing")
    write(quantized, Path(request["xml"]), description=request["description"], half=False)
    return {**ports(quantized), "version": nncf.__version__, "pixel_grid": exact, "left_in_float": len(left)}


def _readers(model: openvino.Model, tensors: set[str]) -> list[str]:
    """Names of the operators that read one of these tensors of the ONNX."""
    return [
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if any(tensors & set(node.input_value(i).get_names()) for i in range(node.get_input_size()))
    ]


@final
class _Images:
    """Reads calibration images, one at a time, and tells how far that is."""

    def __init__(self, images: int, on_progress: OnProgress) -> None:
        self._reads = 0
        self._expected = _READS * images
        self._on_progress = on_progress

    def load(self, path: Path) -> Any:
        """One image; raises ``DataError`` for one that is not finite."""
        image = np.load(path, allow_pickle=False)
        if image.dtype.kind == "f" and not np.isfinite(image).all():
            raise DataError(f"calibration image {path.name} holds NaN or infinity")
        self._reads += 1
        self._on_progress(0.9 * min(self._reads / self._expected, 1.0), "calibrating")
        return image


def _parameters(recipe: JsonObject) -> Any:
    """The recipe's grids and its calibration, as NNCF states them."""
    from nncf.common.quantization.structs import QuantizationScheme
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, QuantizationParameters

    grids = {
        role: QuantizationParameters(
            num_bits=recipe[role]["bits"],
            mode=QuantizationScheme.SYMMETRIC if recipe[role]["symmetric"] else QuantizationScheme.ASYMMETRIC,
            per_channel=recipe[role]["per_channel"],
        )
        for role in ("weights", "activations")
    }
    return AdvancedQuantizationParameters(
        weights_quantization_params=grids["weights"],
        activations_quantization_params=grids["activations"],
        activations_range_estimator_params=_estimator(recipe["calibration"]),
    )


def _estimator(calibration: JsonObject) -> Any:
    """How an activation's range follows from the images.

    ``minmax``: the smallest and largest value of all images. ``percentile``: the mean over the images of
    the values that leave half of the rest below, and above.
    """
    from nncf.quantization.range_estimator import (
        AggregatorType,
        RangeEstimatorParameters,
        RangeEstimatorParametersSet,
        StatisticsCollectorParameters,
        StatisticsType,
    )

    if calibration["method"] == "minmax":
        return RangeEstimatorParametersSet.MINMAX
    cut = StatisticsCollectorParameters(
        statistics_type=StatisticsType.QUANTILE,
        aggregator_type=AggregatorType.MEAN,
        quantile_outlier_prob=(1 - calibration["percentile"] / 100) / 2,
    )
    return RangeEstimatorParameters(cut, cut)


def _fit_pixels(quantizers: Sequence[openvino.Node], pixels: list[float] | None) -> bool:
    """Give the input's quantisers the pixels' own 256 levels, so that it rounds nothing; whether it has them.

    The calibration images may lack black or white, and then its levels fall between the pixels.
    """
    if pixels is None:
        return False
    mean, scale = pixels
    ends = sorted((level - mean) / scale for level in (0, 255))
    for node in quantizers:
        for index, end in zip((1, 2, 3, 4), ends * 2, strict=True):
            shape = node.input_value(index).get_shape()
            node.input(index).replace_source_output(_constant(np.full(shape, end, np.float32)))
    return bool(quantizers)


def _takes_input(node: openvino.Node) -> bool:
    source = node.input_value(0).get_node()
    while source.get_type_name() == "Transpose":
        source = source.input_value(0).get_node()
    return bool(source.get_type_name() == "Parameter")


def _constant(values: Any) -> Any:
    opset = bring_openvino().opset13
    return opset.constant(values).output(0)


def _fake_quantizers(model: openvino.Model) -> Iterator[openvino.Node]:
    for node in model.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize":
            yield node


def _require_finite(model: openvino.Model) -> None:
    for node in _fake_quantizers(model):
        if not all(np.isfinite(constant(node, index)).all() for index in (1, 2, 3, 4)):
            name = node.input_value(0).get_node().get_friendly_name()
            raise ModelError(f"tensor '{name}' becomes NaN or infinite on the calibration images")
