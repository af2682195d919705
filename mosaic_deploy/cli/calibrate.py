"""``mosaic-deploy calibrate``: parse, call, render, exit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaic_deploy.cli.input_options import InputMean, InputScale, InputShape, OutputName
from mosaic_deploy.cli.output import JsonFlag, NoInstall, bars, say

EXAMPLES = (
    "calibrate mosaic --data camvid",
    "calibrate mosaic --data camvid --samples 500 --recipe w8a8 -o ranges.json",
)


def calibrate(
    model: Annotated[str, typer.Argument(help="Name or path of a model card, or any .onnx file.")],
    data: Annotated[str, typer.Option(metavar="NAME[:DIR]", help="Calibration data set.")],
    samples: Annotated[
        int, typer.Option(min=2, help="Number of calibration images, spread evenly over the split.")
    ] = 32,
    recipe: Annotated[
        str, typer.Option(help="Quantisation recipe whose activation grid and method are used.")
    ] = "w8a8",
    processes: Annotated[
        int | None,
        typer.Option(help="Number of processes; default: one per core. Ranges do not depend on it."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the ranges and the audit to this JSON file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    json_: JsonFlag = False,
    input_mean: InputMean = None,
    input_scale: InputScale = None,
    input_shape: InputShape = None,
    output_name: OutputName = None,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Find activation ranges on images, and audit the images: classes, overlap, saturation, stability."""
    from mosaic_deploy.build.calibration import CalibrationRequest
    from mosaic_deploy.build.calibration import calibrate as run
    from mosaic_deploy.build.calibration_text import explain
    from mosaic_deploy.build.model_source import InputOptions
    from mosaic_deploy.files import disk_trouble, require_free_file, write_whole

    if out is not None:
        require_free_file(out, force=force)
    options = InputOptions.parse(
        input_mean, input_scale, None, None, shape=input_shape, output=output_name, threshold=None
    )
    request = CalibrationRequest(model, data, samples, recipe, processes, options)
    with bars(quiet=json_) as progress:
        found = run(request, progress=progress)
    text = found.model_dump_json(by_alias=True, indent=1)
    if out is not None:
        with disk_trouble(out):
            write_whole(out, f"{text}\n")
    if json_:
        print(text)
        return
    for line in explain(found):
        print(line)
    if out is not None:
        say(f"written: {out}")
