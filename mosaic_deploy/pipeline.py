"""deploy(): the stages in order, the same for every target.

card -> float ONNX -> op check -> calibration -> backend.build -> float reference, backend.run -> parity
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from mosaic_deploy import __version__, artifact
from mosaic_deploy.backends import BuildJob, File, Step
from mosaic_deploy.check import CheckReport, check
from mosaic_deploy.datasets.samples import FileDataset, Pixels
from mosaic_deploy.model import read_model
from mosaic_deploy.parity import ParityReport, measure
from mosaic_deploy.plan import Plan, Request, plan
from mosaic_deploy.preview import Row, draw
from mosaic_deploy.report import BuildReport
from mosaic_deploy.tools import Call, call

Progress = Callable[[str, float, str], None]
"""A stage's name, the share of it done in [0, 1], and a word on what is being done."""

_EXPORT_TIMEOUT_S = 600
_REFERENCE_TIMEOUT_S = 3600
_EXPORT_MEMORY = 8 * 2**30
_REFERENCE_MEMORY = 4 * 2**30
_PREVIEWED = 3


def deploy(request: Request, *, progress: Progress) -> tuple[BuildReport, ...]:
    """Build and prove a model on each target.

    Everything that can be refused is refused before anything is written. The artifact of each build lies
    in ``request.out / MODEL-TARGET-RECIPE``, also where a gate said no.

    Raises:
        MosaicError: the request is wrong, or a tool failed; nothing of that build is left behind.
    """
    plans = plan(request)
    return tuple(_build(item, request, progress) for item in plans)


def _build(item: Plan, request: Request, progress: Progress) -> BuildReport:
    begun = time.monotonic()
    with artifact.staged(item.place, force=request.force) as folder:
        scratch, logs = folder / "scratch", folder / "logs"
        scratch.mkdir()
        logs.mkdir()
        onnx, exported = _export(item, folder, scratch, progress)
        checked = _check(item, onnx, progress)
        made = _Made(files=(File("model.onnx", "float-onnx"),), steps=(exported,), facts={}, variants={})
        if checked.passed:
            made = _prove(item, onnx, scratch, made, progress)
        shutil.rmtree(scratch)
        return _describe(item, folder, checked, replace(made, seconds=time.monotonic() - begun))


@dataclass(frozen=True, slots=True)
class _Made:
    files: tuple[File, ...]
    steps: tuple[Step, ...]
    facts: dict[str, object]
    variants: Mapping[str, ParityReport]
    seconds: float = 0.0


def _export(item: Plan, folder: Path, scratch: Path, progress: Progress) -> tuple[Path, Step]:
    progress("export", 0.0, "")
    onnx = folder / "model.onnx"
    request = {
        "card": item.model.card.model_dump(mode="json", by_alias=True),
        "root": str(item.model.root.resolve()),
        "out": str(onnx.resolve()),
    }
    outcome = call(
        Call(
            "mosaic_deploy.source_graph:write",
            request,
            timeout_s=_EXPORT_TIMEOUT_S,
            memory_bytes=_EXPORT_MEMORY,
            log=folder / "logs" / "export.log",
            cwd=scratch,
        ),
        tick=lambda share, note: progress("export", share, note),
    )
    progress("export", 1.0, "")
    made = outcome.result
    return onnx, Step("export", str(made["tool"]), str(made["version"]), outcome.seconds, outcome.peak_bytes)


def _check(item: Plan, onnx: Path, progress: Progress) -> CheckReport:
    progress("check", 0.0, "")
    report = check(read_model(onnx), table=item.table, precision=item.recipe.precision, devices=item.devices)
    progress("check", 1.0, "")
    return report


def _prove(item: Plan, onnx: Path, scratch: Path, made: _Made, progress: Progress) -> _Made:
    folder = onnx.parent
    calibration = _inputs(item, item.calibration, scratch / "calibration", "calibrate", progress)
    inputs = _inputs(item, item.validation, scratch / "inputs", "prepare", progress)
    job = BuildJob(
        onnx=onnx,
        contract=item.model.card.contract,
        target=item.target,
        recipe=item.recipe,
        calibration=calibration,
        scratch=scratch,
        logs=folder / "logs",
    )
    built = item.backend.build(job, folder, tick=lambda s, note: progress("build", s, note))
    progress("build", 1.0, "")
    reference, measured = _reference(job, inputs, progress)
    run = item.backend.run(built, job, inputs, tick=lambda s, note: progress("run", s, note))
    progress("run", 1.0, "")
    rows: list[Row] = []
    ran = {**run.others, run.name: run.outputs}
    variants = {
        name: measure(
            _class_maps(item, (reference, ran[name]), rows),
            labels=item.model.card.contract.labels,
            dataset=item.validation.name,
            tolerance=item.tolerance,
        )
        for name in _counted(ran, progress)
    }
    rows = rows[-min(_PREVIEWED, len(item.validation)) :]
    draw(rows, item.model.card.contract.labels, folder / "preview.webp", candidate=item.target.name)
    return _Made(
        files=(*made.files, *built.files, File("preview.webp", "preview")),
        steps=(*made.steps, *built.steps, measured, *run.steps),
        facts={**built.facts, **run.facts},
        variants=variants,
    )


def _inputs(
    item: Plan, dataset: FileDataset, folder: Path, stage: str, progress: Progress
) -> tuple[Path, ...]:
    folder.mkdir()
    paths = []
    for index in range(len(dataset)):
        sample = dataset[index]
        path = folder / f"{index:05d}.npy"
        np.save(path, item.model.card.contract.prepare(sample.image), allow_pickle=False)
        paths.append(path)
        progress(stage, (index + 1) / len(dataset), sample.name)
    return tuple(paths)


def _reference(job: BuildJob, inputs: Sequence[Path], progress: Progress) -> tuple[tuple[Path, ...], Step]:
    """Run the float ONNX on ONNX Runtime's CPU kernels, in float32."""
    folder = job.scratch / "reference"
    folder.mkdir()
    outputs = tuple(folder / path.name for path in inputs)
    progress("reference", 0.0, "")
    outcome = call(
        Call(
            "mosaic_deploy.reference:predict",
            {
                "onnx": str(job.onnx.resolve()),
                "inputs": [str(path.resolve()) for path in inputs],
                "outputs": [str(path.resolve()) for path in outputs],
            },
            timeout_s=_REFERENCE_TIMEOUT_S,
            memory_bytes=_REFERENCE_MEMORY,
            log=job.logs / "reference.log",
            cwd=job.scratch,
        ),
        tick=lambda share, note: progress("reference", share, note),
    )
    progress("reference", 1.0, "")
    version = str(outcome.result["version"])
    return outputs, Step("reference", "onnxruntime", version, outcome.seconds, outcome.peak_bytes)


def _counted(names: Iterable[str], progress: Progress) -> Iterator[str]:
    """Pass the variants on, saying which is being compared."""
    known = list(names)
    for index, name in enumerate(known):
        progress("parity", index / len(known), name)
        yield name
    progress("parity", 1.0, "")


def _class_maps(
    item: Plan, outputs: tuple[Sequence[Path], Sequence[Path]], rows: list[Row]
) -> Iterator[tuple[Pixels | None, Pixels, Pixels]]:
    """Labels, reference and candidate (H, W) of each image at its own size; a few go to ``rows`` too."""
    contract, dataset = item.model.card.contract, item.validation
    shown = set(np.linspace(0, len(dataset) - 1, _PREVIEWED).round().astype(int).tolist())
    for index in range(len(dataset)):
        sample = dataset[index]
        size = (sample.image.shape[0], sample.image.shape[1])
        first, second = (
            contract.class_map(np.load(paths[index], allow_pickle=False), size) for paths in outputs
        )
        if index in shown:
            rows.append(Row(sample.image, first, second))
        yield sample.label, first, second


def _describe(item: Plan, folder: Path, checked: CheckReport, made: _Made) -> BuildReport:
    artifact.write_json(folder / "check.json", checked.to_json())
    files = [*made.files, File("check.json", "check")]
    if made.variants:
        record = {name: parity.to_json() for name, parity in made.variants.items()}
        artifact.write_json(folder / "parity.json", record)
        files.append(File("parity.json", "parity"))
    files += [File(str(path.relative_to(folder)), "log") for path in sorted((folder / "logs").iterdir())]
    report = BuildReport(
        model=item.model.card.name,
        target=item.target.name,
        recipe=item.recipe.name,
        folder=str(item.place),
        artifacts=artifact.entries(folder, files),
        check=checked,
        variants=made.variants,
        seconds=made.seconds,
        facts=made.facts,
        steps=made.steps,
    )
    artifact.write_json(folder / "manifest.json", _manifest(item, report))
    manifest = artifact.entries(folder, [File("manifest.json", "manifest")])
    return replace(report, artifacts=(*report.artifacts, *manifest))


def _data_record(dataset: FileDataset) -> dict[str, object]:
    return {"dataset": dataset.name, "images": len(dataset), "note": dataset.note}


def _manifest(item: Plan, report: BuildReport) -> dict[str, object]:
    contract = item.model.card.contract
    return {
        "schema": 1,
        "mosaic_deploy": __version__,
        "model": report.model,
        "licence": item.model.card.licence,
        "target": item.target.model_dump(mode="json", by_alias=True),
        "recipe": item.recipe.model_dump(mode="json", by_alias=True),
        "passed": report.passed,
        "contract": {**contract.model_dump(mode="json"), "digest": contract.digest()},
        "facts": dict(report.facts),
        "calibration": _data_record(item.calibration),
        "validation": _data_record(item.validation),
        "steps": [asdict(step) for step in report.steps],
        "files": [asdict(entry) for entry in report.artifacts],
    }
