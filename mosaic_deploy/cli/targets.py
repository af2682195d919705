"""``mosaic-deploy targets``: parse, call, render, exit."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = ("targets", "targets dsp", "targets dsp --op Resize", "targets dsp --markdown")


def targets(
    name: Annotated[
        str | None,
        typer.Argument(help="Target whose operators to list; default: all targets, one line each."),
    ] = None,
    op: Annotated[
        list[str] | None,
        typer.Option(help="Operators whose rules to print in full, such as Resize,Conv; default: a summary."),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print everything, as Markdown.")] = False,
) -> None:
    """List the targets, or what one takes: a summary of its operators, or the rules of some."""
    from mosaic_deploy.errors import UsageError
    from mosaic_deploy.gate.op_support.pages import describe_target, overview

    ops = tuple(word for text in op or () for word in text.split(",") if word)
    if ops and (name is None or markdown):
        raise UsageError(
            "--op needs a target, and goes without --markdown: mosaic-deploy targets dsp --op Resize"
        )
    text = describe_target(name, markdown=markdown, ops=ops) if name else overview(markdown=markdown)
    print(text.rstrip("\n"))
