"""``mosaic-deploy run``: parse, call, render, exit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mosaic_deploy.cli.output import JsonFlag, NoInstall, bars, say


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
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Predict one image with an artifact, on its own runtime and by its contract alone."""
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
