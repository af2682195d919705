"""``mosaic-deploy bench``: parse, call, render, exit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaic_deploy.cli.output import JsonFlag, NoInstall, bars, say, show

EXAMPLES = (
    "bench build/mosaic-cpu-w8a8 build/mosaic-ort-mobile-w8a8",
    "bench build/mosaic-cpu-w8a8 --vs build/mosaic-ort-mobile-w8a8 -o bench.svg",
)


def bench(
    artifacts: Annotated[
        list[Path], typer.Argument(help="Artifact directories, as build writes them: MODEL-TARGET-RECIPE.")
    ],
    vs: Annotated[Path | None, typer.Option(help="Baseline artifact.")] = None,
    runs: Annotated[int, typer.Option(help="Total runs of each artifact, over all rounds.")] = 100,
    rounds: Annotated[int, typer.Option(help="Number of rounds; artifacts alternate within each.")] = 5,
    threads: Annotated[int, typer.Option(help="Threads per runtime.")] = 2,
    image: Annotated[
        Path | None, typer.Option(help="Input image; default: an embedded street scene.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", "-o", help="Write a plot to this file, .svg or .png.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing plot.")] = False,
    json_: JsonFlag = False,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Benchmark artifacts against each other and against float ONNX Runtime, on this machine's CPU."""
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
