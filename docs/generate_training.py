"""Draw ``docs/images/training.svg``: mIoU on streets val against minutes of training, a line per network.

uv run python docs/generate_training.py mosaic=runs/mosaic2,runs/mosaic3 lraspp_mnv3_large=runs/lraspp

Each folder is one that ``mosaic-deploy train`` wrote. Several of one network follow each other. The points
stay in ``docs/surveys/training.json``: a network is added, or drawn anew, without the folders of others.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

RECORD = Path(__file__).parent / "surveys" / "training.json"
PLACE = Path(__file__).parent / "images" / "training.svg"
_COLUMN = "miou_streets"


def main() -> None:
    """Read the logs that are named, put them in place of those of the same networks, and draw all."""
    runs = {name: folders.split(",") for name, _, folders in (word.partition("=") for word in sys.argv[1:])}
    lines = json.loads(RECORD.read_text(encoding="utf-8"))
    lines |= {name: sittings([Path(folder) for folder in folders]) for name, folders in runs.items()}
    kept = (f"  {json.dumps(name)}: {json.dumps(points)}" for name, points in sorted(lines.items()))
    RECORD.write_text("{\n" + ",\n".join(kept) + "\n}\n", encoding="utf-8")
    draw(lines, PLACE)


def sittings(folders: Sequence[Path]) -> list[tuple[float, float]]:
    """Minutes, counted on from one folder to the next, and mIoU."""
    points: list[tuple[float, float]] = []
    begun = 0.0
    for folder in folders:
        with (folder / "log.csv").open(encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if row.get(_COLUMN)]
        points += [
            (round(begun + float(row["seconds"]) / 60, 2), round(float(row[_COLUMN]), 4)) for row in rows
        ]
        begun = points[-1][0]
    return points


def draw(lines: dict[str, list[tuple[float, float]]], place: Path) -> None:
    """Write the picture; the same lines give the same file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    mpl.rcParams["svg.hashsalt"] = "mosaic-deploy"
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for name, points in lines.items():
        axes.plot(*zip(*points, strict=True), label=name, marker="o", markersize=2.5, linewidth=1.2)
    axes.set_xlabel("minutes of training on one or two cores of a CPU that did other work as well")
    axes.set_ylabel("mIoU on streets val")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(place, format="svg", metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
