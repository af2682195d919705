"""What ``sensitivity`` leaves in a folder: all of it as JSON, a table, a plot of the worst, an overlay."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.build.sensitivity import Sensitivity, TensorLoss
from mosaic_deploy.files import moved_in_folder, require_free

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RECORD, TABLE, PLOT = "sensitivity.json", "sensitivity.csv", "sensitivity.svg"
OVERLAY = "sensitivity.overlay.json"
_SHOWN = 30
"""Tensors that the plot has room for."""
_ROW_INCHES = 0.22
_COLUMNS = ("tensor", "kind", "made_by", "pixels_changed", "weighed_by_margin", "miou_drop")


def require_possible(folder: Path, *, force: bool) -> None:
    """Raise, before anything is measured, where the folder is taken or what draws the plot is missing.

    Raises ``UsageError`` for the one, ``ModuleNotFoundError`` for the other.
    """
    import matplotlib as mpl

    del mpl
    require_free(folder, force=force)


def write(found: Sensitivity, folder: Path, *, force: bool) -> None:
    """Write the four files into a new folder; it is there whole or not at all.

    Raises:
        UsageError: the folder exists and not ``force``.
        ToolError: the disk refuses.
    """
    with moved_in_folder(folder, force=force) as part:
        with (part / TABLE).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(_rows(found))
        plot(found, part / PLOT)
        for name, record in ((RECORD, found.to_json()), (OVERLAY, found.overlay())):
            (part / name).write_text(f"{json.dumps(record, indent=1)}\n", encoding="utf-8")


def plot(found: Sensitivity, path: Path) -> None:
    """Draw the tensors that lose most as bars, the worst on top; beside them their mIoU, where it is known.

    The same figures give the same SVG.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    worst = ranked(found)[:_SHOWN]
    known = all(loss.drop is not None for loss in worst)
    size = (11 if known else 8, 1.4 + _ROW_INCHES * max(len(worst), 1))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, 1 + known, sharey=True, squeeze=False)[0]
    title = f"{found.model} on {found.target}, {found.images} images of {found.data}: one tensor in 8 bits"
    figure.suptitle(title, fontsize="medium", parse_math=False)
    _bars(axes[0], [100 * loss.lost for loss in worst], "changed pixels, weighed by margin, %")
    if known:
        drops = [100 * (loss.drop or 0.0) for loss in worst]
        _bars(axes[1], drops, "fall of mIoU, percentage points")
    names = [f"{loss.name}  ({loss.op})" for loss in worst]
    axes[0].set_yticks(range(len(names)), names, fontsize=7, parse_math=False)
    axes[0].set_ylim(max(len(names), 1) - 0.5, -0.5)
    with mpl.rc_context({"svg.hashsalt": "mosaic-deploy"}):
        figure.savefig(path, format="svg", metadata={"Date": None})


def ranked(found: Sensitivity) -> list[TensorLoss]:
    """Activations and weights together, the worst first."""
    return sorted((*found.activations, *found.weights), key=lambda loss: -loss.lost)


def _bars(axes: Axes, values: Sequence[float], label: str) -> None:
    axes.barh(range(len(values)), values, color=["C0" if value >= 0 else "C2" for value in values])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)


def _rows(found: Sensitivity) -> Iterator[Sequence[object]]:
    yield _COLUMNS
    weights = {loss.name for loss in found.weights}
    for loss in ranked(found):
        kind = "weight" if loss.name in weights else "activation"
        drop = "" if loss.drop is None else loss.drop
        yield loss.name, kind, loss.op, loss.flips, loss.lost, drop
