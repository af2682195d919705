"""ONNX -> ONNX Runtime's own format, optimised ahead of time for ARM; runs in a child process.

The conversion is ONNX Runtime's own tool with the style Fixed: all optimisations are done here and saved,
so that a runtime without optimiser or ONNX reader (a "minimal build") can run the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_deploy.backends.ort.fallback import require_some_integers
from mosaic_deploy.backends.ort.ort_file import nodes, require_portable
from mosaic_deploy.quantize.boundary import describe, outer_ends
from mosaic_deploy.quantize.ort_tools import ort_converter, tool
from mosaic_deploy.quantize.qdq import from_runtime, require_one_each
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

_CONFIG = "model.required_operators_and_types.config"
_HEADER = "# What model.ort needs, for --include_ops_by_config of the build.py in ONNX Runtime's sources\n"


def convert_float(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Convert the float graph ``request["onnx"]`` as it is, its ends turned; see ``to_ort``.

    The request also holds what ``_qdq_ends.outer_ends`` looks for.

    Returns ``input`` and ``output`` as well.
    """
    import onnx

    path = Path(request["onnx"])
    try:
        onnx.checker.check_model(str(path))
        model = onnx.load(path)
    except Exception as err:
        raise from_runtime(err, path) from err
    require_one_each(model, path)
    source = describe(model, model.graph.input[0], None) | {"pixel_factor": None, "pixel_shift": 0.0}
    result = describe(model, model.graph.output[0], None)
    outer_ends(model, request, source, result)
    Path("float").mkdir()
    plain = Path("float") / path.name
    plain.write_bytes(model.SerializeToString(deterministic=True))
    return {
        **to_ort({**request, "onnx": str(plain), "integers": False}, on_progress),
        "input": source,
        "output": result,
    }


def to_ort(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Convert ``request["onnx"]`` into ``request["out"]``, and write the list of operators to ``config``.

    Returns:
        ``nodes``, how many there are; ``outside``, the names of those that compute in float; ``npu``, what
        a table of operators says about Android's and Apple's accelerators; ``version``.

    Raises:
        ModelError: ONNX Runtime cannot read the graph.
        RefusedError: what came out runs on x86 only; or, where ``integers`` is true, nothing that
            convolves or multiplies matrices does it in integers.
    """
    import onnxruntime as ort

    converter = ort_converter(Path(request["onnx"]))
    source, made = Path(request["onnx"]), Path("ort").resolve()
    work = Path("onnx") / "model.onnx"
    work.parent.mkdir()
    work.write_bytes(source.read_bytes())
    try:
        style = converter.OptimizationStyle.Fixed
        converter.convert_onnx_models_to_ort(
            work, made, [style], target_platform="arm", enable_type_reduction=True
        )
    except Exception as err:
        if not type(err).__module__.startswith("onnxruntime"):
            raise
        raise from_runtime(err, source) from err
    found = nodes(made / "model.ort")
    require_portable(found, file="model.ort")
    if request["integers"]:
        require_some_integers(found, file="model.ort")
    os.replace(made / "model.ort", request["out"])
    lines = (made / _CONFIG).read_text(encoding="ascii").splitlines(keepends=True)
    wanted = [line for line in lines if not line.startswith("#")]  # the comments hold paths
    Path(request["config"]).write_text(_HEADER + "".join(wanted), encoding="ascii")
    outside = [node.title for node in found if node.floats]
    return {"nodes": len(found), "outside": outside, "npu": _npu(work), "version": ort.__version__}


def _npu(path: Path) -> JsonObject:
    """Nodes and connected parts of the graph that the accelerators' operator tables cover; nothing is run."""
    import onnx

    checker = tool("mobile_helpers.usability_checker")
    model: onnx.ModelProto = onnx.shape_inference.infer_shapes(onnx.load(path))
    parts: dict[str, Any] = {
        "nnapi": checker.check_nnapi_partitions(model, True),  # noqa: FBT003  # static shapes are required
        "coreml": checker.check_coreml_partitions(model, True, "coreml_supported_mlprogram_ops.md"),  # noqa: FBT003
    }
    counts: JsonObject = {
        name: {"supported": part.num_supported_nodes, "nodes": part.num_nodes, "parts": part.num_partitions}
        for name, part in parts.items()
    }
    return {**counts, "note": "static analysis of the graph by operator names; nothing was run there"}
