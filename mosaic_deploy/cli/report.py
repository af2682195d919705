"""``mosaic-deploy report``: parse, call, render, exit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mosaic_deploy.cli.output import JsonFlag, say

EXAMPLES = (
    "report build --out report.html",
    "report build/mosaic-dsp-w8a8 build/mosaic-cpu-w8a8 --out both.html",
    "report build/mosaic-dsp-w8a8 --with lost/sensitivity.json --out report.html",
)


def report(
    artifacts: Annotated[
        list[Path],
        typer.Argument(metavar="DIR", help="Artifact directories, or a directory that holds some."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")],
    with_: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            metavar="FILE",
            help="What 'sensitivity --out' or 'bench --json' measured of these artifacts; may be repeated.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Join artifacts into one HTML page, models by targets; nothing is run."""
    from mosaic_deploy.artifact.html_report.joined import join

    joined = join(artifacts, out, measured=with_ or (), force=force)
    if json_:
        print(json.dumps(joined.to_json()))
    else:
        count = len(joined.records)
        say(f"{count} artifact{'s' * (count != 1)}: {out}")
