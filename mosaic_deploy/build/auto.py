"""Recipe ``auto``: the cheapest of several precisions that keeps parity on the target's own runtime.

8 bits throughout ─► good enough on held-out images? ─ no ─► the same, its ranges found in another way
        │ still no
        ▼
the same with corrected biases, if images of another domain confirm them
        │ still no
        ▼
rank the activations ─► lift the worst ─► compile, run, compare ─► ... ─► the cheapest that will do

Which images decide: some of the calibration set, which no range is made of then. Validation images decide
nothing here; parity is measured on them afterwards, as for any recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_deploy.backends.protocol import BuildJob, CompiledModel, MixedBackend, RankingTerms
from mosaic_deploy.build.auto_biases import try_biases
from mosaic_deploy.build.auto_choice import Attempt, Choice, cheapest, closest
from mosaic_deploy.build.auto_record import Record
from mosaic_deploy.build.auto_trial import Trials
from mosaic_deploy.build.inputs import ValidationImage
from mosaic_deploy.build.other_domain import OtherDomain
from mosaic_deploy.build.reference_maps import class_maps, predict
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.errors import UsageError
from mosaic_deploy.quantize.decisions import picture
from mosaic_deploy.quantize.mixed import Mixed
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.recipe import Method, Search
from mosaic_deploy.workers.progress import StageProgress

_FEWEST = 4
"""Calibration images; of fewer, none can be spared to decide."""


@dataclass(frozen=True, slots=True)
class Searching:
    """What is searched for, and with what."""

    job: BuildJob
    """With all calibration images, in the artifact's layout."""
    backend: MixedBackend
    converted: CompiledModel | None
    plain_inputs: tuple[Path, ...]
    """The same images in the graph's own layout."""
    images: FileDataset
    """The same images as files."""
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
    converted: CompiledModel | None
    """Its float network in the runtime's own format, as ``Searching`` has it."""
    facts: dict[str, object]
    """``goal``, ``held_out``, ``lifts_to``, ``cost_unit``, ``attempts`` (of ``Attempt``), ``chosen`` (which
    of them), ``reached``, and ``biases``, None where that was not come to: whether corrected ones were
    ``kept``, ``why`` none were ``tried``, and of each that was its ``layers``, equalised ``pairs``, ``why``
    it was not kept, and before and after the share of the pixels ``changed`` on the images held out, and
    ``changed_elsewhere`` on those that ``elsewhere`` names."""


def find(search: Searching) -> Found:
    """Look for the cheapest build that reaches the recipe's goal; for the best one where none does.

    Raises:
        UsageError: too few calibration images, or a recipe without ``search``.
        MosaicError: the network cannot be compiled in 8 bits either.
    """
    return _Search.of(search).run()


@dataclass(frozen=True, slots=True)
class _Search:
    """The ladder of one search."""

    terms: Search
    given: Searching
    trials: Trials
    elsewhere: OtherDomain

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
        outputs, _ = predict(
            job.onnx,
            [given.plain_inputs[i] for i in held],
            folder / "float",
            job.space.logs,
            on_progress=lambda share, note: given.progress("auto float", share, note),
        )
        contract = job.contract.model_copy(update={"layout": job.layout})
        images = tuple(ValidationImage(size_shown(contract, given.plain_inputs[i]), None) for i in held)
        rest = tuple(path for i, path in enumerate(job.calibration) if i not in held)
        trials = Trials(
            job=replace(job, calibration=rest, kept_ranges=folder / "ranges"),
            backend=given.backend,
            converted=given.converted,
            goal=terms.agreement,
            deciding=tuple(job.calibration[i] for i in held),
            reference=class_maps(contract, outputs, images, folder / "float-maps"),
            images=images,
            folder=folder,
            record=Record.of(given.made_from),
            progress=given.progress,
        )
        return cls(terms, given, trials, OtherDomain.of(given.images, held))

    def run(self) -> Found:
        """The whole ladder, as far up as is needed."""
        trials, backend = self.trials, self.given.backend
        method, biases = trials.job.recipe.calibration.method, None
        best = trials.attempt(Choice(method))
        attempts, lifts = [best], list[Choice]()
        if not best.good and (other := self._other_method(method)) is not None:
            attempts.append(trials.attempt(Choice(other)))
            if attempts[-1].agreement > best.agreement:
                method, best = other, attempts[-1]
        if not best.good:
            outcome = try_biases(trials, method, best, self.elsewhere)
            trials, biases = outcome.trials, outcome.facts
            attempts += [outcome.attempt] if outcome.attempt is not None else []
            best = attempts[-1] if trials.corrected else best
        tried, finer = {0: best}, backend.lifts_to(trials.job.target)
        if not best.good and finer is not None:
            ranked = self._ranked(trials, method)
            lifts = [Choice.of(method, step) for step in ranked["steps"]]
            self._climb(trials, lifts, best.agreement - float(ranked["agreement"]), tried)
            attempts += [tried[index] for index in sorted(tried) if index]
        good = {index: attempt for index, attempt in tried.items() if attempt.good}
        simulated = not trials.job.target.times
        chosen = cheapest(good, simulated=simulated) if good else closest(tried, simulated=simulated)
        facts: dict[str, object] = {
            "goal": self.terms.agreement,
            "held_out": len(trials.deciding),
            "calibrated_on": len(trials.job.calibration),
            "lifts_to": finer,
            "cost_unit": "simulated cycles" if simulated else "seconds",
            "attempts": [asdict(attempt) for attempt in attempts],
            "chosen": attempts.index(tried[chosen]),
            "reached": tried[chosen].good,
            "biases": biases,
        }
        mixed = lifts[chosen - 1].mixed if chosen else Mixed()
        return Found(replace(trials.using(method), mixed=mixed), trials.converted, facts)

    def _other_method(self, own: Method) -> Method | None:
        """The method that is predicted to do better than the recipe's; None where none is."""
        trials, backend = self.trials, self.given.backend
        names = (own, *(name for name in backend.methods if name != own))

        def work() -> dict[str, Any]:
            terms = RankingTerms(trials.deciding, (), methods=names)
            job = trials.at(trials.job, "methods")
            return dict(backend.rank(job, terms, on_progress=trials.tell("auto ranges")))

        best: Method = trials.record.kept("methods", work)["method"]
        return best if best != own else None

    def _climb(
        self, trials: Trials, lifts: Sequence[Choice], shift: float, tried: dict[int, Attempt]
    ) -> None:
        """Begin with the smallest lift that is predicted to do, go up until one does, then one down."""

        def attempt(index: int) -> bool:
            if index not in tried:
                tried[index] = trials.attempt(lifts[index - 1])
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

    def _ranked(self, trials: Trials, method: Method) -> Mapping[str, Any]:
        def work() -> dict[str, Any]:
            few = min(self.terms.ranked, len(trials.deciding))
            terms = RankingTerms(trials.deciding, self.terms.shares, self.given.blocked, ranked=few)
            job = trials.by(method, "rank")
            return dict(self.given.backend.rank(job, terms, on_progress=trials.tell("auto rank")))

        return trials.record.kept(trials.named(f"ranking by {method}"), work)


def size_shown(contract: Contract, prepared: Path) -> tuple[int, int]:
    """Height and width at which the class map of a prepared image is compared: its padding left out."""
    own = (contract.height, contract.width)
    if contract.resize != "letterbox":
        return own
    rows, columns = picture(np.load(prepared, allow_pickle=False))
    return round(rows * own[0]), round(columns * own[1])


def held_out(images: int, most: int) -> tuple[int, ...]:
    """Which of the calibration images decide: evenly spread, a quarter of them at most."""
    count = max(1, min(most, images // 4))
    return tuple(int(i) for i in np.linspace(0, images - 1, count + 2)[1:-1].round())
