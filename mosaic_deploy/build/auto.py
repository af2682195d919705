"""Recipe ``auto``: the cheapest of several precisions that keeps parity on the target's own runtime.

8 bits throughout ─► good enough on held-out images? ─ yes ─► that is it
                               │ no
                               ▼
      rank the activations ─► lift the worst ─► compile, run, compare ─► ... ─► the cheapest that will do

Which images decide: some of the calibration set, which no range is made of then. Validation images decide
nothing here; parity is measured on them afterwards, as for any recipe.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_deploy.accuracy.limits import Limits
from mosaic_deploy.accuracy.parity import ParityReport, measure
from mosaic_deploy.backends.protocol import (
    BuildJob,
    CompiledModel,
    MixedBackend,
    RankingTerms,
    TimingConfig,
    WorkDir,
)
from mosaic_deploy.build.auto_record import Record
from mosaic_deploy.build.inputs import ValidationImage
from mosaic_deploy.build.reference_maps import Maps, class_maps, pairs, predict
from mosaic_deploy.errors import RefusedError, ToolError, UsageError
from mosaic_deploy.quantize.mixed import Mixed
from mosaic_deploy.specs.recipe import Search
from mosaic_deploy.workers.progress import OnProgress, StageProgress

_FEWEST = 4
"""Calibration images; of fewer, none can be spared to decide."""
_AS_GOOD = 1e-3
"""Agreement that two attempts may differ by and still be worth the same, where none reaches the goal."""
_WARM_UP, _RUNS, _THREADS = 1, 5, 2


@dataclass(frozen=True, slots=True)
class Attempt:
    """One choice of precisions, compiled and run."""

    lifted: float
    """Share of the activations that are lifted, in [0, 1]."""
    tensors: int
    """How many were chosen; what else lies between them is lifted with them."""
    conversions: int
    """Tensors that are converted between both precisions."""
    predicted: float | None
    """Agreement that the ranking predicted; None where nothing was ranked before."""
    agreement: float
    """Share of the held-out images' pixels that keep the float network's class, in [0, 1]; of several
    compiled variants the least. 0 where it could not be compiled or run."""
    good: bool
    """It reaches the goal, and no class is lost."""
    cost: float | None
    """Of one image: the simulator's cycles, or seconds where the runtime is a real one. None if unknown."""
    size: int
    """Bytes of the compiled files that ship."""
    error: str = ""
    """Why it could not be compiled or run."""


@dataclass(frozen=True, slots=True)
class Searching:
    """What is searched for, and with what."""

    job: BuildJob
    """With all calibration images, in the artifact's layout."""
    backend: MixedBackend
    converted: CompiledModel | None
    plain_inputs: tuple[Path, ...]
    """The same images in the graph's own layout."""
    blocked: tuple[str, ...]
    """Tensors that must stay in 8 bits."""
    made_from: Mapping[str, str]
    """Digests of what the build depends on: what was tried is kept under them."""
    progress: StageProgress


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it."""

    job: BuildJob
    """The build that ships."""
    facts: dict[str, object]
    """``goal``, ``held_out``, ``lifts_to``, ``cost_unit``, ``attempts`` (of ``Attempt``), ``chosen`` (which
    of them) and ``reached``."""


def find(search: Searching) -> Found:
    """Look for the cheapest build that reaches the recipe's goal; for the best one where none does.

    Raises:
        UsageError: too few calibration images, or a recipe without ``search``.
        MosaicError: the network cannot be compiled in 8 bits either.
    """
    return _Search.of(search).run()


@dataclass(frozen=True, slots=True)
class _Search:
    """The work of one search in a folder of its own."""

    terms: Search
    job: BuildJob
    """With the images that are calibrated on."""
    given: Searching
    deciding: tuple[Path, ...]
    """The images that decide, as the artifact takes them."""
    reference: Maps
    images: tuple[ValidationImage, ...]
    folder: Path
    record: Record

    @classmethod
    def of(cls, given: Searching) -> _Search:
        """Part the images, and run the float network on those that decide."""
        job, terms = given.job, given.job.recipe.search
        if terms is None or not isinstance(given.backend, MixedBackend):
            raise UsageError(
                f"recipe {job.recipe.name}: target {job.target.name} lifts no single activations"
            )
        if len(job.calibration) < _FEWEST:
            raise UsageError(
                f"recipe {job.recipe.name} decides on calibration images that it holds out: "
                f"it needs {_FEWEST} or more, and there are {len(job.calibration)}"
            )
        held = held_out(len(job.calibration), terms.held_out)
        folder = job.space.scratch / "auto"
        (folder / "ranges").mkdir(parents=True)

        def tell(share: float, note: str) -> None:
            given.progress("auto float", share, note)

        outputs, _ = predict(
            job.onnx,
            [given.plain_inputs[i] for i in held],
            folder / "float",
            job.space.logs,
            on_progress=tell,
        )
        contract = job.contract.model_copy(update={"layout": job.layout})
        images = (ValidationImage((job.contract.height, job.contract.width), None),) * len(held)
        rest = tuple(path for i, path in enumerate(job.calibration) if i not in held)
        return cls(
            terms=terms,
            job=replace(job, calibration=rest, kept_ranges=folder / "ranges"),
            given=given,
            deciding=tuple(job.calibration[i] for i in held),
            reference=class_maps(contract, outputs, images, folder / "float-maps"),
            images=images,
            folder=folder,
            record=Record.of(given.made_from),
        )

    def run(self) -> Found:
        """The whole ladder, as far up as is needed."""
        tried = {0: self._attempt(Mixed(), 0.0, 0, None)}
        lifts: list[dict[str, Any]] = []
        if not tried[0].good:
            ranked = self._ranked()
            lifts = list(ranked["steps"])
            self._climb(lifts, tried[0].agreement - float(ranked["agreement"]), tried)
        good = {index: attempt for index, attempt in tried.items() if attempt.good}
        chosen = _cheapest(good) if good else _best(tried)
        mixed = _mixed(lifts[chosen - 1]) if chosen else Mixed()
        order = sorted(tried)
        facts: dict[str, object] = {
            "goal": self.terms.agreement,
            "held_out": len(self.deciding),
            "calibrated_on": len(self.job.calibration),
            "lifts_to": self.given.backend.lifts_to,
            "cost_unit": "seconds" if self.job.target.times else "simulated cycles",
            "attempts": [asdict(tried[index]) for index in order],
            "chosen": order.index(chosen),
            "reached": tried[chosen].good,
        }
        return Found(replace(self.job, mixed=mixed), facts)

    def _climb(self, lifts: Sequence[Mapping[str, Any]], shift: float, tried: dict[int, Attempt]) -> None:
        """Begin with the smallest lift that is predicted to do, go up until one does, then one down."""

        def attempt(index: int) -> bool:
            lift = lifts[index - 1]
            if index not in tried:
                tried[index] = self._attempt(
                    _mixed(lift), lift["lifted"], lift["conversions"], lift["agreement"]
                )
            return tried[index].good

        last = len(lifts)
        if not last:
            return
        likely = [i for i in range(1, last + 1) if lifts[i - 1]["agreement"] + shift >= self.terms.agreement]
        first = likely[0] if likely else last
        good = next((index for index in range(first, last + 1) if attempt(index)), None)
        if good is not None and good == first and first > 1:
            attempt(first - 1)
        attempt(last)  # what is lifted in part must not cost more than everything

    def _ranked(self) -> Mapping[str, Any]:
        def work() -> dict[str, Any]:
            few = self.deciding[: self.terms.ranked]
            terms = RankingTerms(self.deciding, self.terms.shares, self.given.blocked, ranked=len(few))
            return dict(self.given.backend.rank(self._at("rank"), terms, on_progress=self._tell("auto rank")))

        return self.record.kept("ranking", work)

    def _attempt(self, mixed: Mixed, lifted: float, conversions: int, predicted: float | None) -> Attempt:
        """Compile it, run it on the images that decide, and see what it costs."""

        def work() -> dict[str, Any]:
            try:
                return asdict(self._measured(mixed, lifted, conversions, predicted))
            except (RefusedError, ToolError) as err:
                if not mixed.lifted:
                    raise
                none = Attempt(lifted, len(mixed.lifted), conversions, predicted, 0.0, False, None, 0)  # noqa: FBT003
                return asdict(replace(none, error=str(err)))

        return Attempt(**self.record.kept(f"lift {sorted(mixed.lifted)}", work))

    def _measured(self, mixed: Mixed, lifted: float, conversions: int, predicted: float | None) -> Attempt:
        name = f"auto {lifted:.0%}"
        job = self.given.backend.trial(replace(self._at(f"{lifted:.4f}"), mixed=mixed))
        out = job.space.scratch.parent / "out"
        out.mkdir()
        backend = self.given.backend
        built = backend.build(job, self.given.converted, out, on_progress=self._tell(name, 0.0, 0.5))
        ran = backend.run(
            built, job.contract, self.deciding, space=job.space, on_progress=self._tell(name, 0.5, 0.9)
        )
        reports = [
            self._compared(job, paths, out.parent / f"maps-{variant}")
            for variant, paths in {**ran.others, ran.name: ran.outputs}.items()
        ]
        timing = TimingConfig(self.deciding[0], _WARM_UP, _RUNS, _THREADS)
        timed = backend.time(built, timing, space=job.space)
        cycles = timed.facts.get("cycles")
        cost = float(np.median(timed.seconds)) if timed.seconds else cycles
        size = sum((out / file.path).stat().st_size for file in built.files if file.ships)
        self.given.progress(name, 1.0, "")
        shutil.rmtree(out.parent)
        least = min(report.agreement for report in reports)
        good = least >= self.terms.agreement and all(report.verdict != "fails" for report in reports)
        return Attempt(
            lifted,
            len(mixed.lifted),
            conversions,
            predicted,
            least,
            good,
            cost if isinstance(cost, int | float) else None,
            size,
        )

    def _compared(self, job: BuildJob, outputs: tuple[Path, ...], folder: Path) -> ParityReport:
        maps = class_maps(job.contract, outputs, self.images, folder)
        return measure(
            pairs(self.images, self.reference, maps),
            labels=job.contract.labels,
            dataset="calibration images that are held out",
            tolerance=Limits(1 - self.terms.agreement),
        )

    def _at(self, name: str) -> BuildJob:
        """The build with a folder of its own to work in; its logs are the whole build's."""
        scratch = self.folder / name / "scratch"
        scratch.mkdir(parents=True)
        return replace(self.job, space=WorkDir(scratch, self.job.space.logs))

    def _tell(self, stage: str, start: float = 0.0, end: float = 1.0) -> OnProgress:
        return lambda share, note: self.given.progress(stage, min(start + (end - start) * share, 0.999), note)


def held_out(images: int, most: int) -> tuple[int, ...]:
    """Which of the calibration images decide: evenly spread, a quarter of them at most."""
    count = max(1, min(most, images // 4))
    return tuple(int(i) for i in np.linspace(0, images - 1, count + 2)[1:-1].round())


def _mixed(lift: Mapping[str, Any]) -> Mixed:
    return Mixed.from_json({"lifted": lift["sixteen"], "spans": lift["spans"]})


def _cheapest(tried: Mapping[int, Attempt]) -> int:
    """The one that costs least; of equal or unknown cost the one with least lifted."""
    return min(tried, key=lambda index: (tried[index].cost is None, tried[index].cost, index))


def _best(tried: Mapping[int, Attempt]) -> int:
    """Of those that agree about as much as the best does, the cheapest."""
    most = max(attempt.agreement for attempt in tried.values())
    near = {i: attempt for i, attempt in tried.items() if attempt.agreement >= most - _AS_GOOD}
    return _cheapest(near)
