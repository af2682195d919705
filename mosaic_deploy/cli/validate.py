"""``mosaic-deploy validate``: parse, call, render, exit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaic_deploy.cli.input_options import (
    ContractCard,
    FedColour,
    FedMean,
    FedResize,
    FedScale,
    InputShape,
    OutputName,
    fed,
)
from mosaic_deploy.cli.output import JsonFlag, NoInstall, bars, say, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from mosaic_deploy.build.validated import Validated

EXAMPLES = (
    "validate mosaic made_elsewhere.tflite --data camvid --images 24",
    "validate net.onnx net_int8.onnx net.ort --data folder:my_images --input-mean 0 --input-scale 255",
    "validate build/mosaic-cpu-fp32 build/mosaic-dsp-w8a8 --data camvid --json",
)


def validate(
    reference: Annotated[
        str, typer.Argument(help="Name or path of a model card, an .onnx file, or an artifact directory.")
    ],
    artifacts: Annotated[
        list[Path],
        typer.Argument(
            metavar="ARTIFACT...",
            help="Files made by any tool: .onnx (float, QDQ, QOperator, compiled context), .ort, .tflite, "
            "OpenVINO .xml, QNN .bin and .dlc; or artifact directories.",
        ),
    ],
    data: Annotated[str, typer.Option(metavar="NAME[:DIR]", help="Data set to compare on.")],
    images: Annotated[int | None, typer.Option(help="Number of images; default: all.")] = None,
    all_images: Annotated[
        bool,
        typer.Option(
            "--all-images",
            help="Run every image also on a slow simulator, where a sample makes the verdict of all certain.",
        ),
    ] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Largest mIoU drop that passes, 0 to 1; default: 0.01, without labels 0.05 of the pixels."
        ),
    ] = None,
    contract: ContractCard = None,
    input_mean: FedMean = None,
    input_scale: FedScale = None,
    input_colour: FedColour = None,
    input_resize: FedResize = None,
    input_shape: InputShape = None,
    output_name: OutputName = None,
    json_: JsonFlag = False,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Compare files made by any tool with a reference, each on its own runtime.

    What a file takes is said by the options, the description that a build left in it, its own metadata, the
    contract card, or else the reference; the report says which.
    """
    from mosaic_deploy.artifact.foreign import Stated
    from mosaic_deploy.build import validate as validating
    from mosaic_deploy.build import validated
    from mosaic_deploy.build.model_source import InputOptions, has_card

    options = InputOptions.parse(
        input_mean, input_scale, input_colour, input_resize, shape=input_shape, output=output_name
    )
    described = Path(reference).is_dir() or has_card(reference)
    request = validating.ValidationRequest(
        reference=reference,
        artifacts=tuple(artifacts),
        data=data,
        images=images,
        all_images=all_images,
        tolerance=tolerance,
        contract=contract,
        stated=fed(input_mean, input_scale, input_colour, input_resize) if described else Stated(),
        input=InputOptions() if described else options,
    )
    with bars(quiet=json_) as progress:
        results = validating.validate(request, progress=progress)
    show(json_, validated.to_json(results), lambda: _table(results))
    for result in results:
        for line in _lines(result):
            say(line)
    raise typer.Exit(validated.exit_code(results))


def _table(results: Sequence[Validated]) -> Table:
    from rich.table import Table

    view = Table()
    for heading in ("artifact", "images"):
        view.add_column(heading)
    for heading in ("reference", "artifact's", "drop", "agreement"):
        view.add_column(heading, justify="right")
    view.add_column("verdict")
    for result in results:
        colour = "green" if result.passed else "yellow" if result.verdict == "undecided" else "red"
        verdict = f"[{colour}]{result.verdict}[/]"
        parity = result.parity
        if parity is None:
            view.add_row(result.artifact, *["-"] * 5, verdict)
            continue
        view.add_row(
            result.artifact,
            f"{parity.counted} {parity.dataset}",
            f"{parity.reference:.4f}",
            f"{parity.candidate:.4f}",
            f"{parity.drop:+.4f}",
            f"{parity.agreement:.2%}",
            verdict,
        )
    return view


def _lines(result: Validated) -> list[str]:
    if result.parity is None:
        return [f"{result.artifact}: {result.error}"]
    lines = [f"{result.artifact}: ran on {result.ran_on}; contract: {result.contract_from}"]
    lines.append(f"  fed {result.feeding}")
    if len(result.variants) > 1:
        each = ", ".join(f"{name} {parity.candidate:.4f}" for name, parity in result.variants)
        lines.append(f"  {each}: the worst counts")
    lines += [f"  {note}" for note in (result.parity.undecided, result.parity.note) if note]
    if not result.passed and not result.parity.undecided:
        lost = "" if result.parity.drop > result.parity.tolerance else ", but classes are lost"
        lines.append(
            f"  parity failed: {result.parity.metric} dropped by {result.parity.drop:.4f}, "
            f"{result.parity.tolerance:g} is allowed{lost}"
        )
    return lines
