"""``mosaic-deploy run``: parse, call, render, exit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mosaic_deploy.cli.output import JsonFlag, NoInstall, bars, say

EXAMPLES = (
    "run build/mosaic-dsp-w8a8 street.jpg -o seen.png",
    "run build/mosaic-dsp-w8a8 street.jpg -o seen.png --labels ids.png --variant v68 --json",
)


def run(
    artifact: Annotated[
        Path, typer.Argument(help="Artifact directory, as build writes it: MODEL-TARGET-RECIPE.")
    ],
    image: Annotated[Path, typer.Argument(help="Input image, of any size.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Image to write: the input coloured by class, with a legend."),
    ],
    labels: Annotated[Path | None, typer.Option(help="PNG to write: class ids, 8-bit grey.")] = None,
    variant: Annotated[
        str | None, typer.Option(help="Compiled variant, such as v68; default: the newest.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    json_: JsonFlag = False,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Run an artifact on one image, with its own runtime."""
    from mosaic_deploy.artifact.pictures import Pictures
    from mosaic_deploy.artifact.predict import predict

    pictures = Pictures(out, labels, force=force)
    pictures.require_free(image)
    with bars(quiet=json_) as progress:
        found = predict(artifact, image, variant=variant, progress=progress)
    pictures.write(found)
    if json_:
        print(json.dumps(found.to_json(), allow_nan=False))
    for line in found.explain():
        say(line)
