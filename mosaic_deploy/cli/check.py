"""``mosaic-deploy check`` and ``targets``: parse, call, render, exit. Heavy imports wait for their use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mosaic_deploy.cli.output import NoInstall, give


def check(
    models: Annotated[
        list[Path] | None,
        typer.Argument(metavar="MODEL.onnx...", help="ONNX files; by default those that the config names."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Target hardware, such as dsp or cpu,gpu, or 'all'; by default the config's."),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Quantisation recipe; each target's by default.")] = None,
    max_fallback_macs: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="Most of the MACs that may fall back, such as 5% or 0.05."),
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="text, json, sarif, junit, github or markdown.")
    ] = "text",
    output: Annotated[
        Path | None, typer.Option(help="File to write in place of standard output; it is replaced.")
    ] = None,
    diff: Annotated[
        Path | None,
        typer.Option(metavar="BASE", help="Fail only on what is new since this file (or folder of files)."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Project config; by default mosaic-deploy.toml here or above.")
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.onnx", help="Rewrite what targets refuse, prove each step, write it, and check that."
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also compile and run on each target's own tools; slower.")
    ] = False,
    save: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the smallest part that a compiler refuses.")
    ] = Path(),
    input_: Annotated[
        list[Path] | None,
        typer.Option(
            "--input", metavar="X.npy", help="Real input for that proof; by default embedded photographs."
        ),
    ] = None,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Say whether each target takes each model's operators, and what to change where it does not."""
    from mosaic_deploy.gate.fix.dry_run import by_passes
    from mosaic_deploy.gate.formats.registry import find_format
    from mosaic_deploy.gate.repository import find_repository
    from mosaic_deploy.gate.run import GateRequest, run_gate, share

    render = find_format(format_)
    request = GateRequest(
        models=tuple(models or ()),
        targets=tuple(name for text in target or () for name in text.split(",") if name),
        recipe=recipe,
        max_fallback_macs=share(max_fallback_macs, "--max-fallback-macs"),
        config=config,
        base=diff,
        fix_to=fix,
        inputs=tuple(input_ or ()),
        verify=verify,
        save=save,
    )
    repository = find_repository(Path())
    if fix is None and not verify:  # at once, so without a bar
        report = run_gate(request, repository=repository, fixer=by_passes)
    else:
        from mosaic_deploy.cli.progress_bars import Bars

        with Bars(quiet=False) as bars:
            report = run_gate(request, repository=repository, fixer=by_passes, on_progress=bars)
    give(render(report, repository), output)
    for judged in report.models:
        if judged.error:
            print(f"mosaic-deploy: {judged.error}", file=sys.stderr)
    raise typer.Exit(report.exit_code)
