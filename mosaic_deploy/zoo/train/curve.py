"""The picture of a training run."""

from __future__ import annotations

from pathlib import Path

from mosaic_deploy.files import moved_in


def plot(history: list[dict[str, float]], path: Path) -> None:
    """Draw the loss and every data set's mIoU (in percent) against minutes of training, as PNG."""
    from matplotlib.figure import Figure

    minutes = [row["seconds"] / 60 for row in history]
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.subplots()
    left.plot(minutes, [row["loss"] for row in history], color="grey", label="loss")
    left.set_xlabel("minutes of training")
    left.set_ylabel("loss")
    right = left.twinx()
    for name in sorted({k for row in history for k in row if k.startswith("miou_")}):
        known = [(m, 100 * row[name]) for m, row in zip(minutes, history, strict=True) if name in row]
        right.plot(*zip(*known, strict=True), label=f"mIoU {name.removeprefix('miou_')}")
    right.set_ylabel("mIoU (%)")
    right.legend(loc="center right")
    with moved_in(path) as (part,):
        figure.savefig(part, format="png", dpi=110)
