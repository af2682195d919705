"""``mosaic-deploy diff``: parse, call, render, exit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaic_deploy.cli.output import JsonFlag, NoInstall, bars, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from mosaic_deploy.build.diff.found import Diff

EXAMPLES = (
    "diff qdq build/mosaic-dsp-w8a8:75 --data streets --out case",
    "diff build/mosaic-dsp-w8a8:68 build/mosaic-dsp-w8a8:75 --data camvid --images 4",
    "diff float build/mosaic-ort-mobile-w8a8 --data streets --json",
    "diff qdq build/mosaic-cpu-w8a8 --data streets",
)
_SHOWN = 8


def diff(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="What is expected: an artifact directory, DIRECTORY:ARCH, 'float' or 'qdq' (the other "
            "side's float or quantised network as ONNX, on ONNX Runtime).",
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="What is held against it: the same.")],
    data: Annotated[str, typer.Option(metavar="NAME[:DIR]", help="Data set whose images both get.")],
    images: Annotated[int, typer.Option(min=1, help="Number of images.")] = 2,
    spots: Annotated[
        int, typer.Option(min=0, help="Inner tensors that are probed too where the last one agrees.")
    ] = 4,
    slack: Annotated[
        float, typer.Option(help="Factor on the difference that rounding on the grids explains.")
    ] = 1.0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Where they part: folder for a minimal ONNX with input, expected and actual output, and an "
            "issue text.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the folder of --out.")] = False,
    json_: JsonFlag = False,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Find the first tensor where two runtimes of one network part by more than their grids explain.

    Bisects over named tensors: each probe cuts the network there and runs it on both. The operators found
    are then run alone. Exit code 1 where the two part.
    """
    from mosaic_deploy.build.diff import diff as diffing
    from mosaic_deploy.build.diff.found import DiffRequest

    request = DiffRequest(first, second, data, images, spots, slack, out, force)
    with bars(quiet=json_) as progress:
        found = diffing.diff(request, progress=progress)
    show(json_, found.to_json(), lambda: _table(found))
    for line in _lines(found, out):
        say(line)
    raise typer.Exit(1 if found.parts else 0)


def _table(found: Diff) -> Table:
    from rich.table import Table

    view = Table()
    for heading in ("probe", "tensor"):
        view.add_column(heading, overflow="fold")
    for heading in ("99.9 % within", "bound", "largest"):
        view.add_column(heading, justify="right")
    view.add_column("verdict")
    for place, probe in enumerate(found.probes, 1):
        at = probe.distance
        verdict = "[red]parts[/]" if at.parts else "[green]agrees[/]"
        figures = (f"{at.typical:.3g}", f"{at.bound:.3g}", f"{at.largest:.3g}")
        view.add_row(str(place), probe.tensor, *figures, verdict)
    return view


def _lines(found: Diff, out: Path | None) -> list[str]:
    first, second = found.ran_on
    lines = [f"A: {first}; B: {second}; {found.candidates} tensors in common"]
    if found.alone is None or found.at is None:
        return [*lines, f"no parting: all {len(found.probes)} tensors that were probed agree"]
    alone = found.alone
    named = ", ".join(alone.operators[:_SHOWN]) or "a change of scale"
    more = f" and {len(alone.operators) - _SHOWN} more" if len(alone.operators) > _SHOWN else ""
    again = "again" if alone.distance.parts else "not again: it adds up, or comes of what is around"
    lines += [
        f"part at '{found.found}', made by {named}{more}",
        f"  from the image on: {found.at.words}",
        f"  alone: {again}: {alone.distance.words}",
    ]
    if out is not None:
        lines.append(f"  {out}: minimal.onnx, input, expected, actual, issue.md")
    return lines
