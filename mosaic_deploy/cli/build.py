"""Commands that take a model to hardware: build, run, bench, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaic_deploy.cli.input_options import (
    InputColour,
    InputMean,
    InputResize,
    InputScale,
    InputShape,
    OutputName,
    Threshold,
)
from mosaic_deploy.cli.output import JsonFlag, NoInstall, bars, cause, say, show

EXAMPLES = (
    "build --target dsp",
    "build --target all --data camvid --images 24",
    "build my_net.onnx --target cpu --data folder:my_images --input-mean 127.5 --input-scale 127.5",
    "build my_net.toml --target dsp,cpu --recipe w8a8 --tolerance 0.005 --json",
)
_DEFAULT = "dsp"
"""The target where none is named."""


def build(
    model: Annotated[
        str,
        typer.Argument(help="Name or path of a model card, imported weights, or any .onnx file."),
    ] = "mosaic",
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Target hardware, such as dsp or cpu,gpu; 'all' for every target; may be repeated."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="NAME[:DIR]", help="Validation data set for parity; default: the model card's."),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(metavar="NAME[:DIR]", help="Calibration data set; default: the same as for validation."),
    ] = None,
    images: Annotated[int | None, typer.Option(help="Number of validation images; default: all.")] = None,
    all_images: Annotated[
        bool,
        typer.Option(
            "--all-images",
            help="Run every image also on a slow simulator, where a sample makes the verdict of all certain.",
        ),
    ] = False,
    recipe: Annotated[
        str | None, typer.Option(help="Quantisation recipe; default: the target's first.")
    ] = None,
    ranges: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Ranges that 'calibrate' wrote, in place of those of the calibration images."
        ),
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(
            metavar="X|P%",
            help="Largest mIoU drop that passes, 0 to 1, or the share of float mIoU to keep, such as 99%; "
            "default: the recipe's, else the target's.",
        ),
    ] = None,
    class_tolerance: Annotated[
        str | None,
        typer.Option(metavar="CLASS=X,...", help="Largest IoU drop of single classes, such as pole=0.03."),
    ] = None,
    undecided: Annotated[
        str,
        typer.Option(
            help="Exit code where the drop's 95 % interval holds the tolerance: fail (4) or pass (0)."
        ),
    ] = "fail",
    arch: Annotated[
        str | None,
        typer.Option(help="Hexagon architectures, such as 68,73,75; default: the target's."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(help="Network output: logits, lowres, classmap, lowmap or vim; default: the target's."),
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Output directory; the artifact is MODEL-TARGET-RECIPE in it."),
    ] = Path("build"),
    fix: Annotated[
        str,
        typer.Option(
            help="Passes that may rewrite unsupported operators: exact, lossy (any), or none.",
        ),
    ] = "exact",
    keep_quantization: Annotated[
        bool,
        typer.Option(
            help="Keep the activation ranges of an already quantised ONNX file where the target takes them.",
        ),
    ] = True,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Build again though nothing changed, and lose files that were put into the artifact.",
        ),
    ] = False,
    json_: JsonFlag = False,
    input_mean: InputMean = None,
    input_scale: InputScale = None,
    input_colour: InputColour = None,
    input_resize: InputResize = None,
    threshold: Threshold = None,
    input_shape: InputShape = None,
    output_name: OutputName = None,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Export, check, quantise, compile and validate a model for each target."""
    from mosaic_deploy.build import report
    from mosaic_deploy.build.model_source import InputOptions
    from mosaic_deploy.build.pipeline import deploy
    from mosaic_deploy.build.plan import Request
    from mosaic_deploy.build.result_table import table

    if target is None:
        say(f"no --target: building for {_DEFAULT}; 'mosaic-deploy targets' lists the others, 'all' is each")
    request = Request(
        model=model,
        targets=tuple(name for text in target or [_DEFAULT] for name in text.split(",") if name),
        out=out,
        data=data,
        calibration=calibration,
        images=images,
        all_images=all_images,
        recipe=recipe,
        ranges=ranges,
        tolerance=tolerance,
        class_tolerance=class_tolerance,
        undecided=undecided,  # type: ignore[arg-type]  # plan() refuses what is no choice
        output=output,  # type: ignore[arg-type]  # plan() refuses what is no output kind
        keep_quantization=keep_quantization,
        force=force,
        fix=fix,  # type: ignore[arg-type]  # plan() refuses what is no choice
        options={} if arch is None else {"arch": arch},
        input=InputOptions.parse(
            input_mean,
            input_scale,
            input_colour,
            input_resize,
            shape=input_shape,
            output=output_name,
            threshold=threshold,
        ),
    )
    with bars(quiet=json_) as progress:
        results = deploy(request, progress=progress)
    show(json_, report.to_json(results), lambda: table(results))
    for line in report.explain(results):
        say(line)
        cause(line)
    raise typer.Exit(report.exit_code(results))
