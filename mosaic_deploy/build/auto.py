"""Recipe ``auto``: the cheapest of several precisions that keeps parity on the target's own runtime.

8 bits throughout ─► good enough on held-out images? ─ no ─► the same, its ranges found in another way
        │ still no
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
from mosaic_deploy.build.auto_choice import Attempt, Choice, cheapest, closest
from mosaic_deploy.build.auto_record import Record
from mosaic_deploy.build.inputs import ValidationImage
from mosaic_deploy.build.reference_maps import Maps, class_maps, pairs, predict
from mosaic_deploy.errors import RefusedError, ToolError, UsageError
from mosaic_deploy.quantize.mixed import Mixed
from mosaic_deploy.specs.recipe import Method, Search
from mosaic_deploy.workers.progress import OnProgress, StageProgress

_FEWEST = 4
"""Calibration images; of fewer, none can be spared to decide."""
_WARM_UP, _RUNS, _THREADS = 1, 5, 2


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
        method = self.job.recipe.calibration.method
        tried = {0: self._attempt(Choice(method))}
        attempts, lifts = [tried[0]], list[Choice]()
        if not tried[0].good and (other := self._other_method(method)) is not None:
            attempts.append(self._attempt(Choice(other)))
            if attempts[1].agreement > attempts[0].agreement:
                method, tried = other, {0: attempts[1]}
        finer = self.given.backend.lifts_to(self.job.target)
        if not tried[0].good and finer is not None:
            ranked = self._ranked(method)
            lifts = [Choice.of(method, step) for step in ranked["steps"]]
            self._climb(lifts, tried[0].agreement - float(ranked["agreement"]), tried)
            attempts += [tried[index] for index in sorted(tried) if index]
        good = {index: attempt for index, attempt in tried.items() if attempt.good}
        chosen = cheapest(good) if good else closest(tried)
        facts: dict[str, object] = {
            "goal": self.terms.agreement,
            "held_out": len(self.deciding),
            "calibrated_on": len(self.job.calibration),
            "lifts_to": finer,
            "cost_unit": "seconds" if self.job.target.times else "simulated cycles",
            "attempts": [asdict(attempt) for attempt in attempts],
            "chosen": attempts.index(tried[chosen]),
            "reached": tried[chosen].good,
        }
        mixed = lifts[chosen - 1].mixed if chosen else Mixed()
        return Found(replace(_by(self.job, method), mixed=mixed), facts)

    def _other_method(self, own: Method) -> Method | None:
        """The method that is predicted to do better than the recipe's; None where none is."""
        names = (own, *(name for name in self.given.backend.methods if name != own))

        def work() -> dict[str, Any]:
            terms = RankingTerms(self.deciding, (), methods=names)
            job = self._at(self.job, "methods")
            return dict(self.given.backend.rank(job, terms, on_progress=self._tell("auto ranges")))

        best: Method = self.record.kept("methods", work)["method"]
        return best if best != own else None

    def _climb(self, lifts: Sequence[Choice], shift: float, tried: dict[int, Attempt]) -> None:
        """Begin with the smallest lift that is predicted to do, go up until one does, then one down."""

        def attempt(index: int) -> bool:
            if index not in tried:
                tried[index] = self._attempt(lifts[index - 1])
            return tried[index].good

        last = len(lifts)
        if not last:
            return
        hopes = [(lift.predicted or 0.0) + shift for lift in lifts]
        likely = [index for index, hope in enumerate(hopes, 1) if hope >= self.terms.agreement]
        first = likely[0] if likely else last
        good = next((index for index in range(first, last + 1) if attempt(index)), None)
        if good is not None and good == first and first > 1:
            attempt(first - 1)
        attempt(last)  # what is lifted in part must not cost more than everything

    def _ranked(self, method: Method) -> Mapping[str, Any]:
        def work() -> dict[str, Any]:
            few = min(self.terms.ranked, len(self.deciding))
            terms = RankingTerms(self.deciding, self.terms.shares, self.given.blocked, ranked=few)
            job = self._at(_by(self.job, method), "rank")
            return dict(self.given.backend.rank(job, terms, on_progress=self._tell("auto rank")))

        return self.record.kept(f"ranking by {method}", work)

    def _attempt(self, choice: Choice) -> Attempt:
        """Compile it, run it on the images that decide, and see what it costs."""

        def work() -> dict[str, Any]:
            try:
                return asdict(self._measured(choice))
            except (RefusedError, ToolError) as err:
                if not choice.mixed.lifted:
                    raise
                return asdict(choice.attempt(0.0, good=False, cost=None, size=0, error=str(err)))

        return Attempt(**self.record.kept(f"{choice.method} {sorted(choice.mixed.lifted)}", work))

    def _measured(self, choice: Choice) -> Attempt:
        name = f"auto {choice.lifted:.0%}" if choice.mixed.lifted else f"auto {choice.method}"
        job = self._at(_by(self.job, choice.method), f"{choice.method}-{choice.lifted:.4f}")
        job = self.given.backend.trial(replace(job, mixed=choice.mixed))
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
        real = bool(timed.seconds) and job.target.times
        cost = float(np.median(timed.seconds)) if real else cycles
        size = sum((out / file.path).stat().st_size for file in built.files if file.ships)
        self.given.progress(name, 1.0, "")
        shutil.rmtree(out.parent)
        least = min(report.agreement for report in reports)
        good = least >= self.terms.agreement and all(report.verdict != "fails" for report in reports)
        known = cost if isinstance(cost, int | float) else None
        return choice.attempt(least, good=good, cost=known, size=size)

    def _compared(self, job: BuildJob, outputs: tuple[Path, ...], folder: Path) -> ParityReport:
        maps = class_maps(job.contract, outputs, self.images, folder)
        return measure(
            pairs(self.images, self.reference, maps),
            labels=job.contract.labels,
            dataset="calibration images that are held out",
            tolerance=Limits(1 - self.terms.agreement),
        )

    def _at(self, job: BuildJob, name: str) -> BuildJob:
        """The build with a folder of its own to work in; its logs are the whole build's."""
        scratch = self.folder / name / "scratch"
        scratch.mkdir(parents=True)
        return replace(job, space=WorkDir(scratch, job.space.logs))

    def _tell(self, stage: str, start: float = 0.0, end: float = 1.0) -> OnProgress:
        return lambda share, note: self.given.progress(stage, min(start + (end - start) * share, 0.999), note)


def held_out(images: int, most: int) -> tuple[int, ...]:
    """Which of the calibration images decide: evenly spread, a quarter of them at most."""
    count = max(1, min(most, images // 4))
    return tuple(int(i) for i in np.linspace(0, images - 1, count + 2)[1:-1].round())


def _by(job: BuildJob, method: Method) -> BuildJob:
    """The build with ranges found in this way."""
    calibration = job.recipe.calibration.model_copy(update={"method": method})
    return replace(job, recipe=job.recipe.model_copy(update={"calibration": calibration}))
