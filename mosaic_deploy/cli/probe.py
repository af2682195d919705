"""``mosaic-deploy probe``: parse, call, render, exit. Heavy imports wait for their use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaic_deploy.cli.output import JsonFlag, NoInstall, bars, give, say, show

if TYPE_CHECKING:
    from mosaic_deploy.probing.report import Use


def probe(
    target: Annotated[str, typer.Argument(help="A target, such as dsp, or an op table, such as litert-gpu.")],
    op: Annotated[
        list[str] | None, typer.Option(help="Operator to try, such as Resize; by default all.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Compilers at a time; by default one per core.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Try the table's own grid again, and fail where it differs.")
    ] = False,
    random: Annotated[
        int | None, typer.Option(min=1, help="Try this many random cases instead; with --output as well.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random cases.")] = 0,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="Keep outcomes here; what is there is not tried again."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the new table, in place of standard output."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the cases that disagree.")
    ] = None,
    json_: JsonFlag = False,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Try operators on a target's real compiler, to make its op table or to hold the table against it."""
    from mosaic_deploy.probing.run import ProbeRequest
    from mosaic_deploy.probing.run import probe as run

    request = ProbeRequest(
        target=target,
        use=_use(verify=verify, random=random, output=output),
        ops=tuple(dict.fromkeys(op or ())),
        jobs=jobs,
        count=random or 0,
        seed=seed,
        record=record,
        save=save,
    )
    with bars(quiet=json_) as progress:
        report = run(request, lambda share, note: progress("probe", share, note))
    makes = bool(report.text)
    if makes and (output is not None or not json_):
        give(report.text.rstrip("\n"), output)
    if not makes or output is not None or json_:
        show(json_, report.to_json(), report.agreement.view)
    for line in report.explain():
        say(line)
    raise typer.Exit(report.exit_code)


def _use(*, verify: bool, random: int | None, output: Path | None) -> Use:
    """What the options ask for; raises ``UsageError`` for two things at once."""
    from mosaic_deploy.errors import UsageError

    if verify and (random or output is not None):
        raise UsageError("--verify goes with neither --random nor --output: it makes no table")
    if verify:
        return "verify"
    return "random" if random and output is None else "make"
