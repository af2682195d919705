"""What an artifact says of itself: its check, its parity, its report and its manifest."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from mosaic_deploy._version import __version__
from mosaic_deploy.artifact.html_report.page import write_page
from mosaic_deploy.artifact.manifest import MANIFEST, Manifest
from mosaic_deploy.artifact.store import entries, write_json
from mosaic_deploy.backends.protocol import File
from mosaic_deploy.build.kept_report import REPORT, report_text
from mosaic_deploy.build.order import BuildState, TargetBuild
from mosaic_deploy.build.plan import Plan
from mosaic_deploy.build.report import BuildReport
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.toolchain import toolchain_record


def describe(order: TargetBuild, folder: Path, made: BuildState) -> BuildReport:
    """Write the artifact's reports and manifest, and return the report."""
    item = order.plan
    files = list(made.files)
    if order.checked is not None:
        write_json(folder / "check.json", order.checked.to_json())
        files.append(File("check.json", "check"))
    if made.variants:
        record = {name: parity.to_json() for name, parity in made.variants.items()}
        write_json(folder / "parity.json", record)
        files.append(File("parity.json", "parity"))
    files += [File(str(path.relative_to(folder)), "log") for path in sorted((folder / "logs").iterdir())]
    report = BuildReport(
        model=item.model.card.name,
        target=item.target.name,
        recipe=item.recipe.name,
        output=order.kind,
        folder=str(item.place),
        artifacts=entries(folder, files),
        check=order.checked,
        output_change=made.output_change,
        conversion=made.conversion,
        variants=made.variants,
        stages=made.stages,
        seconds=made.seconds,
        facts=made.facts,
        steps=made.steps,
        fixes=order.fitted.fixed.steps if order.fitted.fixed else (),
        notes=tuple(n for n in dict.fromkeys((item.validation.note, item.calibration.note)) if n),
        untrained=item.model.card.untrained,
        replaced=order.replaced,
    )
    (folder / REPORT).write_text(report_text(report), encoding="utf-8")
    report = replace(report, artifacts=(*report.artifacts, *entries(folder, [File(REPORT, "report")])))
    contract = made.contract or item.model.card.contract
    page = write_page(folder, _manifest(order, report, contract))
    report = replace(report, artifacts=(*report.artifacts, *entries(folder, [page])))
    write_json(folder / MANIFEST, _manifest(order, report, contract).to_json())
    manifest = entries(folder, [File(MANIFEST, "manifest")])
    return replace(report, artifacts=(*report.artifacts, *manifest))


def description(item: Plan, contract: Contract) -> dict[str, object]:
    """What an app must know of the network, also where it has nothing but the file."""
    return {
        "schema": 1,
        "mosaic_deploy": __version__,
        "model": item.model.card.name,
        "licence": item.model.card.licence,
        "target": item.target.name,
        "recipe": item.recipe.name,
        "contract": {**contract.model_dump(mode="json"), "digest": contract.digest()},
    }


def _manifest(order: TargetBuild, report: BuildReport, contract: Contract) -> Manifest:
    item = order.plan
    return Manifest.model_validate(
        {
            **description(item, contract),
            "target": item.target.model_dump(mode="json", by_alias=True),
            "recipe": item.recipe.model_dump(mode="json", by_alias=True),
            "passed": report.passed,
            "made_from": dict(order.made_from),
            "facts": dict(report.facts),
            "calibration": _data_record(item.calibration),
            "validation": _data_record(item.validation),
            "toolchains": [toolchain_record(name) for name in item.toolchains],
            "steps": report.steps,
            "fixes": [asdict(step) for step in report.fixes],
            "undecided": report.undecided,
            "untrained": report.untrained,
            "files": report.artifacts,
        }
    )


def _data_record(dataset: FileDataset) -> dict[str, object]:
    return {"dataset": dataset.name, "images": len(dataset), "note": dataset.note}
