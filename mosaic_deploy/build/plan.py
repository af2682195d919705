"""From what a person asked to builds that can start: every name resolved, everything seen to be there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from mosaic_deploy.backends.protocol import Backend
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.build.model_source import InputOptions, Model, find_model
from mosaic_deploy.datasets import disjoint, open_data
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.errors import SpecError, ToolError, UsageError
from mosaic_deploy.gate.op_support.tables import OpTable, load_table
from mosaic_deploy.specs.fields import OutputKind
from mosaic_deploy.specs.recipe import QuantRecipe
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
    tolerance: float | None = None
    output: OutputKind | None = None
    """What the deployed network is to give; None takes the target's default where the graph can be changed
    to that."""
    force: bool = False
    options: dict[str, str] = field(default_factory=dict)
    """The backends' own options, ``arch`` say."""
    input: InputOptions = field(default_factory=InputOptions)


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
    tolerance: float


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
    with the request itself.
    """
    if not request.targets:
        raise UsageError(f"name a target; known: {', '.join(spec_names(TargetSpec))}, or all of them: {ALL}")
    if request.tolerance is not None and not 0 <= request.tolerance <= 1:
        raise UsageError(f"tolerance {request.tolerance} is not a share between 0 and 1")
    if request.output is not None and request.output not in get_args(OutputKind):
        raise UsageError(
            f"no output '{request.output}'{nearest(request.output, get_args(OutputKind))}; "
            f"known: {', '.join(get_args(OutputKind))}"
        )
    wanted = spec_names(TargetSpec) if ALL in request.targets else request.targets
    targets = [load_spec(TargetSpec, name) for name in dict.fromkeys(wanted)]
    _require_takers(request.options, targets)
    asked = open_data(request.data, split="val") if request.data else None
    model = find_model(request.model, options=request.input, labels=asked.labels if asked else None)
    validation, calibration = _data(request, model, asked)
    return tuple(_try(request, target, model, (calibration, validation)) for target in targets)


def _require_takers(options: Mapping[str, str], targets: Sequence[TargetSpec]) -> None:
    """Raise ``SpecError`` for an option that no target's backend understands."""
    flags = {flag for target in targets for flag in load_backend(target.backend).flags}
    for name in options:
        if name not in flags:
            raise SpecError(
                f"no option '{name}'{nearest(name, sorted(flags))} for {', '.join(t.name for t in targets)}"
            )


def _try(
    request: Request, target: TargetSpec, model: Model, data: tuple[FileDataset, FileDataset]
) -> Plan | Unplanned:
    try:
        return _one(request, target, model, data)
    except ToolError as err:
        return Unplanned(model.card.name, target.name, request.recipe or target.recipes[0], err)


def _data(request: Request, model: Model, asked: FileDataset | None) -> tuple[FileDataset, FileDataset]:
    name = request.data or model.card.data
    if name is None:
        raise UsageError(
            f"{model.card.name}: its card names no data set: say --data NAME[:DIR], "
            "labelled or not, to measure parity on"
        )
    validation = asked or open_data(name, split="val")
    calibration = open_data(request.calibration or name, split="calib")
    model.card.contract.require(validation.labels, dataset=validation.name)
    return validation.take(request.images), calibration


def _one(request: Request, target: TargetSpec, model: Model, data: tuple[FileDataset, FileDataset]) -> Plan:
    recipe_name = request.recipe or target.recipes[0]
    recipe = load_spec(QuantRecipe, recipe_name)
    if recipe.name not in target.recipes:
        raise UsageError(
            f"recipe {recipe.name} is not for target {target.name}, which takes {', '.join(target.recipes)}"
        )
    backend = load_backend(target.backend)
    missing = backend.missing()
    if missing is not None:
        raise ToolError(f"target {target.name}: {missing}")
    own = {name: value for name, value in request.options.items() if name in backend.flags}
    options = backend.check_options(target, own)
    calibration = data[0].take(recipe.calibration.samples)
    disjoint(calibration, data[1])
    named = [model.card.name, target.name, recipe.name, *([request.output] if request.output else [])]
    return Plan(
        model=model,
        target=target.model_copy(update={"options": options}),
        recipe=recipe,
        table=None if target.ops is None else load_table(target.ops),
        devices=backend.devices(options),
        backend=backend,
        calibration=calibration,
        validation=data[1],
        place=request.out / "-".join(named),
        output=request.output,
        tolerance=next(t for t in (request.tolerance, recipe.tolerance, target.tolerance) if t is not None),
    )
