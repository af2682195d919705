"""Every mistake made with one artifact on some images, and what it costs: the signature table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_deploy.accuracy.parity import ParityReport, measure
from mosaic_deploy.artifact.basis import of_card, of_labels
from mosaic_deploy.artifact.contract_fuzz.mistakes import Case, Mistake, mistakes
from mosaic_deploy.artifact.feeding import how_to_feed
from mosaic_deploy.artifact.foreign import Foreign, Stated, open_foreign
from mosaic_deploy.artifact.open import workspace
from mosaic_deploy.artifact.stored import stored_input
from mosaic_deploy.backends.protocol import CompiledModel, WorkDir
from mosaic_deploy.datasets import open_data
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.errors import UsageError
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import Pixels
from mosaic_deploy.specs.toolchain import require_toolchain
from mosaic_deploy.workers.progress import StageProgress, silent

SCHEMA = 1
IMAGES = 8
_MOVED = 3
"""Classes that a signature names."""
_MOVED_FROM = 0.005
"""Share of the pixels that a class must gain or lose to be named."""
_PASSES = {"pixel_factor": 1, "pixel_offset": 0, "pixel_shift": 0.0, "pixels": None}
"""Facts of an input with which a backend hands integers on as they are."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one mistake costs."""

    mistake: Mistake
    parity: ParityReport | None
    """The artifact fed rightly is its reference; None where the mistake cannot happen."""
    moved: tuple[tuple[str, float], ...] = ()
    """Classes that gain or lose most, with the change of their share of the pixels."""

    @property
    def signature(self) -> str:
        """The classes whose share of the pixels changes most; where none does, those whose IoU falls most."""
        if self.moved:
            return ", ".join(f"{name} {change:+.0%}" for name, change in self.moved)
        rows = self.parity.per_class if self.parity is not None else ()
        falls = sorted(((theirs - ours, name) for name, ours, theirs in rows if theirs < ours))[:_MOVED]
        return ", ".join(f"{name} {change:+.2f} IoU" for change, name in falls)

    def to_json(self) -> dict[str, object]:
        """The mistake's entry in ``--json``."""
        return {
            "mistake": self.mistake.name,
            "looks": self.mistake.looks,
            "impossible": self.mistake.impossible or None,
            "parity": None if self.parity is None else self.parity.to_json(),
            "moved": [{"class": name, "change": change} for name, change in self.moved],
        }


@dataclass(frozen=True, slots=True)
class FuzzReport:
    """The signature table of an artifact: what each usual mistake in feeding or reading it costs."""

    artifact: str
    contract_from: str
    """Who said what it takes."""
    feeding: str
    """How it is fed rightly, in words."""
    dataset: str
    images: int
    labelled: bool
    ran_on: str
    costs: tuple[Cost, ...]

    @property
    def by_cost(self) -> tuple[Cost, ...]:
        """Those that can happen, the dearest first."""
        found = [cost for cost in self.costs if cost.parity is not None]
        return tuple(sorted(found, key=lambda cost: cost.parity.agreement if cost.parity else 1.0))

    @property
    def impossible(self) -> tuple[Mistake, ...]:
        """Those that cannot happen with this artifact."""
        return tuple(cost.mistake for cost in self.costs if cost.parity is None)

    def to_json(self) -> dict[str, object]:
        """The object that ``contract fuzz --json`` prints."""
        return {
            "schema": SCHEMA,
            "artifact": self.artifact,
            "contract_from": self.contract_from,
            "feeding": self.feeding,
            "dataset": self.dataset,
            "images": self.images,
            "labelled": self.labelled,
            "ran_on": self.ran_on,
            "mistakes": [cost.to_json() for cost in self.costs],
        }


@dataclass(frozen=True, slots=True)
class FuzzRequest:
    """What a person asked to make mistakes with."""

    artifact: Path
    """A folder that a build wrote, or a file that any tool made."""
    data: str
    """``NAME[:DIR]``; without labels the artifact's own right answers stand for the truth."""
    images: int | None = IMAGES
    """How many; None takes all."""
    contract: str | None = None
    """A model card that says what a file takes; None for the data set's classes and pixels as they are."""
    stated: Stated = field(default_factory=Stated)
    """What is said of the input on the command line."""


def fuzz(request: FuzzRequest, *, progress: StageProgress = silent) -> FuzzReport:
    """Make every usual mistake in feeding or reading an artifact, on its own runtime, and measure it.

    ``progress`` hears of the stages.

    Raises:
        ModelError: it is no sound artifact, and no file that can be run.
        SpecError: no such card.
        DataError: the images do not fit it.
        ToolError: its runtime is missing or failed.
    """
    asked = open_data(request.data, split="val")
    basis = of_labels(asked.labels) if request.contract is None else of_card(request.contract)
    with workspace() as space:
        item = open_foreign(
            request.artifact,
            basis=basis,
            stated=request.stated,
            space=space,
            on_progress=partial(progress, "open"),
        )
        dataset = asked.read_as(item.contract.labels).take(request.images)
        item.contract.require(dataset.labels, dataset=dataset.name)
        require_toolchain(item.runner.toolchain, progress)
        return _Fuzzer(item, dataset, space, progress).report()


@dataclass(frozen=True, slots=True)
class _Fuzzer:
    item: Foreign
    dataset: FileDataset
    space: WorkDir
    progress: StageProgress

    def report(self) -> FuzzReport:
        """Feed all at once, so that a runtime is loaded once; then read and compare."""
        case, sizes = self._case()
        known = mistakes(case)
        feeds = [None, *(m for m in known if m.feed is not None and not m.impossible)]
        outputs, ran_on = self._run(case, feeds)
        right = outputs[0]
        costs = []
        for index, mistake in enumerate(known):
            self.progress("compare", index / len(known), mistake.name)
            if mistake.impossible:
                costs.append(Cost(mistake, None))
                continue
            given = outputs[feeds.index(mistake)] if mistake.feed is not None else right
            costs.append(self._cost(mistake, right, given, sizes))
        self.progress("compare", 1.0, "")
        return FuzzReport(
            artifact=self.item.path.name,
            contract_from=self.item.contract_from,
            feeding=how_to_feed(self.item.contract, self.item.built.facts["input"]),
            dataset=self.dataset.name,
            images=len(self.dataset),
            labelled=self.dataset.labelled,
            ran_on=ran_on,
            costs=tuple(costs),
        )

    def _case(self) -> tuple[Case, list[tuple[int, int]]]:
        contract = self.item.contract
        source: Mapping[str, Any] = self._facts()
        sizes = []
        for index in range(len(self.dataset)):
            height, width = self.dataset[index].image.shape[:2]
            sizes.append((height, width))
        if not sizes:
            raise UsageError(f"{self.dataset.name}: no images")
        own = (contract.height, contract.width)
        return Case(contract, source, any(size != own for size in sizes), _exact(contract, source)), sizes

    def _facts(self) -> Mapping[str, Any]:
        facts = self.item.built.facts["input"]
        if not isinstance(facts, Mapping):
            raise TypeError(f"facts of a tensor expected, not {facts!r}")
        return facts

    def _run(self, case: Case, feeds: Sequence[Mistake | None]) -> tuple[list[tuple[Path, ...]], str]:
        """The outputs of each way to feed, an image each; and what they ran on."""
        paths: list[Path] = []
        folder = self.space.scratch / "inputs"
        folder.mkdir()
        for number, mistake in enumerate(feeds):
            for index in range(len(self.dataset)):
                image = self.dataset[index].image
                fed = (
                    case.store(case.contract, image)
                    if mistake is None or mistake.feed is None
                    else mistake.feed(image)
                )
                paths.append(folder / f"{number:02d}-{index:05d}.npy")
                np.save(paths[-1], fed, allow_pickle=False)
            self.progress("prepare", (number + 1) / len(feeds), "" if mistake is None else mistake.name)
        built = self.item.built
        handed_on = CompiledModel(
            built.folder, built.files, (), {**built.facts, "input": {**case.source, **_PASSES}}
        )
        ran = self.item.runner.run(
            handed_on,
            case.contract,
            tuple(paths),
            space=self.space,
            on_progress=lambda share, note: self.progress("run", share, note),
        )
        self.progress("run", 1.0, "")
        count = len(self.dataset)
        parts = [ran.outputs[start : start + count] for start in range(0, len(paths), count)]
        return parts, str(ran.facts.get("ran_on", ""))

    def _cost(
        self,
        mistake: Mistake,
        right: tuple[Path, ...],
        given: tuple[Path, ...],
        sizes: Sequence[tuple[int, int]],
    ) -> Cost:
        contract = self.item.contract
        classes = len(contract.classes)
        shares = np.zeros((2, classes), np.int64)

        def maps() -> Iterator[tuple[Pixels | None, Pixels, Pixels]]:
            for index, size in enumerate(sizes):
                ours = contract.class_map(np.load(right[index], allow_pickle=False), size)
                read = mistake.read or contract.class_map
                theirs = read(np.load(given[index], allow_pickle=False), size)
                for row, ids in enumerate((ours, theirs)):
                    shares[row] += np.bincount(ids.ravel(), minlength=256)[:classes]
                yield self.dataset[index].label, ours, theirs

        parity = measure(maps(), labels=contract.labels, dataset=self.dataset.name, tolerance=1.0)
        change = (shares[1] - shares[0]) / max(int(shares[0].sum()), 1)
        order = sorted(range(classes), key=lambda i: -abs(change[i]))
        moved = [(contract.classes[i], float(change[i])) for i in order if abs(change[i]) >= _MOVED_FROM]
        return Cost(mistake, replace(parity, passed=False), tuple(moved[:_MOVED]))


def _exact(contract: Contract, source: Mapping[str, Any]) -> bool:
    """Whether an integer of the input is the pixel times a whole number, plus another."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    values = ramp if contract.dtype == "uint8" else contract.normalise(ramp)
    table = stored_input(values, {**source, "shape": ramp.shape})
    steps = np.diff(table.astype(np.int64), axis=0)
    return table.dtype.kind in "iu" and bool(np.all(steps == steps[0, 0]) and steps[0, 0] > 0)
