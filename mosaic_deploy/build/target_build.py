"""One model on one target: checked, converted, compiled, run and compared.

op check -> backend.convert -> is it still the same network? -> backend.build -> backend.run -> parity
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mosaic_deploy.accuracy.parity import ParityReport, measure
from mosaic_deploy.artifact.feeding import how_to_feed
from mosaic_deploy.backends.protocol import BuildJob, CompiledModel, File, Layout, MixedBackend, Run, WorkDir
from mosaic_deploy.build import stages
from mosaic_deploy.build.auto import Found, Searching, find
from mosaic_deploy.build.calibration_text import audited
from mosaic_deploy.build.candidate_run import Comparison, Ran, run_candidate
from mosaic_deploy.build.describe import describe, description
from mosaic_deploy.build.golden_sample import write_sample
from mosaic_deploy.build.inputs import reorder_axes
from mosaic_deploy.build.order import BuildState, Common, TargetBuild
from mosaic_deploy.build.pictures import Pictures
from mosaic_deploy.build.reference_maps import Maps, class_maps, pairs
from mosaic_deploy.build.report import BuildReport, Conversion
from mosaic_deploy.build.stages import Measuring
from mosaic_deploy.build.wide_operators import kept_in_8_bits
from mosaic_deploy.errors import UsageError
from mosaic_deploy.files import moved_in_folder
from mosaic_deploy.workers.kept_logs import kept_logs
from mosaic_deploy.workers.progress import OnProgress, StageProgress, counting


def build(order: TargetBuild, common: Common, *, progress: StageProgress) -> BuildReport:
    """Make and validate one artifact; a failed check is in the report.

    Raises ``MosaicError`` where a tool failed, and then leaves nothing behind but a log that it names.
    """
    begun = time.monotonic()
    item = order.plan
    with moved_in_folder(item.place, force=order.may_replace) as folder:
        space = WorkDir(folder / "scratch", folder / "logs")
        space.scratch.mkdir()
        space.logs.mkdir()
        for log in sorted((common.graph.path.parent / "logs").iterdir()):
            shutil.copy2(log, space.logs / log.name)
        shutil.copyfile(order.fitted.file, folder / "model.onnx")
        made = BuildState(files=(File("model.onnx", "float-onnx"),), steps=(common.graph.step,))
        if order.checked is None or order.checked.passed:
            with kept_logs(space.logs):
                made = TargetBuilder(order, common, folder, space, progress).prove(made)
        shutil.rmtree(space.scratch)
        return describe(order, folder, replace(made, seconds=time.monotonic() - begun))


@dataclass(frozen=True, slots=True)
class TargetBuilder:
    """The work of one build in its folder."""

    order: TargetBuild
    common: Common
    folder: Path
    space: WorkDir
    progress: StageProgress

    def prove(self, made: BuildState) -> BuildState:
        """Convert, compile, run and compare."""
        job = self.job()
        inputs = self.turned(self.common.inputs.validation, "inputs", job)
        reference = self.common.references[self.order.kind]
        made = replace(
            made,
            contract=job.contract,
            steps=(*made.steps, reference.step),
            output_change=self._output_change(),
        )
        lossy = self._after_lossy_fixes()
        converted, changed, made = self._convert(job, inputs, made, lossy)
        if made.conversion is not None and not made.conversion.passed:
            return made
        backend = self.order.plan.backend
        found = self._searched(job, converted)
        job, converted = found.job, found.converted
        built = backend.build(job, converted, self.folder, on_progress=self._on_progress("build"))
        self.progress("build", 1.0, "")
        ran = self._run_candidate(built, job, inputs, may_stop=converted is None)
        run = ran.run
        first, _ = ran.first
        pixels, place = self._pictures().pixels(first), self.order.plan.place
        sample = (
            ()
            if pixels is None
            else write_sample(built, job.contract, ran, pixels, inputs[first], place.name)
        )
        some = self._only(ran.indices)
        pictures = some._pictures()
        preview = pictures.write(self.folder, ran.maps[run.name], self.order.plan.target.name)
        variants = some._compare(ran.maps, ran.reports)
        decisive = min(variants, key=lambda name: variants[name].rank)
        output_change = made.output_change if some is self else some._output_change()
        measuring = Measuring(some.common.inputs, self.space, some._against_float, self.progress)
        early = (
            stages.exported(self._export_change(), self.common.eager.why),
            stages.output_kind(output_change),
            stages.fixed(
                self.order.fitted,
                self.common.graph.contract_of(self.order.kind),
                measuring,
                known=None if lossy is None else lossy.only(ran.indices),
            ),
            stages.converted(None if changed is None else self._against_float(changed)),
            stages.quantised(built, job.contract, tuple(inputs[i] for i in ran.indices), measuring),
        )
        self.progress("stages", 1.0, "")
        views = pictures.write_views(self.folder, ran.maps[decisive])
        return replace(
            made,
            files=(*made.files, *built.files, preview, *views, *sample),
            steps=(*made.steps, *built.steps, *run.steps),
            facts={
                **built.facts,
                **run.facts,
                **({"search": found.facts} if found.facts else {}),
                **audited(self.order.plan.ranges),
                "feeding": how_to_feed(job.contract, built.facts["input"]),
            },
            output_change=output_change,
            variants=variants,
            stages=(*early, *stages.on_target(variants)),
        )

    def _only(self, indices: Sequence[int]) -> TargetBuilder:
        """The same with these validation images alone."""
        if len(indices) == len(self.common.inputs.images):
            return self
        return replace(self, order=self.order.only(indices), common=self.common.only(indices))

    def job(self) -> BuildJob:
        """What the backend is asked to build."""
        item, graph = self.order.plan, self.common.graph
        layout: Layout = item.target.layout or graph.contract.layout
        contract = graph.contract_of(self.order.kind).model_copy(update={"layout": layout})
        job = BuildJob(
            onnx=self.folder / "model.onnx",
            layout=graph.contract.layout,
            contract=contract,
            target=item.target,
            recipe=item.recipe,
            calibration=(),
            description=description(item, contract),
            space=self.space,
            ranges=item.ranges.ends if item.ranges else {},
        )
        calibration = self.common.inputs.calibrations[len(item.calibration)]
        return replace(job, calibration=self.turned(calibration, "calibration", job))

    def turned(self, paths: Sequence[Path], name: str, job: BuildJob) -> tuple[Path, ...]:
        """Inputs in the order of axes that the artifact takes."""
        folder = self.space.scratch / name
        return reorder_axes(paths, folder, have=job.layout, want=job.contract.layout)

    def _after_lossy_fixes(self) -> Maps | None:
        """What the network gives as passes left it, where they changed more than rounding."""
        fitted = self.order.fitted
        if fitted.fixed is None or fitted.fixed.exact:
            return None
        measuring = Measuring(self.common.inputs, self.space, self._against_float, self.progress)
        contract = self.common.graph.contract_of(self.order.kind)
        maps = stages.rewritten(fitted, contract, measuring, self._on_progress("fixes"))
        self.progress("fixes", 1.0, "")
        return maps

    def _convert(
        self, job: BuildJob, inputs: tuple[Path, ...], made: BuildState, lossy: Maps | None
    ) -> tuple[CompiledModel | None, Maps | None, BuildState]:
        """The float network in the runtime's own format, and how it compares before anything is quantised.

        ``lossy`` are the maps of the network as lossy passes left it.
        """
        item = self.order.plan
        converted = item.backend.convert(job, on_progress=self._on_progress("convert"))
        self.progress("convert", 1.0, "")
        if converted is None:
            return None, None, made
        run = self._run(converted, job, inputs, "float run")
        maps = self._maps(run, job, "float run")
        parity = self._measure(self.common.references[self.order.kind].maps, maps[run.name])
        precision = str(run.facts["precision"])
        steps = (*made.steps, *converted.steps, *(replace(s, name=f"float {s.name}") for s in run.steps))
        fixed = None if lossy is None else self._measure(lossy, maps[run.name])
        conversion = Conversion(parity, precision, item.model.card.untrained, fixed)
        return converted, maps[run.name], replace(made, steps=steps, conversion=conversion)

    def _searched(self, job: BuildJob, converted: CompiledModel | None) -> Found:
        """The build with what the recipe looks for; as it is, without facts, where it looks for nothing."""
        if job.recipe.search is None:
            return Found(job, converted, {})
        item = self.order.plan
        backend = item.backend
        if not isinstance(backend, MixedBackend):
            raise UsageError(f"recipe {item.recipe.name}: target {item.target.name} has 8 bits and no finer")
        return find(
            Searching(
                job=job,
                backend=backend,
                converted=converted,
                plain_inputs=self.common.inputs.calibrations[len(item.calibration)],
                images=item.calibration,
                blocked=kept_in_8_bits(item, job.onnx, backend.lifts_to(item.target)),
                made_from=self.order.made_from,
                progress=self.progress,
            )
        )

    def _run(self, built: CompiledModel, job: BuildJob, inputs: tuple[Path, ...], stage: str) -> Run:
        item = self.order.plan
        run = item.backend.run(
            built,
            job.contract,
            inputs,
            space=self.space,
            on_progress=counting(self._on_progress(stage), len(inputs)),
        )
        self.progress(stage, 1.0, "")
        return run

    def _run_candidate(
        self, built: CompiledModel, job: BuildJob, inputs: tuple[Path, ...], *, may_stop: bool
    ) -> Ran:
        """Run what was built; on a slow runtime on as many images as it takes."""
        item, contract = self.order.plan, self.common.graph.contract
        against = Comparison(
            images=self.common.inputs.images,
            reference=self.common.references[contract.output],
            contract=job.contract,
            labels=contract.labels,
            dataset=item.validation.name,
            limits=item.limits,
        )
        whole = against.know() if may_stop and item.target.slow and not item.all_images else None
        count, done = len(inputs), 0
        tell = counting(self._on_progress("run"), count)

        def run(indices: Sequence[int]) -> Run:
            nonlocal done
            before, done = done, done + len(indices)
            return item.backend.run(
                built,
                job.contract,
                tuple(inputs[index] for index in indices),
                space=self.space,
                on_progress=lambda share, note: tell((before + share * len(indices)) / count, note),
            )

        ran = run_candidate(run, against, self.space.scratch / "maps-run", whole=whole)
        self.progress("run", 1.0, "")
        return ran

    def _maps(self, run: Run, job: BuildJob, stage: str) -> Mapping[str, Maps]:
        """Class maps of every variant; the outputs themselves are removed."""
        ran = {**run.others, run.name: run.outputs}
        place = self.space.scratch / f"maps-{stage.replace(' ', '-')}"
        return {
            name: class_maps(job.contract, paths, self.common.inputs.images, place / name)
            for name, paths in ran.items()
        }

    def _compare(
        self, maps: Mapping[str, Maps], known: Mapping[str, ParityReport]
    ) -> dict[str, ParityReport]:
        first = self.common.references[self.common.graph.contract.output]
        found = {}
        for index, (name, candidate) in enumerate(maps.items()):
            self.progress("parity", index / len(maps), name)
            measured = known.get(name) or self._measure(first.maps, candidate, tied=first.tied)
            found[name] = measured.named(self._names)
        self.progress("parity", 1.0, "")
        return found

    def _export_change(self) -> ParityReport | None:
        """What the export to ONNX cost, where PyTorch ran too."""
        eager = self.common.eager
        if eager.maps is None:
            return None
        few = self._only(eager.indices)
        return few._measure(eager.maps, few.common.references[few.common.graph.contract.output].maps)

    def _output_change(self) -> ParityReport | None:
        """What giving another kind of output than the card's costs, in float."""
        own = self.common.graph.contract.output
        if own == self.order.kind:
            return None
        references = self.common.references
        return self._measure(references[own].maps, references[self.order.kind].maps)

    def _against_float(self, candidate: Maps) -> ParityReport:
        return self._measure(self.common.references[self.common.graph.contract.output].maps, candidate)

    def _measure(self, first: Maps, second: Maps, *, tied: float = 0.0) -> ParityReport:
        dataset = self.order.plan.validation
        return measure(
            pairs(self.common.inputs.images, first, second),
            labels=self.common.graph.contract.labels,
            dataset=dataset.name,
            tolerance=self.order.plan.limits,
            groups=tuple(image.group for image in self.common.inputs.images),
            tied=tied,
        ).named(self._names)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.order.plan.validation.items)

    def _pictures(self) -> Pictures:
        contract = self.common.graph.contract
        first = self.common.references[contract.output].maps
        return Pictures(self.order.plan.validation, self.common.inputs.images, first, contract.labels)

    def _on_progress(self, stage: str) -> OnProgress:
        return lambda share, note: self.progress(stage, min(share, 0.999), note)
