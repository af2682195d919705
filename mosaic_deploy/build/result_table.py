"""Builds as a table for people: a row each, or a block each where the terminal is too narrow for rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from mosaic_deploy.artifact.store import shipped_bytes
from mosaic_deploy.build.report import BuildReport, Failure, Result

WIDE = 130
"""Columns from which on every build is a row."""
_NAME = ("model", "target", "recipe", "output", "images")
_FIGURES = ("float mIoU", "device mIoU", "drop", "converted", "agreement", "size", "s")
_WITHIN = 2


def table(results: Sequence[Result]) -> RenderableType:
    """Both mIoU, where they differ by what, agreement, size, seconds and verdict of each build."""
    return _Results(tuple(_cells(result) for result in results))


@final
class _Results:
    """Rows of cells in the order of ``_NAME``, ``_FIGURES`` and the verdict."""

    def __init__(self, rows: tuple[tuple[str, ...], ...]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """A table where there is room, else blocks."""
        if options.max_width >= WIDE:
            yield _rows(self._rows)
            return
        for row in self._rows:
            yield from _block(row, options.max_width)


def _rows(rows: Sequence[Sequence[str]]) -> Table:
    view = Table(title_justify="left")
    for heading in _NAME:
        view.add_column(heading)
    for heading in _FIGURES:
        view.add_column(heading, justify="right")
    view.add_column("verdict")
    for row in rows:
        view.add_row(*row)
    return view


def _block(row: Sequence[str], width: int) -> list[Text]:
    """A build as a line of its name and verdict, and below it its figures, as many a line as fit."""
    *cells, verdict = row
    model, target, recipe, output, images = cells[: len(_NAME)]
    figures = zip(("images", *_FIGURES), (images, *cells[len(_NAME) :]), strict=True)
    lines = [Text.assemble(f"{model} on {target}, {recipe}, {output}: ", Text.from_markup(verdict))]
    line = ""
    for part in (f"{heading} {value}" for heading, value in figures if value != "-"):
        longer = f"{line}, {part}" if line else part
        if line and len(longer) + _WITHIN >= width:
            lines.append(Text(" " * _WITHIN + line))
            longer = part
        line = longer
    return [*lines, Text(" " * _WITHIN + line)] if line else lines


def _cells(result: Result) -> tuple[str, ...]:
    return tuple(_failed(result) if isinstance(result, Failure) else _built(result))


def _built(build: BuildReport) -> list[str]:
    name = [build.model, build.target, build.recipe, build.output]
    size = f"{shipped_bytes(build.artifacts) / 2**20:.2f} MiB" if build.parity else "-"
    colour = "green" if build.passed else "yellow" if build.undecided else "red"
    end = [size, f"{build.seconds:.0f}", f"[{colour}]{build.verdict}[/]"]
    converted = f"{build.conversion.parity.agreement:.2%}" if build.conversion else "-"
    if build.parity is None:
        return [*name, "-", "-", "-", "-", converted, "-", *end]
    parity = build.parity
    return [
        *name,
        f"{parity.counted} {parity.dataset}",
        f"{parity.reference:.4f}",
        f"{parity.candidate:.4f}",
        f"{parity.drop:+.4f}",
        converted,
        f"{parity.agreement:.2%}",
        *end,
    ]


def _failed(failure: Failure) -> list[str]:
    word = "refused" if failure.exit_code == 1 else "no verdict"
    return [failure.model, failure.target, failure.recipe, *["-"] * 9, f"[red]{word}[/]"]
