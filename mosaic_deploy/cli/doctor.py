"""``mosaic-deploy doctor``: parse, call, render, exit."""

from __future__ import annotations

from typing import Annotated

import typer

from mosaic_deploy.cli.output import JsonFlag, bars, say, show

EXAMPLES = ("doctor", "doctor --target dsp,cpu", "doctor --install dsp", "doctor --clean")


def doctor(
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Targets that must work, such as dsp or cpu,gpu, or 'all'; default: any one of them.",
        ),
    ] = None,
    install: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Install toolchains now: of a target (dsp), by name (qnn), or all."
        ),
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove toolchains that this version does not need.")
    ] = False,
    json_: JsonFlag = False,
) -> None:
    """List which toolchains, drivers and data are here, and how to get what is missing."""
    from mosaic_deploy.build import doctor
    from mosaic_deploy.build.plan import target_names

    wanted = target_names(name for text in target or () for name in text.split(",") if name)

    if clean:
        for line in doctor.clean():
            say(line)
    if install:
        names = [name for text in install for name in text.split(",") if name]
        with bars(quiet=json_) as progress:
            lines = doctor.install(names, progress=progress)
        for line in lines:
            say(line)
    findings = doctor.examine(wanted)
    show(json_, doctor.to_json(findings), lambda: doctor.table(findings))
    raise typer.Exit(0 if doctor.healthy(findings) else 3)
