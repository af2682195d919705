"""``mosaic-deploy check`` and ``targets``: parse, call, render, exit. Heavy imports wait for their use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mosaic_deploy.cli.input_options import InputShape, OutputName
from mosaic_deploy.cli.output import NoInstall, give, late_bars, say

EXAMPLES = (
    "check my_net.onnx --target all",
    "check my_net.onnx --target dsp --fix fixed.onnx",
    "check my_net.onnx --target dsp,cpu --verify",
    "check my_net.onnx --target dsp --format sarif -o operators.sarif",
)


def check(
    models: Annotated[
        list[Path] | None,
        typer.Argument(metavar="MODEL.onnx...", help="ONNX files; default: those in the project config."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Target hardware, such as dsp or cpu,gpu, or 'all'; default: the project config's."
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Quantisation recipe; default: each target's first.")
    ] = None,
    max_fallback_macs: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE", help="Largest share of the MACs that may fall back, such as 5% or 0.05."
        ),
    ] = None,
    unknown: Annotated[
        str | None,
        typer.Option(
            metavar="fail|warn|ask",
            help="What to make of nodes that nothing is known of: fail, only warn, or ask the target's "
            "compiler. Default: the project config's, else ask where the toolchain is installed and fail "
            "where not.",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0, help="Time that asking may take per model and target; default: 60."
        ),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory of what compilers answered before, which is added to; default: the user's cache.",
        ),
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="Output format: text, json, sarif, junit, github or markdown.")
    ] = "text",
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write to this file instead of standard output; it is overwritten."),
    ] = None,
    diff: Annotated[
        Path | None,
        typer.Option(
            metavar="BASE",
            help="Baseline file, or directory of files; fail only on violations that it does not have.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Project config; default: mosaic-deploy.toml in this directory or above."),
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.onnx",
            help="Rewrite unsupported operators, verify each rewrite numerically, save the model and "
            "check it.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Let --fix replace the file that lies at OUT.onnx.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also compile and run with each target's own tools; slower.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory for minimal reproducers of what a compiler or an op table refuses; default: the "
            "working directory for --verify, DIR/reproducers of the evidence for what was asked.",
        ),
    ] = None,
    input_: Annotated[
        list[Path] | None,
        typer.Option(
            "--input",
            metavar="X.npy",
            help="Input on which --fix verifies rewrites; default: rendered street scenes.",
        ),
    ] = None,
    input_shape: InputShape = None,
    output_name: OutputName = None,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Check whether each target supports each model's operators, and say what to change."""
    from mosaic_deploy.gate.config import unknown_nodes
    from mosaic_deploy.gate.fix.dry_run import by_passes
    from mosaic_deploy.gate.formats.registry import find_format
    from mosaic_deploy.gate.repository import find_repository
    from mosaic_deploy.gate.run import GateRequest, run_gate, share
    from mosaic_deploy.graph.reader.read import Reading

    render = find_format(format_)
    request = GateRequest(
        models=tuple(models or ()),
        targets=tuple(name for text in target or () for name in text.split(",") if name),
        recipe=recipe,
        max_fallback_macs=share(max_fallback_macs, "--max-fallback-macs"),
        unknown=unknown_nodes(unknown, "--unknown"),
        budget=budget,
        evidence=evidence,
        config=config,
        base=diff,
        fix_to=fix,
        force=force,
        inputs=tuple(input_ or ()),
        verify=verify,
        save=save,
        reading=Reading.parse(input_shape, output_name),
    )
    repository = find_repository(Path())
    with late_bars() as progress:
        report = run_gate(request, repository=repository, fixer=by_passes, on_progress=progress)
    give(render(report, repository), output)
    if fix is not None and any(judged.fixed for judged in report.models):
        say(f"wrote {fix}")
    for judged in report.models:
        if judged.error:
            print(f"mosaic-deploy: {judged.error}", file=sys.stderr)
    raise typer.Exit(report.exit_code)
