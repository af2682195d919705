"""Files that others made, held against a reference on images: the parity gate without a build.

reference  a model card, an .onnx, or an artifact's folder -> class maps
artifact   opened, prepared for by its own contract, run by its own runtime -> class maps -> parity
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from mosaic_deploy.accuracy.limits import Limits
from mosaic_deploy.accuracy.parity import measure
from mosaic_deploy.artifact.basis import Basis, of_card
from mosaic_deploy.artifact.file_kinds import Runner
from mosaic_deploy.artifact.foreign import Foreign, Stated, open_foreign
from mosaic_deploy.artifact.open import Artifact, open_artifact, workspace
from mosaic_deploy.backends.protocol import Run, WorkDir
from mosaic_deploy.backends.reference import TOOLCHAIN
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.build.candidate_run import Comparison, run_candidate
from mosaic_deploy.build.float_graph import FloatGraph, write_float_graph
from mosaic_deploy.build.inputs import ValidationImage, prepare_inputs
from mosaic_deploy.build.model_source import InputOptions, find_model
from mosaic_deploy.build.reference_maps import Reference, class_maps, pairs, reference_maps
from mosaic_deploy.build.validated import Validated
from mosaic_deploy.datasets import open_data
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.errors import ModelError, MosaicError, UsageError
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import LabelSpace
from mosaic_deploy.specs.registry import load_spec, spec_names
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.specs.toolchain import require_toolchain
from mosaic_deploy.workers.progress import StageProgress, silent

TOLERANCE, AGREEMENT_TOLERANCE = 0.01, 0.05
"""Largest drop of mIoU that passes, and without labels the largest share of pixels that change."""


@dataclass(frozen=True, slots=True)
class ValidationRequest:
    """What is validated, against what, on which images."""

    reference: str
    artifacts: tuple[Path, ...]
    data: str
    """``NAME[:DIR]``."""
    images: int | None = None
    all_images: bool = False
    """Run every image, also on a slow runtime where fewer make the verdict certain."""
    tolerance: float | None = None
    contract: str | None = None
    """A model card that says what the artifacts take."""
    stated: Stated = field(default_factory=Stated)
    """What is said of the artifacts' inputs on the command line."""
    input: InputOptions = field(default_factory=InputOptions)
    """The same of the reference's, where that is an ONNX file without a card."""


@dataclass(frozen=True, slots=True)
class _Reference:
    contract: Contract
    images: tuple[ValidationImage, ...]
    found: Reference


def validate(request: ValidationRequest, *, progress: StageProgress = silent) -> tuple[Validated, ...]:
    """Run artifacts on their own runtimes, and compare each with the reference, in their order.

    Where several are named, one that cannot be opened or run is among the results, and the others go on.

    Raises ``MosaicError`` for a wrong request or reference, for an artifact that is not there, and for what
    is wrong with the only one.
    """
    tolerance = request.tolerance
    if tolerance is not None and not 0 <= tolerance <= 1:
        raise UsageError(f"tolerance {tolerance} is not between 0 and 1")
    if not request.artifacts:
        raise UsageError("name at least one artifact: a file, or a folder that 'mosaic-deploy build' wrote")
    for path in request.artifacts:
        if not path.exists():
            raise ModelError(f"{path}: no such file or folder")
    require_toolchain(TOOLCHAIN, progress)
    with workspace() as space:
        reference, dataset = _reference(request, space, progress)
        basis = Basis(reference.contract, "the reference's")
        if request.contract is not None:
            basis = of_card(request.contract)
        results = []
        for index, path in enumerate(request.artifacts):
            own = _own_space(space, index)
            try:
                item = open_foreign(
                    path,
                    basis=basis,
                    stated=request.stated,
                    space=own,
                    on_progress=partial(progress, f"open {path.name}"),
                )
                results.append(_compare(item, reference, dataset, own, progress, request))
            except MosaicError as err:
                if len(request.artifacts) == 1:
                    raise
                results.append(Validated(str(path), error=str(err), exit_code=err.exit_code))
        return tuple(results)


def _own_space(space: WorkDir, index: int) -> WorkDir:
    own = WorkDir(space.scratch / f"artifact-{index}", space.logs / f"artifact-{index}")
    own.scratch.mkdir()
    own.logs.mkdir()
    return own


def _reference(
    request: ValidationRequest, space: WorkDir, progress: StageProgress
) -> tuple[_Reference, FileDataset]:
    asked = open_data(request.data, split="val")
    folder = Path(request.reference)
    if folder.is_dir():
        opened = open_artifact(folder)
        dataset = _fitting(asked, opened.contract.labels, opened.contract, request.images)
        return _run_artifact(opened, dataset, space, progress), dataset
    model = find_model(request.reference, options=request.input, labels=asked.labels)
    dataset = _fitting(asked, model.card.contract.labels, model.card.contract, request.images)
    inside = space.scratch / "reference"
    (inside / "logs").mkdir(parents=True)
    graph: FloatGraph = write_float_graph(
        model, inside, inside / "logs", on_progress=lambda s, note: progress("export", s, note)
    )
    progress("export", 1.0, "")
    inputs = prepare_inputs(
        graph.contract,
        graph.own,
        (),
        dataset,
        inside / "inputs",
        on_progress=lambda s, note: progress("decode", s, note),
    )
    kinds = graph.write_kinds(())
    found = reference_maps(graph, kinds, inputs, on_progress=lambda s, note: progress("reference", s, note))
    progress("reference", 1.0, "")
    contract = graph.own.model_copy(update={"threshold": graph.contract.threshold})
    made = found[graph.contract.output]
    return _Reference(contract, inputs.images, made), dataset


def _fitting(asked: FileDataset, labels: LabelSpace, contract: Contract, images: int | None) -> FileDataset:
    dataset = asked.read_as(labels).take(images)
    contract.require(dataset.labels, dataset=dataset.name)
    return dataset


def _run_artifact(
    opened: Artifact, dataset: FileDataset, space: WorkDir, progress: StageProgress
) -> _Reference:
    item = Foreign(opened.built.folder, opened.contract, "its manifest", opened.built, opened.load_backend())
    inside = WorkDir(space.scratch / "reference", space.logs)
    inside.scratch.mkdir()
    inputs = prepare_inputs(
        item.contract,
        item.contract,
        (),
        dataset,
        inside.scratch / "inputs",
        on_progress=lambda s, note: progress("decode", s, note),
    )
    found = _run_reference(item, inputs.validation, inputs.images, inside, progress)
    return _Reference(item.contract, inputs.images, found)


def _run_reference(
    item: Foreign,
    prepared: tuple[Path, ...],
    images: tuple[ValidationImage, ...],
    space: WorkDir,
    progress: StageProgress,
) -> Reference:
    """Class maps of the main variant; whether scores tie is asked of float networks alone."""
    require_toolchain(item.runner.toolchain, progress)
    ran = item.runner.run(
        item.built,
        item.contract,
        prepared,
        space=space,
        on_progress=lambda s, note: progress(f"run {item.path.name}", s, note),
    )
    progress(f"run {item.path.name}", 1.0, "")
    maps = class_maps(item.contract, ran.outputs, images, space.scratch / "maps")
    return Reference(maps, ran.steps[0], ())


def _compare(
    item: Foreign,
    reference: _Reference,
    dataset: FileDataset,
    space: WorkDir,
    progress: StageProgress,
    request: ValidationRequest,
) -> Validated:
    prepared = []
    folder = space.scratch / "inputs"
    folder.mkdir()
    for index in range(len(dataset)):
        prepared.append(folder / f"{index:05d}.npy")
        np.save(prepared[-1], item.contract.prepare(dataset[index].image), allow_pickle=False)
        progress(f"prepare {item.path.name}", (index + 1) / len(dataset), "")
    limit = request.tolerance
    if limit is None:
        limit = TOLERANCE if dataset.labelled else AGREEMENT_TOLERANCE
    against = Comparison(
        images=reference.images,
        reference=reference.found,
        contract=item.contract,
        labels=reference.contract.labels,
        dataset=dataset.name,
        limits=Limits(limit),
    )
    require_toolchain(item.runner.toolchain, progress)
    done = 0

    def run(indices: Sequence[int]) -> Run:
        nonlocal done
        before, done = done, done + len(indices)
        return item.runner.run(
            item.built,
            item.contract,
            tuple(prepared[index] for index in indices),
            space=space,
            on_progress=lambda share, note: progress(
                f"run {item.path.name}", (before + share * len(indices)) / len(prepared), note
            ),
        )

    whole = None if request.all_images or not _is_slow(item.runner) else against.know()
    ran = run_candidate(run, against, space.scratch / "maps", whole=whole)
    progress(f"run {item.path.name}", 1.0, "")
    names = [dataset.items[index].name for index in ran.indices]
    variants = tuple(
        (
            name,
            (
                ran.reports.get(name)
                or measure(
                    pairs(reference.images, reference.found.maps, ran.maps[name]),
                    labels=reference.contract.labels,
                    dataset=dataset.name,
                    tolerance=limit,
                    groups=tuple(image.group for image in reference.images),
                    tied=reference.found.tied,
                )
            ).named(names),
        )
        for name in (ran.run.name, *ran.run.others)
    )
    return Validated(
        artifact=str(item.path),
        contract_from=item.contract_from,
        feeding=_feeding(item),
        ran_on=_ran_on(ran.run),
        variants=variants,
    )


def _ran_on(run: Run) -> str:
    """What it ran on, and the compiled variants for which that one's outputs stand."""
    alike = " and ".join(name for name, leader in run.alike.items() if leader == run.name)
    more = f" ({alike}: the same bits)" if alike else ""
    return f"{run.facts.get('ran_on', '')}{more}"


def _is_slow(runner: Runner) -> bool:
    """Whether it is what a target runs on that says so of itself."""
    slow = (spec for spec in map(_target, spec_names(TargetSpec)) if spec.slow)
    return any(runner is load_backend(spec.backend) for spec in slow)


def _target(name: str) -> TargetSpec:
    return load_spec(TargetSpec, name)


def _feeding(item: Foreign) -> str:
    from mosaic_deploy.artifact.feeding import how_to_feed

    return f"{how_to_feed(item.contract, item.built.facts['input'])}, output {item.contract.output}"
