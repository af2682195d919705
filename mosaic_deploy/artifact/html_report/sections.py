"""The page's sections, in their order: a section whose data an artifact lacks is left out.

To add one: a function here that makes its view of a :class:`Record`, or None; a template that draws it; a
line in ``SECTIONS``. ``Record.attachment`` reads a JSON file that lies in the artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mosaic_deploy.accuracy.parity import ParityReport
from mosaic_deploy.artifact.html_report.charts import Bar, Scale
from mosaic_deploy.artifact.html_report.cost import cost
from mosaic_deploy.artifact.html_report.figures import magnitude, percent, points, size
from mosaic_deploy.artifact.html_report.record import FixRecord, Record, ViolationRecord
from mosaic_deploy.artifact.html_report.tensors import search, sensitivity
from mosaic_deploy.artifact.html_report.views import FOLDER, View
from mosaic_deploy.artifact.html_report.waterfall import waterfall

PAGE = "report.html"
_VARYING = frozenset({"log", "report", "page"})
"""Kinds of files that differ from build to build, as they tell the time, and the page itself."""
_LEVELS = ("silent-wrong", "unsupported", "unknown", "fallback")
"""Of a node that the op table does not clear, the worst first."""
_LAYER_NAMES = {
    "float": "Float",
    "target": "Target",
    "truth": "Truth",
    "input": "Input",
    "difference": "Change",
}


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page."""

    id: str
    title: str
    view: Callable[[Record], object | None]
    open: bool = True
    """Whether it is unfolded where it is first seen."""

    @property
    def template(self) -> str:
        """Name of its template."""
        return f"{self.id}.html.j2"


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class in the table."""

    name: str
    colour: tuple[int, int, int] | None
    reference: str
    candidate: str
    change: str
    bar: Bar | None
    gain: bool
    limit: str
    """What it may lose, where that was limited; else empty."""
    over: bool
    """Whether it lost more than that."""


@dataclass(frozen=True, slots=True)
class Classes:
    """The table of the classes, the largest loss first."""

    labelled: bool
    zero: float
    rows: tuple[ClassRow, ...]
    absent: tuple[str, ...]
    """Classes that do not occur."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image with its layers."""

    title: str
    view: View
    figures: tuple[tuple[str, str], ...]
    layers: tuple[tuple[str, str, str], ...]
    """Key, name and address."""


def violations(record: Record) -> tuple[tuple[ViolationRecord, tuple[str, ...]], ...] | None:
    """What the op table does not clear, the worst first; nodes with the same trouble together."""
    found = record.build.check.violations if record.build.check else ()
    alike: dict[tuple[str, ...], list[ViolationRecord]] = {}
    for each in found:
        alike.setdefault((each.level, each.op, each.found, each.allowed, each.fix), []).append(each)
    groups = [(group[0], tuple(each.node for each in group)) for group in alike.values()]
    known = {level: place for place, level in enumerate(_LEVELS)}
    return tuple(sorted(groups, key=lambda group: known.get(group[0].level, len(known)))) or None


def classes(record: Record) -> Classes | None:
    """The IoU of each class, before and after."""
    shown = _measured(record)
    if shown is None:
        return None
    contract = record.manifest.contract
    colours = dict(zip(contract.get("classes", ()), contract.get("palette", ()), strict=False))
    there = [(n, ours, theirs) for n, ours, theirs in shown.per_class if ours == ours and theirs == theirs]
    labelled = shown.metric == "miou"
    changes = (theirs - ours for _, ours, theirs in there)
    limits = dict(shown.class_limits)
    scale = Scale.over((*changes, -shown.tolerance))
    rows = [
        ClassRow(
            name=name,
            colour=_colour(colours.get(name)),
            reference=percent(ours, 1),
            candidate=percent(theirs, 1),
            change=points(theirs - ours),
            bar=Bar.between(scale, 0.0, theirs - ours),
            gain=theirs > ours,
            limit=f"up to {magnitude(limits[name])} allowed" if name in limits else "",
            over=name in shown.classes_over,
        )
        for name, ours, theirs in sorted(there, key=lambda row: row[2] - row[1])
    ]
    absent = {name for name, *_ in shown.per_class} - {name for name, *_ in there}
    listed = tuple(name for name, *_ in shown.per_class if name in absent)
    return Classes(labelled, scale.at(0.0), tuple(rows), listed) if rows else None


def pictures(record: Record) -> tuple[Picture, ...] | None:
    """The images on which the device does worst, middling and best."""
    return tuple(_picture(record, view) for view in record.views) or None


def variants(record: Record) -> tuple[tuple[str, ParityReport], ...] | None:
    """Each compiled variant, where there are several."""
    found = tuple(record.build.variants.items())
    return found if len(found) > 1 else None


def fixes(record: Record) -> tuple[FixRecord, ...] | None:
    """Passes that rewrote the graph."""
    return record.build.fixes or None


def calibration(record: Record) -> tuple[str, ...] | None:
    """What ``calibrate`` found about the images, where its ranges were used."""
    stated = record.manifest.facts.get("calibration_audit")
    return tuple(str(line) for line in stated) or None if isinstance(stated, list) else None


def provenance(record: Record) -> Mapping[str, object]:
    """Steps with their versions, data, digests and files: all by which the build can be made again."""
    manifest = record.manifest
    steps = dict.fromkeys((step.name, step.tool, step.version) for step in manifest.steps)
    data = (("Calibrated on", manifest.calibration), ("Measured on", manifest.validation))
    facts = manifest.facts
    stated = (("Ran on", facts.get("ran_on")), ("Arithmetic", facts.get("precision")))
    rows = [(name, str(value)) for name, value in stated if value]
    rows += [(name, f"{one.dataset}, {one.images:,} images") for name, one in data if one is not None]
    rows.append(("Licence of the weights", manifest.licence or "not stated"))
    rows.append(("mosaic-deploy", manifest.mosaic_deploy))
    kept = (entry for entry in manifest.files if entry.kind not in _VARYING)
    files = [(e.path, size(e.bytes), e.sha256) for e in kept if not e.path.startswith(f"{FOLDER}/")]
    digests = [*manifest.made_from.items(), *((t.name, t.digest) for t in manifest.toolchains)]
    return {"rows": rows, "steps": tuple(steps), "files": files, "digests": digests}


SECTIONS = (
    Section("waterfall", "Where the accuracy went", waterfall),
    Section("pictures", "What both networks see", pictures),
    Section("classes", "Per class", classes),
    Section("violations", "Operators that the target does not take as they are", violations),
    Section("variants", "Per device", variants),
    Section("fixes", "Rewritten for the target", fixes),
    Section("search", "What recipe auto tried", search),
    Section("sensitivity", "Tensors that lose most in 8 bits", sensitivity),
    Section("calibration", "What the calibration images are worth", calibration),
    Section("cost", "Cost", cost),
    Section("provenance", "How it was made", provenance, open=False),
)


def _measured(record: Record) -> ParityReport | None:
    if record.decisive is not None:
        return record.decisive[1]
    return record.build.conversion.parity if record.build.conversion else None


def _picture(record: Record, view: View) -> Picture:
    found = view.figures
    figures = [("same class", percent(found.agreement))]
    if found.reference is not None and found.candidate is not None:
        figures.insert(0, ("mIoU", f"{percent(found.reference)} → {percent(found.candidate)}"))
    layers = [(k, name, record.picture(view, k)) for k, name in _LAYER_NAMES.items() if k in view.layers]
    titles = {"worst": "Largest loss", "median": "Median", "best": "Smallest loss"}
    return Picture(titles[view.role], view, tuple(figures), tuple(layers))


def _colour(value: object) -> tuple[int, int, int] | None:
    if isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(v, int) for v in value):
        return (value[0], value[1], value[2])
    return None
