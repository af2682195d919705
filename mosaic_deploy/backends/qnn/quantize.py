"""Float ONNX -> the QDQ graph that the Hexagon compiler takes; runs in a child process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.quantize.qdq import Insertion, Style, quantize_as
from mosaic_deploy.quantize.shared_biases import separate_biases
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx


def quantize(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``qdq.quantise_as`` says, with pairs in the shape that the QNN provider recognises."""
    return quantize_as(Style(_fuse, _insert), request, on_progress)


def _fuse(plain: Path) -> Path:
    """Fuse what HTP has as one op."""
    import onnx
    from onnxruntime.quantization.execution_providers.qnn import qnn_preprocess_model

    fused = Path("fused.onnx")
    changed = qnn_preprocess_model(str(plain), str(fused), fuse_layernorm=_opset(onnx.load(plain)) >= 17)
    return fused if changed else plain


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
        init_overrides=what.overrides,
        activation_symmetric=activations["symmetric"],
        weight_symmetric=weights["symmetric"],
    )
    quantizer = QDQQuantizer(
        what.model,
        config.per_channel,
        config.reduce_range,
        config.weight_type,
        config.activation_type,
        TensorsData(CalibrationMethod.MinMax, dict(what.ranges)),
        [],
        [],
        config.op_types_to_quantize,
        config.extra_options,
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()  # the quantiser appends its nodes where they come to its mind
    quantized: onnx.ModelProto = quantizer.model.model
    return quantized
