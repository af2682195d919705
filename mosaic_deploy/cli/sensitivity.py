"""``mosaic-deploy sensitivity``: parse, call, render, exit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaic_deploy.cli.output import (
    InputMean,
    InputScale,
    InputShape,
    JsonFlag,
    NoInstall,
    OutputName,
    bars,
    say,
    show,
)

if TYPE_CHECKING:
    from rich.table import Table

    from mosaic_deploy.build.sensitivity import Sensitivity

EXAMPLES = (
    "sensitivity mosaic --images 4",
    "sensitivity my_net.toml --data folder:my_images --images 8 --overlay sensitivity.overlay.json",
)
_SHOWN = 15


def sensitivity(
    model: Annotated[
        str, typer.Argument(help="Name or path of a model card, imported weights, or any .onnx file.")
    ] = "mosaic",
    target: Annotated[str, typer.Option(help="Target hardware; one that takes recipe auto.")] = "dsp",
    data: Annotated[
        str | None,
        typer.Option(metavar="NAME[:DIR]", help="Data set to measure on; default: the model card's."),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(metavar="NAME[:DIR]", help="Calibration data set; default: the same."),
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Number of images to measure on.")] = 4,
    recipe: Annotated[str, typer.Option(help="Quantisation recipe with 8-bit activations.")] = "w8a8",
    weights: Annotated[bool, typer.Option("--weights", help="Measure every weight too; slower.")] = False,
    overlay: Annotated[
        Path | None, typer.Option(help="Write node data for Model Explorer to this JSON file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    json_: JsonFlag = False,
    input_mean: InputMean = None,
    input_scale: InputScale = None,
    input_shape: InputShape = None,
    output_name: OutputName = None,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Measure what 8 bits of each tensor do to the classes, and what lifting the worst would give."""
    import json

    from mosaic_deploy.build.model_source import InputOptions
    from mosaic_deploy.build.plan import Request
    from mosaic_deploy.build.sensitivity import sensitivity as measure
    from mosaic_deploy.files import disk_trouble, require_free_file, write_whole

    if overlay is not None:
        require_free_file(overlay, force=force)
    request = Request(
        model=model,
        targets=(target,),
        out=Path("build"),
        data=data,
        calibration=calibration,
        images=images,
        recipe=recipe,
        input=InputOptions.parse(input_mean, input_scale, None, None, shape=input_shape, output=output_name),
    )
    with bars(quiet=json_) as progress:
        found = measure(request, weights=weights, progress=progress)
    if overlay is not None:
        with disk_trouble(overlay):
            write_whole(overlay, json.dumps(found.overlay(), indent=1) + "\n")
    show(json_, found.to_json(), lambda: _table(found))
    for line in _lines(found):
        say(line)
    if overlay is not None:
        say(f"written: {overlay}")


def _table(found: Sensitivity) -> Table:
    from rich.table import Table

    table = Table(title=f"{found.model} on {found.target}, {found.images} images of {found.data}")
    table.add_column("tensor")
    table.add_column("made by")
    table.add_column("pixels changed", justify="right")
    table.add_column("weighed by margin", justify="right")
    ranked = sorted((*found.activations, *found.weights), key=lambda loss: -loss.lost)
    for loss in ranked[:_SHOWN]:
        table.add_row(loss.name, loss.op, f"{loss.flips:.3%}", f"{loss.lost:.4%}")
    return table


def _lines(found: Sensitivity) -> list[str]:
    """What the recipe gives, and what lifting the worst would give, as predicted."""
    lines = [f"predicted agreement with {found.recipe} as it is: {found.agreement:.2%}"]
    for lift in found.lifts:
        share = f"{lift.lifted:.0%} of the activations in 16 bits"
        lines.append(f"{share}, {lift.conversions} conversions: {lift.agreement:.2%}")
    if found.blocked:
        lines.append(
            f"{len(found.blocked)} tensors stay in 8 bits: {found.target} lacks their operators "
            f"in {found.lifts_to}"
        )
    return lines
