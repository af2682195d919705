"""What a compiler does not take of a model, narrowed down to the smallest part.

Each kind of node is tried alone, with the numbers that reach it in the network; if all of them compile, the
shortest run of nodes that does not is searched for by halving, and nodes that it fails without are left out.
What fails alone and compiles with its neighbours is fused with them, and no culprit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.graph.facts import Node, inputs_of, nodes
from mosaic_deploy.graph.intermediates import activations
from mosaic_deploy.graph.subgraph import cut
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.workers.progress import OnProgress

if TYPE_CHECKING:
    import onnx

TrySome = Callable[[Sequence[Case]], Iterator[tuple[Case, tuple[CaseOutcome, ...]]]]
"""Compiles and runs cases, each with its outcomes in no particular order."""

_FEW = 24
"""Nodes up to which each is left out in turn."""
_HOPS = 3
"""How far away neighbours are that nodes may be computed together with: a GELU is five nodes."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a compiler may do to a network."""

    difference: float
    """Largest, as a share of the reference's range."""
    fallback: bool = False
    """Whether other kernels on the same processor may compute what it leaves."""

    def broken_by(self, outcome: CaseOutcome) -> bool:
        """Whether it refuses, or computes something else."""
        if outcome.found in ("wrong", "fails-to-compile"):
            return True
        left = outcome.found == "falls-back" and not self.fallback
        return left or (outcome.difference or 0.0) > self.difference


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the model that fails alone."""

    model: onnx.ModelProto
    nodes: tuple[str, ...]
    """All that fail the same way, where it is one node; else its own."""
    error: str


@dataclass(slots=True)
class Found:
    """What a search came to."""

    refused: str = ""
    """The tool's words on the whole model; empty where it compiles and runs."""
    differs: bool = False
    """Whether it compiles and runs, with other numbers."""
    difference: float | None = None
    parts: list[Part] = field(default_factory=list)


@final
class Search:
    """Narrows a refusal down."""

    def __init__(
        self,
        model: onnx.ModelProto,
        precision: Precision,
        try_some: TrySome,
        scratch: Path,
        on_progress: OnProgress,
        limit: Limit = Limit(0.1),
    ) -> None:
        """Begin with the whole model; nothing is tried yet."""
        self._model, self._precision, self._try, self._scratch, self._on_progress = (
            model, precision, try_some, scratch, on_progress,
        )  # fmt: skip
        self._limit = limit
        self._described = nodes(model)
        self._live = [i for i, node in enumerate(self._described) if not node.folded]
        self._values: dict[str, NDArray[Any]] = {}
        self._count = 0

    def run(self) -> Found:
        """Try the whole, and if it is refused find the smallest part that is."""
        self._on_progress(0.0, "compiling the whole model")
        self._values = _pixels(self._model)
        outcome = self._worst([self._case(self._model)])[0]
        if not self._limit.broken_by(outcome):
            self._on_progress(1.0, "")
            return Found(difference=outcome.difference)
        found = Found(
            refused=_words(outcome, self._limit),
            differs=outcome.difference is not None and outcome.found != "fails-to-compile",
            difference=outcome.difference,
        )
        self._on_progress(0.1, "no: compiling its nodes one by one")
        self._reveal()
        found.parts = self._single() or self._several()
        self._on_progress(1.0, "")
        return found

    def _single(self) -> list[Part]:
        """Parts of one node, one for each kind that fails."""
        alike: dict[tuple[object, ...], list[int]] = {}
        for i in self._live:
            alike.setdefault(_kind(self._described[i]), []).append(i)
        models = {places[0]: self._cut({places[0]}) for places in alike.values()}
        tried = [place for place, model in models.items() if model is not None]
        outcomes = self._worst([self._case(part) for i in tried if (part := models[i]) is not None])
        parts = []
        for place, outcome in zip(tried, outcomes, strict=True):
            model = models[place]
            if model is not None and self._limit.broken_by(outcome) and self._in_company([place]):
                names = tuple(self._described[i].name for i in alike[_kind(self._described[place])])
                parts.append(Part(model, names, outcome.error or outcome.found))
        return parts

    def _several(self) -> list[Part]:
        """The shortest run of nodes that fails, also in company, less what it fails without."""
        low, count = 1, len(self._live)
        while low < count:
            end = self._least(low, count, lambda number: self._live[:number])
            places = self._tail(self._live[:end])
            if end == count or self._in_company(places):
                return self._shortened(places)
            low = end + 1  # cut in the middle of what the compiler computes as one
        return self._shortened(self._live)

    def _tail(self, places: list[int]) -> list[int]:
        """The shortest end of a run of nodes that fails, which the whole run does."""
        count = self._least(1, len(places), lambda number: places[-number:])
        return places[-count:]

    def _shortened(self, places: list[int]) -> list[Part]:
        if len(places) <= _FEW:
            for place in tuple(places):
                fewer = [i for i in places if i != place]
                if fewer and self._fails(fewer) and self._in_company(fewer):
                    places = fewer
        part = self._cut(places)
        if part is None:
            return []
        outcome = self._worst([self._case(part)])[0]
        if not self._limit.broken_by(outcome):  # it takes the whole network
            return []
        return [Part(part, tuple(self._described[i].name for i in places), outcome.error or outcome.found)]

    def _in_company(self, places: Sequence[int]) -> bool:
        """Whether nodes that fail alone fail with their neighbours too, near and farther.

        Where they do not, the compiler computes them and their neighbours as one, and they are not to blame.
        """
        around = set(places)
        for _ in range(_HOPS):
            near = {name for i in around for name in _tensors(self._described[i])}
            around |= {i for i in self._live if not near.isdisjoint(_tensors(self._described[i]))}
            if len(around) == len(self._live):
                return True
            part = self._cut(around)
            if part is not None and not self._limit.broken_by(self._worst([self._case(part)])[0]):
                return False
        return True

    def _least(self, low: int, high: int, places: Callable[[int], Collection[int]]) -> int:
        """Halve for the least count that fails; ``high`` is known to."""
        while low < high:
            middle = (low + high) // 2
            self._on_progress(0.5, f"bisecting: {low} to {high} nodes")
            if self._fails(places(middle)):
                high = middle
            else:
                low = middle + 1
        return high

    def _fails(self, places: Collection[int]) -> bool:
        part = self._cut(places)
        return part is not None and self._limit.broken_by(self._worst([self._case(part)])[0])

    def _cut(self, places: Collection[int]) -> onnx.ModelProto | None:
        try:
            part = cut(self._model, places)
        except ModelError:
            return None
        missing = [tensor.name for tensor in inputs_of(part) if tensor.name not in self._values]
        return part if not missing and part.graph.output else None

    def _case(self, model: onnx.ModelProto) -> Case:
        self._count += 1
        feeds = {tensor.name: self._values[tensor.name] for tensor in inputs_of(model)}
        return Case(f"part {self._count}", "", "", "chain", model, feeds, self._precision)

    def _worst(self, cases: Sequence[Case]) -> list[CaseOutcome]:
        """Try cases; of each the outcome on the device that refuses it, if there is one."""
        found = {case.name: outcomes for case, outcomes in self._try(cases)} if cases else {}
        return [max(found[case.name], key=self._rank) for case in cases]

    def _rank(self, outcome: CaseOutcome) -> tuple[bool, float]:
        return self._limit.broken_by(outcome), outcome.difference or 0.0

    def _reveal(self) -> None:
        """Learn every tensor that some part may begin with; what cannot be learnt is not cut at."""
        wanted = [
            tensor.name
            for i in self._live
            for tensor in self._described[i].outputs
            if tensor.shape is not None and tensor.dtype
        ]
        known = {value.name for value in (*self._model.graph.value_info, *self._model.graph.output)}
        wanted = [name for name in wanted if name in known]
        try:
            values = activations(self._model, self._values, wanted, self._scratch / "values")
        except (ModelError, ToolError):
            return
        self._values.update(values)


def _words(outcome: CaseOutcome, limit: Limit) -> str:
    if outcome.difference is not None and outcome.found != "falls-back":
        return (
            f"largest difference {outcome.difference:.2g} of the range on {outcome.device}, "
            f"{limit.difference:g} allowed"
        )
    return f"{outcome.found} on {outcome.device}" + (f": {outcome.error}" if outcome.error else "")


def _tensors(node: Node) -> set[str]:
    """What a node computes, and what it computes it of, constants aside."""
    return {t.name for t in (*node.inputs, *node.outputs) if t is not None and not t.constant}


def _kind(node: Node) -> tuple[object, ...]:
    """What decides how a compiler treats a node."""
    tensors = tuple((t.dtype, t.shape, t.constant, t.grid) if t else None for t in node.inputs)
    return node.domain, node.op, tuple(sorted(node.attributes.items())), tensors


def _pixels(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = {}
    for tensor in inputs_of(model):
        shape = tensor.shape or ()
        if np.dtype(tensor.dtype).kind in "iu":
            feeds[tensor.name] = rng.integers(0, 256, shape).astype(tensor.dtype)
        else:
            feeds[tensor.name] = rng.uniform(-1, 1, shape).astype(tensor.dtype)
    return feeds
