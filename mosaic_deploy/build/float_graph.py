"""What the builds of one model have in common, made once: its graph, the prepared images, the reference.

card -> float ONNX -> the same with each output kind -> the float network's class maps
images -> inputs in each layout
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.backends.protocol import Step
from mosaic_deploy.build import export_child
from mosaic_deploy.build.model_source import Model
from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.output_kind import contract_with, with_output
from mosaic_deploy.graph.reader.read import read_model
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.fields import OutputKind
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.zoo.export_cache import find_export, keep_export

if TYPE_CHECKING:
    import onnx


_EXPORT_TIMEOUT_S = 600
_EXPORT_MEMORY = 8 * GIB
_LOG = "export.log"


@dataclass(frozen=True, slots=True)
class GraphFile:
    """The float network with one kind of output."""

    path: Path
    model: onnx.ModelProto
    """As read back from the file, its shapes inferred."""
    original: Path
    """What the float reference is: the network as it came, before it was normalised; else the same file."""


@dataclass(frozen=True, slots=True)
class FloatGraph:
    """The float network as the card states it."""

    path: Path
    model: onnx.ModelProto
    contract: Contract
    step: Step

    def kind(self, asked: OutputKind | None, default: OutputKind) -> OutputKind:
        """What a build is to give: as asked, else the default where the graph can be changed to that.

        Raises ``ModelError`` where what was asked for cannot be had.
        """
        try:
            with_output(self.model, self.contract, want=asked or default)
        except ModelError:
            if asked is not None:
                raise
            return self.contract.output
        return asked or default

    def contract_of(self, kind: OutputKind) -> Contract:
        """The contract of the network with that kind of output."""
        return contract_with(self.model, self.contract, want=kind)

    def write_kinds(self, kinds: Iterable[OutputKind]) -> Mapping[OutputKind, GraphFile]:
        """Write the network with each output once, beside its own file, the card's kind first."""
        import onnx

        original = self.path.with_name(export_child.ORIGINAL)
        own = original if original.exists() else self.path
        found = {self.contract.output: GraphFile(self.path, self.model, own)}
        for kind in kinds:
            if kind not in found:
                path = self.path.with_name(f"{self.path.stem}-{kind}.onnx")
                onnx.save_model(with_output(self.model, self.contract, want=kind), path)
                found[kind] = GraphFile(path, read_model(path), path)
        return found


def write_float_graph(model: Model, folder: Path, logs: Path, *, on_progress: OnProgress) -> FloatGraph:
    """Make ``folder / model.onnx``: from an export that was made before, else in a child process.

    Raises ``MosaicError`` where weights or graph cannot be used, or there is nothing to export with.
    """
    out = folder / "model.onnx"
    step = _reuse(model, out, logs) or _make(model, out, logs, on_progress)
    return FloatGraph(out, read_model(out), model.card.contract, step)


def _reuse(model: Model, out: Path, logs: Path) -> Step | None:
    """Write a cached export of the same bytes that exporting would give; None where there is none."""
    begun = time.monotonic()
    cached = find_export(model.card, model.root)
    if cached is None:
        return None
    out.write_bytes(cached.model)
    (logs / _LOG).touch()
    return Step("read export", "torch", cached.versions.get("torch", ""), time.monotonic() - begun, 0)


def _make(model: Model, out: Path, logs: Path, on_progress: OnProgress) -> Step:
    request = {
        "card": model.card.model_dump(mode="json", by_alias=True),
        "root": str(model.root.resolve()),
        "out": str(out.resolve()),
    }
    outcome = call(
        Call(
            export_child.write,
            request,
            timeout_s=_EXPORT_TIMEOUT_S,
            memory_bytes=_EXPORT_MEMORY,
            log=logs / _LOG,
            cwd=out.parent / "export",
            interpreter=None if model.card.source.onnx is not None else toolchain_python("torch"),
        ),
        on_progress=on_progress,
    )
    made = outcome.result
    keep_export(model.card, model.root, out, made.get("versions", {}))
    return Step("export", str(made["tool"]), str(made["version"]), outcome.seconds, outcome.peak_bytes)
