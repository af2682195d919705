"""The command line: parse, call, render, exit. Results go to stdout, talk to stderr."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from mosaic_deploy.bars import Bars
    from mosaic_deploy.sources import InputOptions

app = typer.Typer(
    name="mosaic-deploy",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Take a mobile segmentation model to mobile hardware, and prove on the vendor's own compiler and "
    "runtime that it still works there.\n\n"
    "Start with [bold]mosaic-deploy build --target dsp[/]. Exit codes: 0 good, 1 a gate said no, "
    "2 bad usage or input, 3 a tool is missing or failed.",
)

_INTERRUPTED = 130
_STOPPED = "stopped; nothing half-written was left behind"
_INPUT = "An ONNX file without a model card"

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")]


@app.command(rich_help_panel="Deploy")
def build(
    model: Annotated[
        str,
        typer.Argument(help="A model card's name or path, imported weights, or any .onnx file."),
    ] = "mosaic",
    target: Annotated[
        list[str] | None,
        typer.Option(help="Target hardware, such as dsp; repeat it or separate names by commas."),
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
    output: Annotated[
        str | None, typer.Option(rich_help_panel=_INPUT, help="logits, lowres or classmap.")
    ] = None,
) -> None:
    """Export, check, quantise, compile and prove a model on each target."""
    from mosaic_deploy import pipeline, report
    from mosaic_deploy.plan import Request

    request = Request(
        model=model,
        targets=tuple(name for text in target or ["dsp"] for name in text.split(",") if name),
        out=out,
        data=data,
        calibration=calibration,
        images=images,
        recipe=recipe,
        tolerance=tolerance,
        force=force,
        options={} if arch is None else {"arch": arch},
        input=_input_options(input_mean, input_scale, input_colour, input_resize, output),
    )
    with _bars(quiet=json_) as progress:
        builds = pipeline.deploy(request, progress=progress)
    _show(json_, report.to_json(builds), lambda: report.table(builds))
    for made in builds:
        _say(f"{made.model} on {made.target}: {made.folder}")
        for line in made.explain():
            _say(f"  {line}")
    raise typer.Exit(0 if all(made.passed for made in builds) else 1)


@app.command(rich_help_panel="Deploy")
def doctor(json_: JsonFlag = False) -> None:
    """Say which toolchains and data are here, and how to get what is missing."""
    from mosaic_deploy import doctor as health

    findings = health.examine()
    _show(json_, health.to_json(findings), lambda: health.table(findings))
    raise typer.Exit(0 if all(f.ok or f.optional for f in findings) else 3)


@app.command("import-mlperf", rich_help_panel="Models")
def import_mlperf(
    tflite: Annotated[Path, typer.Argument(help="MLCommons' mobile_segmenter_r4_quant_argmax_uint8.tflite.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Weights to write (.safetensors); its card goes beside it."),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Read the official weights of MLPerf Mobile's MOSAIC into the reference network."""
    from mosaic_deploy.import_mlperf import import_mlperf as read

    card = read(tflite, out, force=force)
    _say(f"wrote {out} and {card}; try: mosaic-deploy build {card} --data folder:YOUR_IMAGES")


@app.command(rich_help_panel="Models")
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
    from mosaic_deploy.train.session import Settings, train_card

    settings = Settings(
        model=model, data=tuple(data), out=out,
        evaluate=tuple(evaluate or ()), epochs=epochs, minutes=minutes, batch=batch,
        learning_rate=learning_rate, weighting=weighting, init=init, seed=seed,
    )  # fmt: skip
    with _bars(quiet=json_) as progress:
        figures = train_card(settings, progress=progress)
    record = {name: None if math.isnan(value) else value for name, value in figures.items()}
    lines = "\n".join(f"{name} {value:.4f}" for name, value in figures.items())
    _show(json_, {"schema": 1, **record}, lambda: lines)


@app.command("render-streets", rich_help_panel="Models")
def render_streets(
    out: Annotated[Path, typer.Argument(help="Root to write train/images and train/labels into.")],
    scenes: Annotated[int, typer.Option(min=1, help="How many.")] = 1000,
    seed: Annotated[int, typer.Option(min=1, help="Seed 0 is the embedded set's.")] = 1,
    split: Annotated[str, typer.Option(help="train, calib or val.")] = "train",
) -> None:
    """Render street scenes with pixel-exact labels, for training."""
    from mosaic_deploy.datasets.streets import write

    with _bars(quiet=False) as progress:
        write(
            out,
            split=split,
            indices=range(scenes),
            seed=seed,
            tick=lambda s: progress("render", s, ""),
        )
    _say(f"wrote {scenes} scenes to {out / split}")


def main() -> NoReturn:
    """Run the command line; every failure is one line on stderr and an exit code of its own."""
    from mosaic_deploy.errors import MosaicError

    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(standalone_mode=False)
    except MosaicError as err:
        _fail(str(err), err.exit_code)
    except typer.TyperException as err:
        _fail(f"{err.format_message()} (see --help)", 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail(_STOPPED, _INTERRUPTED)
    except BrokenPipeError:
        sys.exit(141)
    except Exception as err:  # the last resort: a bug is one line too
        if os.environ.get("MOSAIC_DEBUG"):
            raise
        _fail(f"a bug in mosaic-deploy: {type(err).__name__}: {err}; MOSAIC_DEBUG=1 shows where", 3)
    if code == _INTERRUPTED:  # typer turns Ctrl-C into this
        _fail(_STOPPED, _INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> NoReturn:
    print(f"mosaic-deploy: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _show(as_json: bool, record: dict[str, object], view: Callable[[], object]) -> None:
    if as_json:
        print(json.dumps(record, allow_nan=False))
        return
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 140).print(view())


def _bars(*, quiet: bool) -> Bars:
    from mosaic_deploy.bars import Bars

    return Bars(quiet=quiet)


def _input_options(
    mean: str | None, scale: str | None, colour: str | None, resize: str | None, output: str | None
) -> InputOptions:
    from mosaic_deploy.sources import InputOptions

    return InputOptions(_triple(mean, "mean"), _triple(scale, "scale"), colour, resize, output)


def _triple(text: str | None, what: str) -> tuple[float, float, float] | None:
    from mosaic_deploy.errors import UsageError

    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as err:
        raise UsageError(f"--input-{what} {text!r}: one number, or three with commas") from err
    if len(values) == 1:
        values *= 3
    if len(values) != 3:
        raise UsageError(f"--input-{what} {text!r}: one number, or three with commas")
    return values[0], values[1], values[2]
