"""ONNX Runtime's own tools, imported without PyTorch; used in child processes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mosaic_deploy.graph.execute import WRONG_OPTIMIZERS
from mosaic_deploy.graph.held_pads import hold_pads, release_pads


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


def optimize(source: Path, made: Path) -> None:
    """Fold the constants of a float graph and fuse what is plain, as ONNX Runtime does for every target.

    Pads that it would fuse wrongly stay (``held_pads``). Raises what ONNX and ONNX Runtime raise.
    """
    import onnx

    model = onnx.load(source)
    held = hold_pads(model)
    if held:
        source = made.with_name(f"{made.stem}-held.onnx")
        onnx.save(model, source)
    tool("onnx_model_utils").optimize_model(source, made)
    if held:
        model = onnx.load(made)
        release_pads(model, held)
        onnx.save(model, made)


def ort_converter(source: Path) -> Any:
    """The tool that writes ``.ort`` files, ``convert_onnx_models_to_ort``, as it is to be used on a graph.

    Without ``WRONG_OPTIMIZERS`` where the graph has pads that must not be fused.
    """
    import onnx
    import onnxruntime as ort

    converter = tool("convert_onnx_models_to_ort")

    def session(*args: Any, disabled_optimizers: Sequence[str] | None = None, **others: Any) -> Any:
        wrong = [*(disabled_optimizers or ()), *WRONG_OPTIMIZERS]
        return ort.InferenceSession(*args, disabled_optimizers=wrong, **others)

    held = hold_pads(onnx.load(source))
    converter.ort = SimpleNamespace(**{**vars(ort), "InferenceSession": session}) if held else ort
    return converter
