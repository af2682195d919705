"""What the builds of one model have in common, made once: its graph, the prepared images, the reference.

card -> float ONNX -> the same with each output kind -> the float network's class maps
images -> inputs in each layout
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.backends.protocol import Step
from mosaic_deploy.build import export_child
from mosaic_deploy.build.model_source import Model
from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.ends.ends import Ends, take_pixels
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


_EXPORT_TIMEOUT_S = 1800
_EXPORT_MEMORY = 8 * GIB
_LOG = "export.log"
_TWO = 2


@dataclass(frozen=True, slots=True)
class GraphFile:
    """The float network with one kind of output."""

    path: Path
    model: onnx.ModelProto
    """As read back from the file, its shapes inferred."""
    original: Path
    """What the float reference is: the network as it came, before it was normalised; else the same file."""
    ahead: tuple[onnx.ModelProto, Contract] | None = None
    """The network without its end and the contract of that, where the end has sizes that no op table knows:
    valid interpolation. That it runs and is right is shown by running it."""

    @property
    def judged(self) -> onnx.ModelProto:
        """What op tables can say something of."""
        return self.model if self.ahead is None else self.ahead[0]

    def finished(self, judged: onnx.ModelProto) -> onnx.ModelProto:
        """Put the end behind what was judged, and rewritten perhaps."""
        return judged if self.ahead is None else with_output(judged, self.ahead[1], want="vim")


@dataclass(frozen=True, slots=True)
class FloatGraph:
    """The float network as the card states it."""

    path: Path
    model: onnx.ModelProto
    contract: Contract
    """What the graph expects and gives."""
    step: Step
    own: Contract
    """What the file as it came expects; its output is read as ``ends`` says, then as ``contract`` does."""
    ends: Ends = field(default_factory=Ends)

    def kinds(self, asked: OutputKind | None, default: OutputKind) -> tuple[OutputKind, ...]:
        """What a build may give, the best first: as asked, else the default where the graph can be so.

        A target without the operator that makes class ids can do with scores.

        Raises ``ModelError`` where what was asked for cannot be had.
        """
        own = self.contract.output
        if asked is not None:
            with_output(self.model, self.contract, want=asked)
            return (asked,)
        scores: tuple[OutputKind, ...] = ("logits",) if own == "classmap" else ()
        wanted = dict.fromkeys((default, *scores, own))
        return tuple(kind for kind in wanted if kind == own or self._gives(kind))

    def _gives(self, kind: OutputKind) -> bool:
        try:
            with_output(self.model, self.contract, want=kind)
        except ModelError:
            return False
        return True

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
                found[kind] = GraphFile(path, read_model(path), path, self._ahead(kind))
        return found

    def _ahead(self, kind: OutputKind) -> tuple[onnx.ModelProto, Contract] | None:
        if kind != "vim":
            return None
        return with_output(self.model, self.contract, want="lowres"), self.contract_of("lowres")


def write_float_graph(model: Model, folder: Path, logs: Path, *, on_progress: OnProgress) -> FloatGraph:
    """Make ``folder / model.onnx``: from an export that was made before, else in a child process.

    A network that normalises each colour in its own way gets pixels, and does that in its graph.

    Raises ``MosaicError`` where weights or graph cannot be used, or there is nothing to export with.
    """
    import onnx

    out = folder / "model.onnx"
    step = _reuse(model, out, logs) or _make(model, out, logs, on_progress)
    graph = read_model(out)
    own, ends = model.card.contract, _ends(out)
    contract = _with_threshold(ends.contract(own), ends, graph)
    pixels = take_pixels(graph, contract)
    if pixels is not None:
        original = out.with_name(export_child.ORIGINAL)
        if not original.exists():
            os.replace(out, original)
        onnx.save_model(graph, out)
    return FloatGraph(out, graph, pixels or contract, step, own, ends)


def _ends(out: Path) -> Ends:
    """How the graph's ends differ from the file's; not at all where it was exported here."""
    place = out.with_name(export_child.ENDS)
    return Ends.from_json(json.loads(place.read_text("utf-8"))) if place.exists() else Ends()


def _with_threshold(contract: Contract, ends: Ends, graph: onnx.ModelProto) -> Contract:
    """Above what a lone score is the foreground's, where the card does not say."""
    limit = ends.back.threshold
    if contract.threshold is not None or limit is None or len(contract.classes) != _TWO:
        return contract
    sides = [dim.dim_value for dim in graph.graph.output[0].type.tensor_type.shape.dim]
    channels = sides[1::2] if len(sides) == 4 else []
    lone = ends.back.ids or (1 in channels and _TWO not in channels)
    return contract.model_copy(update={"threshold": limit}) if lone else contract


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
        "keep_quantization": model.keep_quantization,
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
