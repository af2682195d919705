"""``mosaic-deploy contract``: parse, call, render, exit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaic_deploy.cli.input_options import ContractCard, FedColour, FedMean, FedResize, FedScale, fed
from mosaic_deploy.cli.output import JsonFlag, NoInstall, bars, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from mosaic_deploy.artifact.contract_fuzz.fuzz import FuzzReport

EXAMPLES = (
    "contract fuzz build/mosaic-cpu-w8a8 --data streets",
    "contract fuzz made_elsewhere.tflite --data folder:my_images --input-mean 127.5 --input-scale 127.5",
    "contract fuzz v75/model_ctx_qnn.bin --data camvid --contract mosaic --images 4 --json",
)
_ACTIONS = ("fuzz",)


def contract(
    action: Annotated[
        str, typer.Argument(metavar="fuzz", help="fuzz: make each usual mistake, and measure it.")
    ],
    artifact: Annotated[
        Path,
        typer.Argument(
            help="Artifact directory, or a file made by any tool: .onnx, .ort, .tflite, OpenVINO .xml, QNN "
            ".bin or .dlc."
        ),
    ],
    data: Annotated[str, typer.Option(metavar="NAME[:DIR]", help="Data set to measure on.")],
    images: Annotated[int, typer.Option(min=1, help="Number of images.")] = 8,
    card: ContractCard = None,
    input_mean: FedMean = None,
    input_scale: FedScale = None,
    input_colour: FedColour = None,
    input_resize: FedResize = None,
    json_: JsonFlag = False,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Measure what each usual preprocessing mistake would cost an artifact, and how to recognise it.

    What a file takes is said by the options, the description that a build left in it, its own metadata, the
    contract card, or else by the data: its classes, and pixels as they are.
    """
    from mosaic_deploy.artifact.contract_fuzz.fuzz import FuzzRequest, fuzz
    from mosaic_deploy.errors import UsageError
    from mosaic_deploy.specs.toml import nearest

    if action not in _ACTIONS:
        raise UsageError(f"contract {action}: no such action{nearest(action, _ACTIONS)}; known: fuzz")
    said = fed(input_mean, input_scale, input_colour, input_resize)
    request = FuzzRequest(artifact, data, images, card, said)
    with bars(quiet=json_) as progress:
        report = fuzz(request, progress=progress)
    show(json_, report.to_json(), lambda: _table(report))
    say(f"fed rightly: {report.feeding}; contract: {report.contract_from}")
    for mistake in report.impossible:
        say(f"cannot happen here: {mistake.name}: {mistake.impossible}")


def _table(report: FuzzReport) -> Table:
    from rich.table import Table

    right = next((cost.parity.reference for cost in report.by_cost if cost.parity), float("nan"))
    title = f"{report.artifact} on {report.images} {report.dataset}, {report.ran_on}"
    view = Table(
        title=f"{title}; fed rightly mIoU {right:.4f}" if report.labelled else title, title_justify="left"
    )
    view.add_column("mistake")
    for heading in ("mIoU", "drop") if report.labelled else ():
        view.add_column(heading, justify="right")
    view.add_column("same class", justify="right")
    view.add_column("classes that change most")
    view.add_column("looks like")
    for cost in report.by_cost:
        if cost.parity is None:
            continue
        figures = (f"{cost.parity.candidate:.4f}", f"{cost.parity.drop:+.4f}") if report.labelled else ()
        view.add_row(
            cost.mistake.name, *figures, f"{cost.parity.agreement:.1%}", cost.signature, cost.mistake.looks
        )
    return view
