"""The smallest part of a model that a compiler refuses, as a file to attach to a report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.errors import UsageError

if TYPE_CHECKING:
    import onnx


def keep(part: onnx.ModelProto, folder: Path, stem: str) -> str:
    """Write ``STEM-OPERATORS.onnx`` into a folder, which is made; returns its path.

    Raises ``UsageError`` where it cannot be written.
    """
    ops = list(dict.fromkeys(node.op_type for node in part.graph.node))
    words = re.sub(r"[^A-Za-z0-9]+", "-", f"{stem}-{'-'.join(ops[:4])}").strip("-")
    path = folder / f"{words[:100]}.onnx"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(part.SerializeToString())
    except OSError as err:
        raise UsageError(f"--save {folder}: cannot be written ({err.strerror})") from err
    return str(path)
