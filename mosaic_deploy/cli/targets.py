"""``mosaic-deploy targets``: parse, call, render, exit."""

from __future__ import annotations

from typing import Annotated

import typer


def targets(
    name: Annotated[
        str | None,
        typer.Argument(help="Target whose operators to list; default: all targets, one line each."),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """List the targets, or the operators and constraints of one."""
    from mosaic_deploy.gate.op_support.pages import describe_target, overview

    text = describe_target(name, markdown=markdown) if name else overview(markdown=markdown)
    print(text.rstrip("\n"))
