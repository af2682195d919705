"""Float ONNX -> the QDQ graph that ONNX Runtime fuses into integer kernels; runs in a child process."""

from __future__ import annotations

from mosaic_deploy.quantize.cpu_style import CPU_STYLE
from mosaic_deploy.quantize.method_trial import quantize_best
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject


def quantize(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``method_trial.quantize_best`` says, with pairs around all that has an integer kernel."""
    return quantize_best(CPU_STYLE, request, on_progress)
