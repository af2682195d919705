"""Backends: one runtime per file, found by the name that a target states.

A backend takes a float ONNX to its runtime's own format, quantises and compiles it, and runs what it made:

    convert  ONNX -> the same float network in the runtime's format   (its loss is measured first)
    build    ONNX, or what convert made -> the files that a device loads
    run      the files -> outputs, the very files that ship
    time     the files -> how long a run takes here

All of it happens in child processes (``tools``).
"""

from __future__ import annotations

import importlib

from mosaic_deploy.backends.protocol import Backend
from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs.registry import nearest

BACKENDS = {
    "echo": "mosaic_deploy.backends.echo",
    "openvino": "mosaic_deploy.backends.openvino.backend",
    "ort": "mosaic_deploy.backends.ort.backend",
    "qnn": "mosaic_deploy.backends.qnn.backend",
    "tflite": "mosaic_deploy.backends.litert.backend",
}
"""Backend name -> the module whose ``BACKEND`` it is."""


def load_backend(name: str) -> Backend:
    """The backend of that name; raises ``SpecError`` for an unknown one."""
    if name not in BACKENDS:
        raise SpecError(f"no backend '{name}'{nearest(name, BACKENDS)}; known: {', '.join(BACKENDS)}")
    backend: Backend = importlib.import_module(BACKENDS[name]).BACKEND
    return backend
