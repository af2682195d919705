"""Pairs of quantisers around all that ONNX Runtime has an integer kernel for on a CPU; for child processes.

What is lifted is left in float: there are few kernels for integers of 16 bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.quantize import bias_correction, method_trial, sensitivity
from mosaic_deploy.quantize.qdq import Insertion, Style
from mosaic_deploy.quantize.shared_biases import separate_biases
from mosaic_deploy.quantize.sound_ranges import SMALLEST_RANGE, sound_ranges
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx


def rank(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``sensitivity.rank`` says, for these pairs."""
    return sensitivity.rank(CPU_STYLE, request, on_progress)


def methods(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``method_trial.compared`` says, for these pairs."""
    return method_trial.compared(CPU_STYLE, request, on_progress)


def biases(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``bias_correction.correct`` says, for these pairs."""
    return bias_correction.correct(CPU_STYLE, request, on_progress)


def named(plain: Path) -> Path:
    """Name the nodes that have no name, so that a refusal can."""
    import onnx

    model, named = onnx.load(plain), Path("named.onnx")
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    onnx.save(model, named)
    return named


def insert(what: Insertion) -> onnx.ModelProto:
    """Put the pairs in; changes ``what.model``."""
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    separate_biases(what.model)
    known = {*QDQRegistry, *QLinearOpsRegistry}
    options = {
        "ActivationSymmetric": what.recipe["activations"]["symmetric"],
        "WeightSymmetric": what.recipe["weights"]["symmetric"],
        "MinimumRealRange": SMALLEST_RANGE,
        # Otherwise a Split or Resize that the input reaches first would stay in float.
        "ForceQuantizeNoInputCheck": True,
        "TensorQuantOverrides": dict(what.overrides),
    }
    quantizer = QDQQuantizer(
        what.model,
        what.recipe["weights"]["per_channel"],
        False,  # noqa: FBT003  # takes no keyword  # 8 bits of weights, not 7
        what.weight_type,
        what.activation_type,
        TensorsData(CalibrationMethod.MinMax, dict(sound_ranges(what.model, what.ranges))),
        [],
        list(what.floats),
        sorted({node.op_type for node in what.model.graph.node} & known),
        options,
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized: onnx.ModelProto = quantizer.model.model
    return quantized


CPU_STYLE = Style(named, insert, folds=True, finer="float")
