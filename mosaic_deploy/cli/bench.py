"""``mosaic-deploy bench``: parse, call, render, exit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaic_deploy.cli.output import JsonFlag, NoInstall, bars, say, show


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
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Time artifacts beside each other and beside float ONNX Runtime, on this machine's CPU."""
    from mosaic_deploy.artifact.bench import plot as drawing
    from mosaic_deploy.artifact.bench import run

    if plot is not None:
        drawing.require_free(plot, force=force)
    request = run.BenchRequest(
        tuple(artifacts), baseline=vs, runs=runs, rounds=rounds, threads=threads, image=image
    )
    with bars(quiet=json_) as progress:
        report = run.bench(request, progress=progress)
    show(json_, report.to_json(), report.table)
    for note in report.notes:
        say(note)
    if plot is not None:
        drawing.plot(report, plot)
