"""Values of tensors inside a model, computed by ONNX Runtime in a process of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.execute import Session, expose
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

Arrays = Mapping[str, NDArray[Any]]

_TIMEOUT_S = 300.0
_MEMORY_BYTES = 8 * GIB


def activations(model: onnx.ModelProto, feeds: Arrays, names: Collection[str], folder: Path) -> Arrays:
    """Run a model and return some of its tensors.

    Args:
        model: as ``read_model`` returned it.
        feeds: its inputs.
        names: tensors that nodes make.
        folder: scratch.

    Raises:
        ModelError: ONNX Runtime does not run it.
        ToolError: it crashed, or took too long or too much memory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(expose(model, names).SerializeToString())
    given: dict[str, Any] = dict(feeds)
    np.savez(folder / "feeds.npz", allow_pickle=False, **given)
    call(
        Call(
            compute,
            {"folder": str(folder.resolve()), "names": list(names)},
            timeout_s=_TIMEOUT_S,
            memory_bytes=_MEMORY_BYTES,
            log=folder / "log",
            cwd=folder / "work",
            name="ONNX Runtime",
            interpreter=toolchain_python("ort"),
        )
    )
    with np.load(folder / "values.npz", allow_pickle=False) as held:
        return {name: held[str(i)] for i, name in enumerate(names)}


def compute(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """The child's part: ``model.onnx`` and ``feeds.npz`` of a folder -> ``values.npz``, numbered."""
    folder = Path(request["folder"])
    session = Session(folder / "model.onnx")
    with np.load(folder / "feeds.npz", allow_pickle=False) as feeds:
        values = session.run({name: feeds[name] for name in feeds.files}, request["names"])
    numbered: dict[str, Any] = {str(i): value for i, value in enumerate(values)}
    np.savez(folder / "values.npz", allow_pickle=False, **numbered)
    return {}
