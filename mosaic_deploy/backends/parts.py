"""Parts of a network on a runtime: a cut-out graph, compiled anew and run, in one child process.

What a part is: an ONNX graph of any number of inputs and one output, with integers at its ends where the
network it was cut from has a grid there. Each runtime that compiles ONNX as it is has one function for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosaic_deploy.backends.file_parts import file_backends
from mosaic_deploy.errors import UsageError
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.worker import Work

REFERENCE = "onnx"
"""ONNX Runtime's CPU kernels, the graph optimised as by default."""
PLAIN = "onnx-plain"
"""The same, each node as it stands."""
_PARTS: Mapping[str, tuple[str, str, str]] = {
    REFERENCE: ("onnx_part", "run_part", "ort"),
    PLAIN: ("onnx_part", "run_part_plainly", "ort"),
    "ort": ("ort.part", "run_part", "ort"),
    "qnn": ("qnn.part", "run_part", "qnn"),
}
"""Backend -> the module of this room and its function that runs there, and the toolchain of that."""
_COMPILE_S, _IMAGE_S = 1800.0, 300.0
_MEMORY = 8 * GIB


@dataclass(frozen=True, slots=True)
class PartRunner:
    """A runtime for parts."""

    work: Work
    """Takes ``onnx``; ``variant``, the device to compile for, or None; ``feeds``, input name -> .npy for each
    image; ``outputs``, a .npy for each. Returns ``ran_on`` in words."""
    toolchain: str

    def run(
        self,
        onnx: Path,
        feeds: Sequence[Mapping[str, Path]],
        outputs: Sequence[Path],
        *,
        variant: str | None,
        folder: Path,
        log: Path,
    ) -> str:
        """Compile and run one part in a child process; ``folder`` is scratch and is made here.

        Returns the runtime in words.

        Raises:
            ModelError, RefusedError: the runtime does not take the part.
            ToolError: it failed, or took too long or too much memory.
        """
        request: dict[str, Any] = {
            "onnx": str(onnx.resolve()),
            "variant": variant,
            "feeds": [{name: str(path.resolve()) for name, path in feed.items()} for feed in feeds],
            "outputs": [str(path.resolve()) for path in outputs],
        }
        limit = _COMPILE_S + _IMAGE_S * len(feeds)
        environment = {"OMP_NUM_THREADS": "1"}
        interpreter = toolchain_python(self.toolchain)
        made = call(Call(self.work, request, limit, _MEMORY, log, folder, environment, "probe", interpreter))
        return str(made.result["ran_on"])


def load_parts(backend: str) -> PartRunner:
    """The runner of a backend; raises ``UsageError`` where it compiles no parts."""
    if backend not in _PARTS:
        known = (*(name for name in _PARTS if name not in (REFERENCE, PLAIN)), *file_backends())
        raise UsageError(
            f"{backend}: no part of its networks can be compiled or cut out and run alone; "
            f"backends that can: {', '.join(known)}"
        )
    module, function, toolchain = _PARTS[backend]
    room = __name__.rpartition(".")[0]
    work: Work = getattr(importlib.import_module(f"{room}.{module}"), function)
    return PartRunner(work, toolchain)
