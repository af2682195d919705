"""``mosaic-deploy render-streets``: parse, call, render, exit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaic_deploy.cli.output import bars, say

EXAMPLES = ("render-streets more_streets --scenes 200 --seed 7", "render-streets more_streets --split val")


def render_streets(
    out: Annotated[
        Path,
        typer.Argument(help="Output directory; images and labels go into SPLIT/images and SPLIT/labels."),
    ],
    scenes: Annotated[int, typer.Option(min=1, help="Number of scenes.")] = 1000,
    seed: Annotated[int, typer.Option(min=1, help="Random seed; 0 is the embedded set's.")] = 1,
    split: Annotated[str, typer.Option(help="Split to render: train, calib or val.")] = "train",
) -> None:
    """Render street scenes with pixel-exact labels, for training."""
    from mosaic_deploy.street_scenes.render import write

    with bars(quiet=False) as progress:
        write(
            out,
            split=split,
            indices=range(scenes),
            seed=seed,
            on_progress=lambda s: progress("render", s, ""),
        )
    say(f"wrote {scenes} scenes to {out / split}")
