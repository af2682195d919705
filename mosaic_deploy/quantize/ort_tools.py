"""ONNX Runtime's own tools, imported without PyTorch; used in child processes."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def tool(name: str) -> Any:
    """The module ``onnxruntime.tools.NAME``.

    Where PyTorch is installed, the package around it loads that too, for exporters that nothing here uses:
    half a gigabyte and seconds for every child process. For the time of the import it is not to be found.
    """
    modules: dict[str, Any] = sys.modules
    hidden = "torch" not in modules
    if hidden:
        modules["torch"] = None  # what ``find_spec`` answers with None
    try:
        return importlib.import_module(f"onnxruntime.tools.{name}")
    finally:
        if hidden:
            del modules["torch"]
