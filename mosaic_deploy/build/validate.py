"""Files that others made, held against a reference on images: the parity gate without a build.

reference  a model card, an .onnx, or an artifact's folder -> class maps
artifact   opened, prepared for by its own contract, run by its own runtime -> class maps -> parity
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mosaic_deploy.accuracy.parity import ParityReport, measure
from mosaic_deploy.artifact.foreign import Foreign, Stated, open_foreign
from mosaic_deploy.artifact.open import Artifact, open_artifact, workspace
from mosaic_deploy.backends.protocol import WorkDir
from mosaic_deploy.backends.reference import TOOLCHAIN
from mosaic_deploy.build.float_graph import FloatGraph, write_float_graph
from mosaic_deploy.build.inputs import ValidationImage, prepare_inputs
from mosaic_deploy.build.model_source import InputOptions, find_model
from mosaic_deploy.build.reference_maps import Maps, class_maps, pairs, reference_maps
from mosaic_deploy.build.report import UNDECIDED
from mosaic_deploy.datasets import open_data
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.errors import ModelError, MosaicError, UsageError
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import LabelSpace
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.specs.registry import locate_spec, read_spec
from mosaic_deploy.specs.toolchain import require_toolchain
from mosaic_deploy.workers.progress import StageProgress, silent

SCHEMA = 1
TOLERANCE, AGREEMENT_TOLERANCE = 0.01, 0.05
"""Largest drop of mIoU that passes, and without labels the largest share of pixels that change."""


@dataclass(frozen=True, slots=True)
class ValidationRequest:
    """What a person asked to validate."""

    reference: str
    artifacts: tuple[Path, ...]
    data: str
    """``NAME[:DIR]``."""
    images: int | None = None
    tolerance: float | None = None
    contract: str | None = None
    """A model card that says what the artifacts take."""
    stated: Stated = field(default_factory=Stated)
    """What is said of the artifacts' inputs on the command line."""
    input: InputOptions = field(default_factory=InputOptions)
    """The same of the reference's, where that is an ONNX file without a card."""


@dataclass(frozen=True, slots=True)
class Validated:
    """What came of one artifact."""

    artifact: str
    contract_from: str = ""
    """Who said what it takes."""
    feeding: str = ""
    """Mean, scale, colour, layout and output kind that were used, in words."""
    ran_on: str = ""
    variants: tuple[tuple[str, ParityReport], ...] = ()
    error: str = ""
    """Why there is no verdict."""
    exit_code: int = 0
    """That of the error."""

    @property
    def parity(self) -> ParityReport | None:
        """Of the variant that does worst."""
        return min((p for _, p in self.variants), key=lambda p: p.rank, default=None)

    @property
    def passed(self) -> bool:
        """Whether parity holds."""
        return self.parity is not None and self.parity.passed

    @property
    def verdict(self) -> str:
        """In two words at most."""
        if self.parity is None:
            return "no verdict"
        return "passed" if self.passed else "undecided" if self.parity.undecided else "parity failed"

    def to_json(self) -> dict[str, object]:
        """Its entry in ``--json``."""
        return {
            "artifact": self.artifact,
            "passed": self.passed,
            "verdict": self.verdict,
            "contract_from": self.contract_from,
            "feeding": self.feeding,
            "ran_on": self.ran_on,
            "parity": None if self.parity is None else self.parity.to_json(),
            "variants": {name: parity.to_json() for name, parity in self.variants},
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class _Reference:
    contract: Contract
    images: tuple[ValidationImage, ...]
    maps: Maps
    tied: float = 0.0
    """Share of the pixels on which its best scores tie."""


def validate(request: ValidationRequest, *, progress: StageProgress = silent) -> tuple[Validated, ...]:
    """Compare each artifact with the reference, in their order.

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
        base = reference.contract
        if request.contract is not None:
            base = read_spec(ModelCard, locate_spec(ModelCard, request.contract)).contract
        results = []
        for index, path in enumerate(request.artifacts):
            own = _own_space(space, index)
            try:
                item = open_foreign(path, base=base, stated=request.stated, space=own)
                results.append(_compare(item, reference, dataset, own, progress, request.tolerance))
            except MosaicError as err:
                if len(request.artifacts) == 1:
                    raise
                results.append(Validated(str(path), error=str(err), exit_code=err.exit_code))
        return tuple(results)


def exit_code(results: Sequence[Validated]) -> int:
    """0 where all passed, 1 where parity failed, else that of the first error, 4 for an undecided one."""
    codes = [
        result.exit_code
        or (0 if result.passed else UNDECIDED if result.parity and result.parity.undecided else 1)
        for result in results
    ]
    return 1 if 1 in codes else next((c for c in codes if c not in (0, UNDECIDED)), max(codes, default=0))


def to_json(results: Sequence[Validated]) -> dict[str, object]:
    """The object that ``validate --json`` prints."""
    passed = bool(results) and all(result.passed for result in results)
    return {"schema": SCHEMA, "passed": passed, "artifacts": [result.to_json() for result in results]}


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
    return _Reference(contract, inputs.images, made.maps, made.tied), dataset


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
    _, maps = _maps(item, inputs.validation, inputs.images, inside, progress)
    return _Reference(item.contract, inputs.images, next(iter(maps.values())))


def _maps(
    item: Foreign,
    prepared: tuple[Path, ...],
    images: tuple[ValidationImage, ...],
    space: WorkDir,
    progress: StageProgress,
) -> tuple[str, dict[str, Maps]]:
    """What ran it, and class maps of each variant, the main one first."""
    require_toolchain(item.runner.toolchain, progress)
    ran = item.runner.run(
        item.built,
        item.contract,
        prepared,
        space=space,
        on_progress=lambda s, note: progress(f"run {item.path.name}", s, note),
    )
    progress(f"run {item.path.name}", 1.0, "")
    outputs = {ran.name: ran.outputs, **ran.others}
    folder = space.scratch / "maps"
    maps = {name: class_maps(item.contract, paths, images, folder / name) for name, paths in outputs.items()}
    return str(ran.facts.get("ran_on", "")), maps


def _compare(
    item: Foreign,
    reference: _Reference,
    dataset: FileDataset,
    space: WorkDir,
    progress: StageProgress,
    tolerance: float | None,
) -> Validated:
    prepared = []
    folder = space.scratch / "inputs"
    folder.mkdir()
    for index in range(len(dataset)):
        prepared.append(folder / f"{index:05d}.npy")
        np.save(prepared[-1], item.contract.prepare(dataset[index].image), allow_pickle=False)
        progress(f"prepare {item.path.name}", (index + 1) / len(dataset), "")
    ran_on, maps = _maps(item, tuple(prepared), reference.images, space, progress)
    limit = tolerance
    if limit is None:
        limit = TOLERANCE if dataset.labelled else AGREEMENT_TOLERANCE
    variants = tuple(
        (
            name,
            measure(
                pairs(reference.images, reference.maps, found),
                labels=reference.contract.labels,
                dataset=dataset.name,
                tolerance=limit,
                groups=tuple(image.group for image in reference.images),
                tied=reference.tied,
            ),
        )
        for name, found in maps.items()
    )
    return Validated(
        artifact=str(item.path),
        contract_from=item.contract_from,
        feeding=_feeding(item),
        ran_on=ran_on,
        variants=variants,
    )


def _feeding(item: Foreign) -> str:
    from mosaic_deploy.artifact.feeding import how_to_feed

    return f"{how_to_feed(item.contract, item.built.facts['input'])}, output {item.contract.output}"
