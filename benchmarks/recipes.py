"""What each recipe keeps of trained networks on each target, and what it costs: one table.

    uv run python benchmarks/recipes.py --out DIR [--models NAME ...] [--targets NAME ...]
        [--recipes NAME ...] [--data NAME[:DIR]] [--images 24]

A build's report stays in DIR, and is not made again: a run that was stopped goes on. Costs are those that
recipe ``auto`` measured of what it tried: simulated cycles on ``dsp``, milliseconds elsewhere.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MODELS = ["mosaic", "lraspp_mnv3_large", "topformer_tiny", "pp_mobileseg_tiny", "mobileseg_shufflenet_v2"]
TARGETS = ["dsp", "cpu", "openvino", "ort-mobile", "edgetpu"]
RECIPES = ["w8a8", "auto", "w8a16"]
_ONLY = {"w8a16": ("dsp",)}
"""Recipe -> the targets that have it, where not all do."""
_HEAD = (
    "network", "target", "recipe", "agreement", "mIoU", "of the float", "lifted",
    "cost, 8 bits = 1", "all lifted", "MB", "build s",
)  # fmt: skip


def built(words: list[str], folder: Path) -> Mapping[str, Any]:
    """The report of a build, which is made unless it is there; ``{"error": ...}`` where it fails."""
    report = folder / "report.json"
    if not report.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-P", "-m", "mosaic_deploy", "build", *words, "--all-images", "--json"]
        done = subprocess.run(
            [*argv, "--out", folder / "artifact"], capture_output=True, text=True, check=False
        )
        made = json.loads(done.stdout or "{}").get("builds") or []
        said = done.stderr.strip().splitlines()
        record = made[0] if made else {"error": said[-1] if said else f"status {done.returncode}"}
        report.write_text(json.dumps(record), encoding="utf-8")
    found: Mapping[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


def row(model: str, target: str, recipe: str, report: Mapping[str, Any]) -> tuple[str, ...]:
    """A line of the table."""
    if "error" in report or not report.get("parity"):
        return (model, target, recipe, str(report.get("error", "no parity"))[:80], *("-",) * (len(_HEAD) - 4))
    parity = report["parity"]
    reference, candidate = parity["reference"], parity["candidate"]
    search = report["facts"].get("search") or {"attempts": [{}], "chosen": 0}
    first, taken, most = (search["attempts"][place] for place in (0, search["chosen"], -1))
    size = sum(entry["bytes"] for entry in report["artifacts"] if entry["ships"])
    return (
        model,
        target,
        recipe,
        f"{parity['agreement']:.2%}",
        f"{reference:.4f} to {candidate:.4f}",
        f"{candidate / reference:.2%}",
        f"{taken['lifted']:.0%}" if taken else "-",
        _times(taken, first),
        _times(most, first) if most.get("lifted", 0) > 0.9 else "-",
        f"{size / 1e6:.2f}",
        f"{report['seconds']:.0f}",
    )


def _times(attempt: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    """What an attempt costs beside the first, which is in 8 bits throughout."""
    own, plain = attempt.get("cost"), first.get("cost")
    return f"{own / plain:.2f}" if own and plain else "-"


def main() -> None:
    """Print the table as Markdown, a row as soon as it is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--data", default="streets")
    parser.add_argument("--images", type=int, default=24)
    given = parser.parse_args()
    print(f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}", sep="\n", flush=True)
    for model in given.models:
        for target in given.targets:
            for recipe in given.recipes:
                if target not in _ONLY.get(recipe, (target,)):
                    continue
                words = [model, "--target", target, "--recipe", recipe, "--data", given.data]
                words += ["--images", str(given.images), *(["--arch", "75"] if target == "dsp" else [])]
                report = built(words, given.out / f"{Path(model).stem}-{target}-{recipe}")
                print(f"| {' | '.join(row(model, target, recipe, report))} |", flush=True)


if __name__ == "__main__":
    main()
