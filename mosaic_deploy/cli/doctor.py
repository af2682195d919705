"""``mosaic-deploy doctor``: parse, call, render, exit."""

from __future__ import annotations

import typer

from mosaic_deploy.cli.output import JsonFlag, show


def doctor(json_: JsonFlag = False) -> None:
    """Say which toolchains and data are here, and how to get what is missing."""
    from mosaic_deploy.build import doctor

    findings = doctor.examine()
    show(json_, doctor.to_json(findings), lambda: doctor.table(findings))
    raise typer.Exit(0 if all(f.ok or f.optional for f in findings) else 3)
