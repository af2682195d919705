"""One choice of recipe ``auto`` after another, compiled, run on the images that decide, and timed."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_deploy.accuracy.limits import Limits
from mosaic_deploy.accuracy.parity import ParityReport, measure
from mosaic_deploy.backends.protocol import BuildJob, CompiledModel, MixedBackend, TimingConfig, WorkDir
from mosaic_deploy.build.auto_choice import Attempt, Choice
from mosaic_deploy.build.auto_record import Record
from mosaic_deploy.build.inputs import ValidationImage
from mosaic_deploy.build.reference_maps import Maps, class_maps, pairs
from mosaic_deploy.errors import RefusedError, ToolError
from mosaic_deploy.specs.recipe import Method
from mosaic_deploy.workers.progress import OnProgress, StageProgress

_WARM_UP, _RUNS, _THREADS = 1, 5, 2


@dataclass(frozen=True, slots=True)
class Trials:
    """Where choices are tried, and what they are held against."""

    job: BuildJob
    """With the images that are calibrated on."""
    backend: MixedBackend
    converted: CompiledModel | None
    goal: float
    """Share of the pixels that must keep their class, in [0, 1]."""
    deciding: tuple[Path, ...]
    """The images that decide, as the artifact takes them."""
    reference: Maps
    images: tuple[ValidationImage, ...]
    folder: Path
    record: Record
    progress: StageProgress
    corrected: bool = False
    """Whether the network is that with corrected biases."""

    def attempt(self, choice: Choice) -> Attempt:
        """Compile it, run it on the images that decide, and see what it costs."""

        def work() -> dict[str, Any]:
            try:
                return asdict(self._measured(choice))
            except (RefusedError, ToolError) as err:
                if not choice.mixed.lifted:
                    raise
                return asdict(self._came_to(choice, 0.0, good=False, cost=None, size=0, error=str(err)))

        return Attempt(**self.record.kept(self.named(f"{choice.method} {sorted(choice.mixed.lifted)}"), work))

    def by(self, method: Method, name: str) -> BuildJob:
        """The build with ranges found in this way, and a folder of its own to work in."""
        return self.at(self.using(method), name)

    def using(self, method: Method) -> BuildJob:
        """The build with ranges found in this way."""
        calibration = self.job.recipe.calibration.model_copy(update={"method": method})
        return replace(self.job, recipe=self.job.recipe.model_copy(update={"calibration": calibration}))

    def at(self, job: BuildJob, name: str) -> BuildJob:
        """A build with a folder of its own to work in; its logs are the whole build's."""
        scratch = self.folder / self.named(name).replace(" ", "-") / "scratch"
        scratch.mkdir(parents=True)
        return replace(job, space=WorkDir(scratch, job.space.logs))

    def named(self, name: str) -> str:
        """The name of something that is of this network alone."""
        return f"corrected {name}" if self.corrected else name

    def tell(self, stage: str, start: float = 0.0, end: float = 1.0) -> OnProgress:
        """Progress of a part of a stage."""
        return lambda share, note: self.progress(stage, min(start + (end - start) * share, 0.999), note)

    def _measured(self, choice: Choice) -> Attempt:
        what = f"{choice.lifted:.0%}" if choice.mixed.lifted else choice.method
        name = f"auto {self.named(what)}"
        job = self.by(choice.method, f"{choice.method}-{choice.lifted:.4f}")
        job = self.backend.trial(replace(job, mixed=choice.mixed))
        out = job.space.scratch.parent / "out"
        out.mkdir()
        built = self.backend.build(job, self.converted, out, on_progress=self.tell(name, 0.0, 0.5))
        ran = self.backend.run(
            built, job.contract, self.deciding, space=job.space, on_progress=self.tell(name, 0.5, 0.9)
        )
        reports = [
            self._compared(job, paths, out.parent / f"maps-{variant}")
            for variant, paths in {**ran.others, ran.name: ran.outputs}.items()
        ]
        timing = TimingConfig(self.deciding[0], _WARM_UP, _RUNS, _THREADS)
        timed = self.backend.time(built, timing, space=job.space)
        cycles = timed.facts.get("cycles")
        real = bool(timed.seconds) and job.target.times
        cost = float(np.median(timed.seconds)) if real else cycles
        size = sum((out / file.path).stat().st_size for file in built.files if file.ships)
        self.progress(name, 1.0, "")
        shutil.rmtree(out.parent)
        least = min(report.agreement for report in reports)
        good = least >= self.goal and all(report.verdict != "fails" for report in reports)
        known = cost if isinstance(cost, int | float) else None
        return self._came_to(choice, least, good=good, cost=known, size=size)

    def _came_to(self, choice: Choice, agreement: float, **rest: Any) -> Attempt:
        return replace(choice.attempt(agreement, **rest), corrected=self.corrected)

    def _compared(self, job: BuildJob, outputs: tuple[Path, ...], folder: Path) -> ParityReport:
        maps = class_maps(job.contract, outputs, self.images, folder)
        return measure(
            pairs(self.images, self.reference, maps),
            labels=job.contract.labels,
            dataset="calibration images that are held out",
            tolerance=Limits(1 - self.goal),
        )
