"""OpenVINO's files that others made; in child processes."""

from __future__ import annotations

from pathlib import Path

from mosaic_deploy.backends.openvino.ir import ports, read, reason
from mosaic_deploy.backends.protocol import CompiledModel, File
from mosaic_deploy.errors import ModelError
from mosaic_deploy.specs.metadata import METADATA_KEY
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_NAMES = {".xml": "model.xml", ".bin": "model.bin"}


def look(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Read ``request["path"]`` and the ``.bin`` beside it without running them.

    Returns:
        ``input`` and ``output`` as a manifest has them; ``description``, what mosaic-deploy wrote into it, or
        None.

    Raises ``ModelError`` for what is no sound file of one input and one output with fixed sides.
    """
    path = Path(request["path"])
    if not path.with_suffix(".bin").is_file():
        raise ModelError(f"{path.name}: {path.stem}.bin, its weights, is not beside it")
    model = read(path)
    for role, found in (("input", model.inputs), ("output", model.outputs)):
        if len(found) != 1:
            raise ModelError(f"{path.name}: has {len(found)} {role}s, one is expected")
    try:
        facts = ports(model)
    except RuntimeError as err:
        raise ModelError(f"{path.name}: its sides are not all fixed: {reason(err)}") from err
    told = model.has_rt_info([METADATA_KEY])
    return {**facts, "description": model.get_rt_info([METADATA_KEY]).astype(str) if told else None}


def as_built(path: Path, facts: JsonObject, folder: Path) -> CompiledModel:
    """The files as the backend runs its own, copied into ``folder``."""
    for suffix, name in _NAMES.items():
        (folder / name).write_bytes(path.with_suffix(suffix).read_bytes())
    parts = tuple(
        File(name, f"openvino{suffix.replace('.', '-')}", ships=True, part_of="model")
        for suffix, name in _NAMES.items()
    )
    known: dict[str, object] = {
        "input": facts["input"],
        "output": facts["output"],
        "arithmetic": None,
        "devices": ["CPU"],
        "accelerators": False,
    }
    return CompiledModel(folder, parts, (), known)
