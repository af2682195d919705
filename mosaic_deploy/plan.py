"""From what a person asked to builds that can start: every name resolved, everything seen to be there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mosaic_deploy import backends, datasets, specs
from mosaic_deploy.backends import Backend
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.errors import ToolError, UsageError
from mosaic_deploy.ops import OpTable, load_table
from mosaic_deploy.sources import InputOptions, Model, find_model
from mosaic_deploy.specs import QuantRecipe, TargetSpec


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
    table: OpTable
    devices: tuple[str, ...]
    """The op table's devices that are compiled for; none means all of them."""
    backend: Backend
    calibration: FileDataset
    validation: FileDataset
    place: Path
    tolerance: float


def plan(request: Request) -> tuple[Plan, ...]:
    """Resolve the request; raises ``UsageError`` (or a child of it) or ``ToolError`` for what is missing."""
    if not request.targets:
        raise UsageError(f"name a target; known: {', '.join(specs.names(TargetSpec))}")
    if request.tolerance is not None and not 0 <= request.tolerance <= 1:
        raise UsageError(f"tolerance {request.tolerance} is not a share between 0 and 1")
    targets = [specs.load(TargetSpec, name) for name in dict.fromkeys(request.targets)]
    asked = datasets.open_data(request.data, split="val") if request.data else None
    model = find_model(request.model, options=request.input, labels=asked.labels if asked else None)
    validation, calibration = _data(request, model, asked)
    return tuple(_one(request, target, model, (calibration, validation)) for target in targets)


def _data(request: Request, model: Model, asked: FileDataset | None) -> tuple[FileDataset, FileDataset]:
    name = request.data or model.card.data
    if name is None:
        raise UsageError(
            f"{model.card.name}: its card names no data set: say --data NAME[:DIR], "
            "labelled or not, to measure parity on"
        )
    validation = asked or datasets.open_data(name, split="val")
    calibration = datasets.open_data(request.calibration or name, split="calib")
    model.card.contract.require(validation.labels, dataset=validation.name)
    return validation.take(request.images), calibration


def _one(request: Request, target: TargetSpec, model: Model, data: tuple[FileDataset, FileDataset]) -> Plan:
    recipe_name = request.recipe or target.recipes[0]
    recipe = specs.load(QuantRecipe, recipe_name)
    if recipe.name not in target.recipes:
        raise UsageError(
            f"recipe {recipe.name} is not for target {target.name}, which takes {', '.join(target.recipes)}"
        )
    backend = backends.load(target.backend)
    options = backend.check_options(target, request.options)
    missing = backend.missing()
    if missing is not None:
        raise ToolError(f"target {target.name}: {missing}")
    calibration = data[0].take(recipe.calibration.samples)
    datasets.disjoint(calibration, data[1])
    return Plan(
        model=model,
        target=target.model_copy(update={"options": options}),
        recipe=recipe,
        table=load_table(target.ops),
        devices=backend.devices(options),
        backend=backend,
        calibration=calibration,
        validation=data[1],
        place=request.out / f"{model.card.name}-{target.name}-{recipe.name}",
        tolerance=target.tolerance if request.tolerance is None else request.tolerance,
    )
