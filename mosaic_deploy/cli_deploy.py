"""Commands that take a model to hardware: build, run, bench, doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mosaic_deploy.cli_output import JsonFlag, bars, say, show

_INPUT = "An ONNX file without a model card"


def build(
    model: Annotated[
        str,
        typer.Argument(help="A model card's name or path, imported weights, or any .onnx file."),
    ] = "mosaic",
    target: Annotated[
        list[str] | None,
        typer.Option(help="Target hardware, such as dsp or cpu,gpu; 'all' for every one; may be repeated."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="NAME[:DIR]", help="Data that parity is measured on; the card's by default."),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(metavar="NAME[:DIR]", help="Data to calibrate on; by default the same data set."),
    ] = None,
    images: Annotated[int | None, typer.Option(help="Measure parity on this many images only.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Quantisation recipe; the target's by default.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Largest drop in mIoU that passes, 0 to 1; the target's by default."),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(help="Hexagon architectures, such as 68,73,75; the target's by default."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(help="What the network gives: logits, lowres or classmap; the target's by default."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder that receives MODEL-TARGET-RECIPE.")] = Path("build"),
    force: Annotated[bool, typer.Option("--force", help="Replace an artifact that is there.")] = False,
    json_: JsonFlag = False,
    input_mean: Annotated[
        str | None,
        typer.Option(rich_help_panel=_INPUT, help="Mean per colour, such as 127.5 or 124,116,104."),
    ] = None,
    input_scale: Annotated[
        str | None,
        typer.Option(rich_help_panel=_INPUT, help="Scale per colour: input = (pixel - mean) / scale."),
    ] = None,
    input_colour: Annotated[
        str | None, typer.Option(rich_help_panel=_INPUT, help="RGB (default) or BGR.")
    ] = None,
    input_resize: Annotated[
        str | None, typer.Option(rich_help_panel=_INPUT, help="stretch (default) or letterbox.")
    ] = None,
) -> None:
    """Export, check, quantise, compile and prove a model on each target."""
    from mosaic_deploy import pipeline, report
    from mosaic_deploy.plan import Request
    from mosaic_deploy.sources import InputOptions

    request = Request(
        model=model,
        targets=tuple(name for text in target or ["dsp"] for name in text.split(",") if name),
        out=out,
        data=data,
        calibration=calibration,
        images=images,
        recipe=recipe,
        tolerance=tolerance,
        output=output,  # type: ignore[arg-type]  # plan() refuses what is no output kind
        force=force,
        options={} if arch is None else {"arch": arch},
        input=InputOptions.parse(input_mean, input_scale, input_colour, input_resize),
    )
    with bars(quiet=json_) as progress:
        results = pipeline.deploy(request, progress=progress)
    show(json_, report.to_json(results), lambda: report.table(results))
    for line in report.explain(results):
        say(line)
    raise typer.Exit(report.exit_code(results))


def run(
    artifact: Annotated[Path, typer.Argument(help="Folder that build wrote: MODEL-TARGET-RECIPE.")],
    image: Annotated[Path, typer.Argument(help="Image to predict, of any size.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Picture to write: the image coloured by class, with a legend."),
    ],
    labels: Annotated[Path | None, typer.Option(help="PNG to write: the class ids, 8-bit grey.")] = None,
    variant: Annotated[
        str | None, typer.Option(help="Compiled variant, such as v68; the newest by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Predict one image with an artifact, on its own runtime and by its contract alone."""
    from mosaic_deploy.overlay import Pictures
    from mosaic_deploy.prediction import predict

    pictures = Pictures(out, labels, force=force)
    pictures.require_free(image)
    with bars(quiet=json_) as progress:
        found = predict(artifact, image, variant=variant, progress=progress)
    pictures.write(found)
    if json_:
        print(json.dumps(found.to_json(), allow_nan=False))
    for line in found.explain():
        say(line)


def bench(
    artifacts: Annotated[list[Path], typer.Argument(help="Folders that build wrote: MODEL-TARGET-RECIPE.")],
    vs: Annotated[Path | None, typer.Option(help="Artifact to hold the others against.")] = None,
    runs: Annotated[int, typer.Option(help="Runs of each artifact, all rounds together.")] = 100,
    rounds: Annotated[int, typer.Option(help="Rounds, in which artifacts take turns.")] = 5,
    threads: Annotated[int, typer.Option(help="Threads of each runtime.")] = 2,
    image: Annotated[Path | None, typer.Option(help="Image to run on; an embedded one by default.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Plot to write, .svg or .png.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a plot that is there.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Time artifacts beside each other and beside float ONNX Runtime, on this machine's CPU."""
    from mosaic_deploy import benchmark, benchmark_plot

    if plot is not None:
        benchmark_plot.require_free(plot, force=force)
    request = benchmark.BenchRequest(
        tuple(artifacts), versus=vs, runs=runs, rounds=rounds, threads=threads, image=image
    )
    with bars(quiet=json_) as progress:
        report = benchmark.bench(request, progress=progress)
    show(json_, report.to_json(), report.table)
    for note in report.notes:
        say(note)
    if plot is not None:
        benchmark_plot.plot(report, plot)


def doctor(json_: JsonFlag = False) -> None:
    """Say which toolchains and data are here, and how to get what is missing."""
    from mosaic_deploy import doctor as health

    findings = health.examine()
    show(json_, health.to_json(findings), lambda: health.table(findings))
    raise typer.Exit(0 if all(f.ok or f.optional for f in findings) else 3)
