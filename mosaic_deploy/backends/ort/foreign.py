"""Files in ONNX Runtime's own format that others made; in child processes."""

from __future__ import annotations

from pathlib import Path

from mosaic_deploy.backends.protocol import CompiledModel, File
from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.specs.metadata import METADATA_KEY
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_MODEL = "model.ort"
_DTYPES = {"float": "float32", "double": "float64"}


def look(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Open ``request["path"]`` without running it.

    Returns:
        ``input`` and ``output`` as a manifest has them, without the grids, which the format does not state;
        ``description``, what mosaic-deploy wrote into it, or None.

    Raises ``ModelError`` for what is no sound file of one input and one output.
    """
    import onnxruntime as ort

    from mosaic_deploy.backends.ort.ort_file import nodes

    path = Path(request["path"])
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.load_model_format", "ORT")
    try:
        nodes(path)
        session = ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except ToolError as err:
        raise ModelError(str(err)) from err
    except Exception as err:
        reason = str(err).strip().splitlines() or [type(err).__name__]
        raise ModelError(f"{path.name}: ONNX Runtime does not load it: {reason[0][:300]}") from err
    found: JsonObject = {}
    for role, ports in (("input", session.get_inputs()), ("output", session.get_outputs())):
        if len(ports) != 1:
            raise ModelError(f"{path.name}: has {len(ports)} {role}s, one is expected")
        kind = ports[0].type.removeprefix("tensor(").removesuffix(")")
        found[role] = {
            "name": ports[0].name,
            "shape": [side if isinstance(side, int) else 0 for side in ports[0].shape],
            "dtype": _DTYPES.get(kind, kind),
            "scale": None,
            "zero_point": None,
        }
    return {**found, "description": session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)}


def as_built(path: Path, facts: JsonObject, folder: Path) -> CompiledModel:
    """The file as the backend runs its own, copied into ``folder``."""
    (folder / _MODEL).write_bytes(path.read_bytes())
    known: dict[str, object] = {
        "input": {"pixel_factor": None, "pixel_shift": 0.0, **facts["input"]},
        "output": facts["output"],
        "precision": "as the file has it",
    }
    return CompiledModel(folder, (File(_MODEL, "ort", ships=True),), (), known)
