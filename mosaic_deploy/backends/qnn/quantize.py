"""Float ONNX -> the QDQ graph that the Hexagon compiler takes; runs in a child process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.backends.qnn.normalisations import fusible
from mosaic_deploy.backends.qnn.parameters import parameter_types
from mosaic_deploy.backends.qnn.refused_forms import AVERAGE_OVERSHOOTING, MAXIMUM_OF_EIGHT, NORM_OF_SQUARES
from mosaic_deploy.backends.qnn.signed_kernels import signed_kernels
from mosaic_deploy.graph.passes import apply
from mosaic_deploy.graph.passes.convolutions import BATCH_NORM_ALONE, BATCH_NORM_FOLDED, DEPTHWISE_WIDE
from mosaic_deploy.graph.passes.low_rank import REDUCE_LOW_RANK
from mosaic_deploy.graph.passes.norms import INSTANCE_NORM_SQUARE
from mosaic_deploy.graph.passes.stacked_sums import STACKED_SUM
from mosaic_deploy.graph.passes.stacking import CONCAT_LOW_RANK
from mosaic_deploy.quantize.method_trial import compared, quantize_best
from mosaic_deploy.quantize.qdq import Insertion, Style
from mosaic_deploy.quantize.shared_biases import separate_biases
from mosaic_deploy.quantize.sound_ranges import SMALLEST_RANGE, sound_ranges
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

_REWRITES = (
    BATCH_NORM_FOLDED, BATCH_NORM_ALONE, DEPTHWISE_WIDE, STACKED_SUM, CONCAT_LOW_RANK, REDUCE_LOW_RANK,
    INSTANCE_NORM_SQUARE, AVERAGE_OVERSHOOTING, MAXIMUM_OF_EIGHT, NORM_OF_SQUARES,
)  # fmt: skip
"""A quantised BatchNormalization is wrong by up to 85 % of the range for some parameters, on every
architecture. A depthwise convolution of one tap ends in QNN's MEM_ALLOC on v68 and v69, and so do
Unsqueeze before a Concat and a ReduceMax on five dimensions on all. InstanceNormalization of long rows takes
the compiler many times as long as of squares. For the last three see ``refused_forms``."""
_NORMALISES_SINCE = 17
"""The opset from which on there is LayerNormalization."""


def quantize(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``qdq.quantise_as`` says, with pairs in the shape that the QNN provider recognises."""
    return quantize_best(Style(_fuse, _insert), request, on_progress)


def rank(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``sensitivity.rank`` says, for the pairs that ``quantize`` would insert."""
    from mosaic_deploy.quantize import sensitivity

    return sensitivity.rank(Style(_fuse, _insert), request, on_progress)


def methods(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``method_trial.compared`` says, for the pairs that ``quantize`` would insert."""
    return compared(Style(_fuse, _insert), request, on_progress)


def biases(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``bias_correction.correct`` says, for the pairs that ``quantize`` would insert."""
    from mosaic_deploy.quantize import bias_correction

    return bias_correction.correct(Style(_fuse, _insert), request, on_progress)


def _fuse(plain: Path) -> Path:
    """Rewrite what HTP gets wrong or runs out of memory on, and fuse what it has as one op."""
    import onnx
    from onnxruntime.quantization.execution_providers.qnn import qnn_preprocess_model

    model = onnx.shape_inference.infer_shapes(onnx.load(plain))
    for step in _REWRITES:
        model = apply(step, model).model
    del model.metadata_props[:]  # ONNX Runtime 1.26's rewriter takes them for a dictionary, and stops
    rewritten, fused = Path("rewritten.onnx"), Path("fused.onnx")
    onnx.save_model(model, rewritten)
    normalises = _opset(model) >= _NORMALISES_SINCE and fusible(model)
    changed = qnn_preprocess_model(str(rewritten), str(fused), fuse_layernorm=normalises)
    return fused if changed else rewritten


def _opset(model: onnx.ModelProto) -> int:
    return max(int(o.version) for o in model.opset_import if o.domain in {"", "ai.onnx"})


def _insert(what: Insertion) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    separate_biases(what.model)
    weights, activations = what.recipe["weights"], what.recipe["activations"]
    config = get_qnn_qdq_config(
        what.model,
        None,
        activation_type=what.activation_type,
        weight_type=what.weight_type,
        per_channel=weights["per_channel"],
        init_overrides={**parameter_types(what.model), **what.overrides, **signed_kernels(what)},
        activation_symmetric=activations["symmetric"],
        weight_symmetric=weights["symmetric"],
    )
    quantizer = QDQQuantizer(
        what.model,
        config.per_channel,
        config.reduce_range,
        config.weight_type,
        config.activation_type,
        TensorsData(CalibrationMethod.MinMax, dict(sound_ranges(what.model, what.ranges))),
        [],
        [],
        config.op_types_to_quantize,
        {**config.extra_options, "MinimumRealRange": SMALLEST_RANGE},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()  # the quantiser appends its nodes where they come to its mind
    quantized: onnx.ModelProto = quantizer.model.model
    return quantized
