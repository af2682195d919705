"""Commands that make models: import, train, render."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mosaic_deploy.cli.output import JsonFlag, bars, say, show

IMPORT_EXAMPLES = ("import-mlperf mobile_segmenter_r4_quant_argmax_uint8.tflite -o mosaic_r4.safetensors",)
TFLITE_EXAMPLES = ("import-tflite selfie_segmentation.tflite -o selfie.onnx",)
TRAIN_EXAMPLES = (
    "train mosaic --data streets:more_streets --out runs/mosaic --minutes 30",
    "train mosaic --data camvid --data streets:more_streets*0.5 --out runs/mosaic --epochs 100",
)


def import_mlperf(
    tflite: Annotated[Path, typer.Argument(help="MLCommons' mobile_segmenter_r4_quant_argmax_uint8.tflite.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Weights file to write (.safetensors); its model card is written beside it."
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Import the official weights of MLPerf Mobile's MOSAIC into the reference network."""
    from mosaic_deploy.zoo.mlperf.import_r4 import import_mlperf as read

    card = read(tflite, out, force=force)
    say(f"wrote {out} and {card}; try: mosaic-deploy build {card} --data folder:YOUR_IMAGES")


def import_tflite(
    tflite: Annotated[Path, typer.Argument(help="A float network: weights in float32 or float16.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="ONNX file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Read a float TFLite file as ONNX, and prove on LiteRT and ONNX Runtime that both compute the same."""
    from mosaic_deploy.backends.litert.importing.import_tflite import import_tflite as read

    with bars(quiet=json_) as progress:
        made = read(tflite, out, force=force, on_progress=partial(progress, "import"))
    record = {"schema": 1, **asdict(made), "path": str(made.path)}
    restated = f"\nof MediaPipe's own operators: {', '.join(made.restated)}" if made.restated else ""
    show(
        json_,
        record,
        lambda: (
            f"wrote {out}: {made.operators} operators, images of {made.size[0]}x{made.size[1]}\n"
            f"no tensor differs from LiteRT's run by more than {made.difference:.1e} of its range{restated}\n"
            f"next: mosaic-deploy build {out} --target dsp --data folder:YOUR_IMAGES "
            "--input-mean M --input-scale S"
        ),
    )


def train(
    model: Annotated[str, typer.Argument(help="Name or path of a model card.")],
    data: Annotated[
        list[str],
        typer.Option(
            metavar="NAME[:DIR][*SHARE]", help="Training data set; repeat to mix several; *2 counts double."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Directory of the run; a stopped run resumes from it.")
    ],
    evaluate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:DIR]", help="Evaluation data sets; default: the training data's val split."
        ),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Epochs (default 100).")] = None,
    minutes: Annotated[float | None, typer.Option(help="Train for this many minutes instead.")] = None,
    batch: Annotated[int, typer.Option(help="Images per step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="Learning rate of AdamW after warm-up.")] = 2e-3,
    weighting: Annotated[
        str, typer.Option(help="Class weights: none, sqrt or median (frequency balancing).")
    ] = "sqrt",
    init: Annotated[
        Path | None,
        typer.Option(help="Initial weights (.safetensors); default: random."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of weights, order and augmentation.")] = 0,
    json_: JsonFlag = False,
) -> None:
    """Train a network of the zoo; writes safetensors, a CSV and a plot, and resumes a stopped run."""
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
