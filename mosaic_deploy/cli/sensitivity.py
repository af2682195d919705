"""``mosaic-deploy sensitivity``: parse, call, render, exit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaic_deploy.cli.input_options import InputMean, InputScale, InputShape, OutputName
from mosaic_deploy.cli.output import JsonFlag, NoInstall, bars, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from mosaic_deploy.build.sensitivity import Sensitivity

EXAMPLES = (
    "sensitivity mosaic --images 4",
    "sensitivity my_net.toml --data folder:my_images --images 8 --out lost",
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
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write a table, a plot, and node data for Model Explorer into this directory.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing directory.")] = False,
    json_: JsonFlag = False,
    input_mean: InputMean = None,
    input_scale: InputScale = None,
    input_shape: InputShape = None,
    output_name: OutputName = None,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Measure what 8 bits of each tensor do to the classes, and what lifting the worst would give."""
    from mosaic_deploy.build import sensitivity_files as files
    from mosaic_deploy.build.model_source import InputOptions
    from mosaic_deploy.build.plan import Request
    from mosaic_deploy.build.sensitivity import sensitivity as measure

    if out is not None:
        files.require_possible(out, force=force)
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
    if out is not None:
        files.write(found, out, force=force)
    show(json_, found.to_json(), lambda: _table(found))
    for line in _lines(found):
        say(line)
    if out is not None:
        say(f"written: {out}")


def _table(found: Sensitivity) -> Table:
    from rich.table import Table

    from mosaic_deploy.build.sensitivity_files import ranked

    table = Table(title=f"{found.model} on {found.target}, {found.images} images of {found.data}")
    table.add_column("tensor")
    table.add_column("made by")
    table.add_column("pixels changed", justify="right")
    table.add_column("weighed by margin", justify="right")
    if found.miou is not None:
        table.add_column("mIoU lost", justify="right")
    for loss in ranked(found)[:_SHOWN]:
        drop = [] if loss.drop is None else [f"{loss.drop:.5f}"]
        table.add_row(loss.name, loss.op, f"{loss.flips:.3%}", f"{loss.lost:.4%}", *drop)
    return table


def _lines(found: Sensitivity) -> list[str]:
    """What the recipe gives, and what lifting the worst would give, as predicted."""
    lines = [f"predicted agreement with {found.recipe} as it is: {found.agreement:.2%}{_miou(found.miou)}"]
    if found.float_miou is not None:
        lines.insert(0, f"the float network: mIoU {found.float_miou:.4f}")
    for lift in found.lifts:
        share = f"{lift.lifted:.0%} of the activations in {found.lifts_to}"
        lines.append(f"{share}, {lift.conversions} conversions: {lift.agreement:.2%}{_miou(lift.miou)}")
    if found.blocked:
        lines.append(
            f"{len(found.blocked)} tensors stay in 8 bits: {found.target} lacks their operators "
            f"in {found.lifts_to}"
        )
    return lines


def _miou(value: float | None) -> str:
    return "" if value is None else f", mIoU {value:.4f}"
