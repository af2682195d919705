"""The picture of a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.artifact.bench.report import BenchReport, Timed
from mosaic_deploy.errors import UsageError
from mosaic_deploy.files import disk_trouble, moved_in, require_free_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SUFFIXES = (".png", ".svg")
_ROW_INCHES = 0.55
_HEIGHT = 0.3
"""Of a row's dots, where the next row is 1 away."""


def require_free(path: Path, *, force: bool) -> None:
    """Raise ``UsageError`` for a place that the plot cannot go to, before anything is timed."""
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"{path}: plots are written as {' or '.join(_SUFFIXES)}")
    require_free_file(path, force=force)


def plot(report: BenchReport, path: Path) -> None:
    """Draw every run as a dot, each round on a line of its own, and the medians: in black and in numbers.

    The float networks' medians are dashed lines; a simulator has no place in it. PNG or SVG by the suffix.
    Raises ``ToolError`` where the file cannot be written.
    """
    from matplotlib.figure import Figure

    rows = [row.timed for row in report.rows if row.timed.latencies is not None]
    figure = Figure(figsize=(8, 1.6 + _ROW_INCHES * max(len(rows), 1)), layout="constrained")
    axes = figure.subplots()
    for place, timed in enumerate(rows):
        _draw(axes, place, timed)
    for index, timed in enumerate(report.floats):
        if timed.latencies is not None:
            axes.axvline(
                1e3 * timed.latencies.median_s, color=f"C{index + 1}", linestyle="--", label=timed.name
            )
    axes.set_yticks(range(len(rows)), [timed.name for timed in rows], parse_math=False)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"ms per run, {report.threads} threads\n{report.machine.cpu}", parse_math=False)
    if report.floats:
        for text in axes.legend(loc="best", fontsize="small").get_texts():
            text.set_parse_math(False)
    _save(figure, path)


def _draw(axes: Axes, place: int, timed: Timed) -> None:
    if timed.latencies is None:
        return
    rounds = timed.latencies.seconds
    offsets = np.linspace(-_HEIGHT, _HEIGHT, len(rounds)) if len(rounds) > 1 else np.zeros(1)
    heights = place + np.repeat(offsets, rounds.shape[1])
    axes.scatter(1e3 * rounds.ravel(), heights, s=6, alpha=0.5, color="C0", linewidths=0)
    median = 1e3 * timed.latencies.median_s
    axes.plot([median, median], [place - _HEIGHT, place + _HEIGHT], color="black")
    beside = axes.get_yaxis_transform()
    axes.text(1.01, place, f"{median:.1f} ms", transform=beside, va="center", fontsize="small")


def _save(figure: Figure, path: Path) -> None:
    with disk_trouble(path), moved_in(path) as (part,):
        figure.savefig(part, format=path.suffix.lower().removeprefix("."), dpi=110)


__all__ = ["plot", "require_free"]
