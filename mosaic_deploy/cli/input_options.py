"""The options by which a person says what a network takes, declared once for all commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mosaic_deploy.artifact.foreign import Stated

_FILE = "An ONNX file that leaves it open"
_MODEL = "Input of an ONNX file without a model card"
_ARTIFACT = "What the files take"


def _mean(panel: str) -> Any:
    return typer.Option(rich_help_panel=panel, help="Mean per colour channel, such as 127.5 or 124,116,104.")


def _scale(panel: str) -> Any:
    return typer.Option(
        rich_help_panel=panel, help="Scale per colour channel: input = (pixel - mean) / scale."
    )


def _colour(panel: str, default: str = "") -> Any:
    return typer.Option(rich_help_panel=panel, help=f"Channel order: RGB{default} or BGR.")


def _resize(panel: str, default: str = "") -> Any:
    return typer.Option(rich_help_panel=panel, help=f"Resize mode: stretch{default} or letterbox.")


InputMean = Annotated[str | None, _mean(_MODEL)]
InputScale = Annotated[str | None, _scale(_MODEL)]
InputColour = Annotated[str | None, _colour(_MODEL, " (default)")]
InputResize = Annotated[str | None, _resize(_MODEL, " (default)")]
Threshold = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=_MODEL,
        help="Foreground threshold of a model with one score per pixel; default: 0.5 after a sigmoid, "
        "else 0.",
    ),
]
InputShape = Annotated[
    str | None,
    typer.Option(
        metavar="N,C,H,W",
        rich_help_panel=_FILE,
        help="Size of the image where the file has dynamic dimensions, such as 1,3,512,512.",
    ),
]
OutputName = Annotated[
    str | None,
    typer.Option(metavar="NAME", rich_help_panel=_FILE, help="Output to deploy where the file has several."),
]

FedMean = Annotated[str | None, _mean(_ARTIFACT)]
FedScale = Annotated[str | None, _scale(_ARTIFACT)]
FedColour = Annotated[str | None, _colour(_ARTIFACT)]
FedResize = Annotated[str | None, _resize(_ARTIFACT)]
ContractCard = Annotated[
    str | None,
    typer.Option(
        "--contract",
        metavar="CARD",
        rich_help_panel=_ARTIFACT,
        help="Model card whose contract the files keep.",
    ),
]


def fed(mean: str | None, scale: str | None, colour: str | None, resize: str | None) -> Stated:
    """What is said of an artifact's input, as typed; raises ``UsageError``."""
    from mosaic_deploy.artifact.foreign import Stated
    from mosaic_deploy.build.model_source import InputOptions

    options = InputOptions.parse(mean, scale, colour, resize)
    return Stated(options.mean, options.scale, options.colour, options.resize)
