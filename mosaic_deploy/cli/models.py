"""Commands that make models: import, train, render."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from mosaic_deploy.cli.output import JsonFlag, bars, say, show


def import_mlperf(
    tflite: Annotated[Path, typer.Argument(help="MLCommons' mobile_segmenter_r4_quant_argmax_uint8.tflite.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Weights to write (.safetensors); its card goes beside it."),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Read the official weights of MLPerf Mobile's MOSAIC into the reference network."""
    from mosaic_deploy.zoo.mlperf.import_r4 import import_mlperf as read

    card = read(tflite, out, force=force)
    say(f"wrote {out} and {card}; try: mosaic-deploy build {card} --data folder:YOUR_IMAGES")


def train(
    model: Annotated[str, typer.Argument(help="A model card's name or path.")],
    data: Annotated[
        list[str],
        typer.Option(metavar="NAME[:DIR][*SHARE]", help="Training data; repeat it to mix, 2 counts double."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; a stopped run goes on where it was.")],
    evaluate: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[:DIR]", help="Evaluate on these; by default the training data's val."),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data (default 100).")] = None,
    minutes: Annotated[float | None, typer.Option(help="Train for this long instead.")] = None,
    batch: Annotated[int, typer.Option(help="Images per step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="AdamW's, after the warm-up.")] = 2e-3,
    weighting: Annotated[
        str, typer.Option(help="Class weights: none, sqrt or median (frequency balancing).")
    ] = "sqrt",
    init: Annotated[
        Path | None,
        typer.Option(help="Start from these weights (.safetensors) instead of at random."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    json_: JsonFlag = False,
) -> None:
    """Train a network of the zoo; writes safetensors, a CSV and a plot, and resumes after a stop."""
    from mosaic_deploy.zoo.train.session import Settings, train_card

    settings = Settings(
        model=model, data=tuple(data), out=out,
        evaluate=tuple(evaluate or ()), epochs=epochs, minutes=minutes, batch=batch,
        learning_rate=learning_rate, weighting=weighting, init=init, seed=seed,
    )  # fmt: skip
    with bars(quiet=json_) as progress:
        figures = train_card(settings, progress=progress)
    record = {name: None if math.isnan(value) else value for name, value in figures.items()}
    lines = "\n".join(f"{name} {value:.4f}" for name, value in figures.items())
    show(json_, {"schema": 1, **record}, lambda: lines)
