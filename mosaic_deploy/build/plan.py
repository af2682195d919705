"""From what a person asked to builds that can start, in two steps.

``resolve`` looks up every name: nothing but TOML is read. ``open_inputs`` then finds the model and opens the
data, once for all targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from mosaic_deploy.accuracy.limits import Limits, Undecided, read_class_tolerances, read_tolerance
from mosaic_deploy.backends.protocol import Backend
from mosaic_deploy.backends.reference import TOOLCHAIN as REFERENCE_TOOLCHAIN
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.build.model_source import InputOptions, Model, find_model, has_card
from mosaic_deploy.datasets import open_data
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.errors import DataError, SpecError, ToolError, UsageError
from mosaic_deploy.gate.fix.fix import Fixes
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.graph.quantised import require_readable
from mosaic_deploy.specs.fields import OutputKind
from mosaic_deploy.specs.ranges import RangesFile, read_ranges
from mosaic_deploy.specs.recipe import IntegerFormat, QuantRecipe
from mosaic_deploy.specs.registry import load_spec, nearest, spec_names
from mosaic_deploy.specs.target import TargetSpec

ALL = "all"
"""Stands for every target that the project knows."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked to build."""

    model: str
    targets: tuple[str, ...]
    out: Path
    data: str | None = None
    """``NAME[:DIR]`` of the data that parity is measured on; None leaves it to the card."""
    calibration: str | None = None
    """``NAME[:DIR]`` of the data that ranges are calibrated on; None takes the same as ``data``."""
    images: int | None = None
    recipe: str | None = None
    ranges: Path | None = None
    """A file of ``calibrate``, whose ranges are used in place of those that the images say."""
    tolerance: float | str | None = None
    """The largest drop that passes, or the share to keep (``99%``); None leaves it to the recipe."""
    class_tolerance: str | None = None
    """Largest drop in IoU of single classes, such as ``pole=0.03,sign=0.05``."""
    undecided: Undecided = "fail"
    """What becomes of a build whose interval holds the tolerance."""
    output: OutputKind | None = None
    """What the deployed network is to give; None takes the target's default where the graph can be changed
    to that."""
    all_images: bool = False
    """Run every image, also on a slow runtime where fewer make the verdict certain."""
    force: bool = False
    fix: Fixes = "exact"
    """Which passes may rewrite what the target does not support."""
    keep_quantization: bool = True
    """Whether the ranges that an already quantised file states are kept where the target takes them."""
    options: dict[str, str] = field(default_factory=dict)
    """The backends' own options, ``arch`` say."""
    input: InputOptions = field(default_factory=InputOptions)


@dataclass(frozen=True, slots=True)
class ResolvedTarget:
    """A target with every name around it looked up; no model and no data yet."""

    target: TargetSpec
    """With the command line's options merged in."""
    recipe: QuantRecipe
    table: OpTable | None
    devices: tuple[str, ...]
    backend: Backend
    limits: Limits
    """What mIoU may drop by."""
    agreement_limits: Limits
    """What share of the pixels may change, where there are no labels."""
    missing: ToolError | None
    """What this machine lacks to build for it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One build with every name in it resolved and every input seen to be there."""

    model: Model
    target: TargetSpec
    recipe: QuantRecipe
    table: OpTable | None
    """None where the target's operators are judged by its compiler and runtime alone."""
    devices: tuple[str, ...]
    """The op table's devices that are compiled for; none means all of them."""
    backend: Backend
    calibration: FileDataset
    validation: FileDataset
    place: Path
    output: OutputKind | None
    """As asked for; None leaves it to the target."""
    fix: Fixes
    limits: Limits
    """What parity is judged by."""
    ranges: RangesFile | None = None
    all_images: bool = False

    @property
    def toolchains(self) -> tuple[str, ...]:
        """Names of the toolchains that the build needs: the backend's, and the float reference's."""
        return tuple(dict.fromkeys((self.backend.toolchain, REFERENCE_TOOLCHAIN)))


@dataclass(frozen=True, slots=True)
class Unplanned:
    """A build that cannot start on this machine."""

    model: str
    target: str
    recipe: str
    error: ToolError


def plan(request: Request) -> tuple[Plan | Unplanned, ...]:
    """Resolve the request, in the order of its targets; ``all`` names every one that the project knows.

    A missing tool leaves out that target alone. Raises ``UsageError`` (or a child of it) for what is wrong
    with the request itself; for a wrong name before any data is opened.
    """
    return open_inputs(request, resolve(request))


def resolve(request: Request) -> tuple[ResolvedTarget, ...]:
    """Look up targets, recipes, op tables and options.

    Raises ``UsageError`` (or a child of it) for a name or a value that makes no sense.
    """
    _require_sound(request)
    targets = [load_spec(TargetSpec, name) for name in target_names(request.targets)]
    _require_takers(request.options, targets)
    _require_shapes(request.output, targets)
    return tuple(_resolve_target(request, target) for target in targets)


def target_names(asked: Iterable[str]) -> tuple[str, ...]:
    """Targets as a person names them: each once, and ``all`` for every one that the project knows."""
    names = tuple(dict.fromkeys(asked))
    return spec_names(TargetSpec) if ALL in names else names


def open_inputs(request: Request, targets: Sequence[ResolvedTarget]) -> tuple[Plan | Unplanned, ...]:
    """Find the model and open the data, once for all targets.

    Raises ``UsageError`` (or a child of it) for a model or data that cannot be used.
    """
    asked = open_data(request.data, split="val") if request.data else None
    if asked is not None and asked.labelled and not asked.labels.classes and not has_card(request.model):
        raise DataError(f"{request.data}: its label maps need classes.txt to say what their ids mean")
    model = find_model(request.model, options=request.input, labels=asked.labels if asked else None)
    model = replace(model, keep_quantization=request.keep_quantization)
    if model.card.source.onnx is not None:
        require_readable(model.root / model.card.source.onnx)
    name = request.data or model.card.data
    if name is None:
        raise UsageError(
            f"{model.card.name}: its card names no data set: say --data NAME[:DIR], "
            "labelled or not, to measure parity on"
        )
    own = model.card.contract.labels
    validation = (asked or open_data(name, split="val")).read_as(own).take(request.images)
    calibration = open_data(request.calibration or name, split="calib").read_as(own)
    model.card.contract.require(validation.labels, dataset=validation.name)
    for found in targets:
        found.limits.require_classes(own.classes[i] for i in own.scored)
    if turned := validation.turned:
        note = f"{turned} of {len(validation)} images were turned as their EXIF orientation says."
        validation = replace(validation, note=f"{validation.note} {note}".strip())
    return tuple(
        _plan_one(request, found, model, calibration, validation)
        if found.missing is None
        else Unplanned(model.card.name, found.target.name, found.recipe.name, found.missing)
        for found in targets
    )


def _require_sound(request: Request) -> None:
    if not request.targets:
        known = ", ".join(spec_names(TargetSpec))
        raise UsageError(f"name a target; known: {known}, or all of them: {ALL}")
    _limits(request, 0.0)
    if request.fix not in get_args(Fixes):
        raise UsageError(
            f"--fix {request.fix}: no such choice{nearest(request.fix, get_args(Fixes))}; "
            f"known: {', '.join(get_args(Fixes))}"
        )
    if request.output is not None and request.output not in get_args(OutputKind):
        raise UsageError(
            f"no output '{request.output}'{nearest(request.output, get_args(OutputKind))}; "
            f"known: {', '.join(get_args(OutputKind))}"
        )


def _require_takers(options: Mapping[str, str], targets: Sequence[TargetSpec]) -> None:
    """Raise ``SpecError`` for an option that no target's backend understands."""
    flags = {flag for target in targets for flag in load_backend(target.backend).flags}
    for name in options:
        if name not in flags:
            raise SpecError(
                f"no option '{name}'{nearest(name, sorted(flags))} for {', '.join(t.name for t in targets)}"
            )


def _require_shapes(output: OutputKind | None, targets: Sequence[TargetSpec]) -> None:
    """Raise ``UsageError`` where an output has sizes that change with the image, and a target takes none."""
    fixed = [target.name for target in targets if not target.dynamic_shapes]
    if output == "vim" and fixed:
        raise UsageError(
            f"--output vim resizes as many scores as an image has classes, and shapes are fixed on "
            f"{', '.join(fixed)}: use lowres and interpolate in the app, or lowmap or classmap"
        )


def _resolve_target(request: Request, target: TargetSpec) -> ResolvedTarget:
    recipe = load_spec(QuantRecipe, request.recipe or target.recipes[0])
    if recipe.name not in target.recipes:
        raise UsageError(
            f"recipe {recipe.name} is not for target {target.name}, which takes {', '.join(target.recipes)}"
        )
    backend = load_backend(target.backend)
    own = {name: value for name, value in request.options.items() if name in backend.flags}
    options = backend.check_options(target, own)
    missing = backend.missing() or backend.missing_for(options)
    return ResolvedTarget(
        target=target.model_copy(update={"options": options}),
        recipe=recipe,
        table=None if target.ops is None else load_table(target.ops),
        devices=backend.devices(options),
        backend=backend,
        limits=_limits(request, _first(recipe.tolerance, target.tolerance)),
        agreement_limits=_limits(
            request, _first(recipe.agreement_tolerance, recipe.tolerance, target.agreement_tolerance)
        ),
        missing=None if missing is None else ToolError(f"target {target.name}: {missing}"),
    )


def _limits(request: Request, otherwise: float) -> Limits:
    """What was asked for, with ``otherwise`` as the drop where none was; raises ``UsageError``."""
    drop, keep = (otherwise, None) if request.tolerance is None else read_tolerance(request.tolerance)
    classes = () if request.class_tolerance is None else read_class_tolerances(request.class_tolerance)
    return Limits(drop, keep, classes, request.undecided)


def _first(*tolerances: float | None) -> float:
    """The first that is stated."""
    return next(tolerance for tolerance in tolerances if tolerance is not None)


def _ranges(path: Path, found: ResolvedTarget) -> RangesFile:
    """Read ranges; raises ``UsageError`` where the target takes none, or they are of another grid."""
    if not found.backend.takes_ranges:
        raise UsageError(
            f"target {found.target.name}: its converter has tensors of its own, and no ranges for them "
            f"are in {path}: leave out --ranges, or build other targets"
        )
    ranges = read_ranges(path)
    grid = found.recipe.activations
    if not isinstance(grid, IntegerFormat) or grid.bits != ranges.bits:
        raise UsageError(
            f"{path}: ranges for {ranges.bits} bits, and recipe {found.recipe.name} has other activations: "
            f"run calibrate --recipe {found.recipe.name}"
        )
    return ranges


def _plan_one(
    request: Request,
    found: ResolvedTarget,
    model: Model,
    calibration: FileDataset,
    validation: FileDataset,
) -> Plan:
    output = [request.output] if request.output else []
    named = [model.card.name, found.target.name, found.recipe.name, *output]
    return Plan(
        model=model,
        target=found.target,
        recipe=found.recipe,
        table=found.table,
        devices=found.devices,
        backend=found.backend,
        calibration=calibration.take(found.recipe.calibration.samples),
        validation=validation,
        place=request.out / "-".join(named),
        output=request.output,
        fix=request.fix,
        limits=found.limits if validation.labelled else found.agreement_limits,
        ranges=None if request.ranges is None else _ranges(request.ranges, found),
        all_images=request.all_images,
    )
