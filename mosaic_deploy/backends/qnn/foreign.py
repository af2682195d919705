"""Compiled contexts of Hexagon that others made, loaded by the graph of one node that names their binary."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from mosaic_deploy.backends.protocol import CompiledModel, File
from mosaic_deploy.errors import ModelError
from mosaic_deploy.workers.worker import JsonObject

_CONTEXT = "model_ctx.onnx"
_COMPATIBILITY = "ep_compatibility_info.QNNExecutionProvider"


def as_built(path: Path, facts: JsonObject, folder: Path) -> CompiledModel:
    """The context as the backend runs its own, copied into ``folder`` with its binary.

    Raises ``ModelError`` where the binary is not beside it, or its architecture is not stated.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    stated = {p.key: p.value for p in model.metadata_props}.get(_COMPATIBILITY, "").split(":")
    parts = [part for part in stated[4:5] if re.fullmatch(r"\d+", part)]
    arch = int(parts[0]) if parts else _arch(path)
    place = folder / f"v{arch}"
    place.mkdir()
    (place / _CONTEXT).write_bytes(path.read_bytes())
    files = [File(f"v{arch}/{_CONTEXT}", "context-onnx")]
    for attribute in model.graph.node[0].attribute:
        if attribute.name == "ep_cache_context" and not _embedded(model):
            name = attribute.s.decode(errors="replace")
            binary = path.parent / name
            if len(PurePosixPath(name).parts) != 1 or not binary.is_file():
                raise ModelError(f"{path}: its binary {name!r:.80} is not beside it")
            (place / name).write_bytes(binary.read_bytes())
            files.append(File(f"v{arch}/{name}", "context-binary", ships=True))
    known: dict[str, object] = {
        "input": {"pixel_factor": None, "pixel_shift": 0.0, **facts["input"]},
        "output": facts["output"],
        "archs": [arch],
        "qnn": stated[2] if len(stated) > 2 else "unknown",
    }
    return CompiledModel(folder, tuple(files), (), known)


def _embedded(model: object) -> bool:
    """Whether the binary is inside the graph."""
    node = model.graph.node[0]  # type: ignore[attr-defined]  # onnx is loaded by what is called, not here
    return any(a.name == "embed_mode" and a.i == 1 for a in node.attribute)


def _arch(path: Path) -> int:
    """The architecture of the folder's name, ``v75`` say."""
    found = re.fullmatch(r"v(\d+)", path.resolve().parent.name)
    if found is None:
        raise ModelError(f"{path}: does not say for which Hexagon it is: put it into a folder v68, v75 or so")
    return int(found[1])
