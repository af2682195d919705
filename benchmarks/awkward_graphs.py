"""Awkward graphs before and after ``check --fix`` on each target, and what the compilers say of both.

    uv run python -m benchmarks.awkward_graphs [TARGET ...]

Prints a Markdown table. A verdict is the op table's; the word in brackets is the compiler's own, from
``check --verify``: ``compiles``, ``refused``, or ``no compiler`` where it cannot be run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx

from mosaic_deploy.errors import MosaicError
from mosaic_deploy.gate.fix.dry_run import by_passes
from mosaic_deploy.gate.report import ModelResult
from mosaic_deploy.gate.repository import find_repository
from mosaic_deploy.gate.run import GateRequest, run_gate
from mosaic_deploy.specs.registry import spec_names
from mosaic_deploy.specs.target import TargetSpec
from tests.graph.awkward_graphs import se_block, unique, vit_block

GRAPHS: dict[str, Callable[[], onnx.ModelProto]] = {
    "HardSwish + squeeze and excite": se_block,
    "ViT block: LayerNormalization, Einsum, GELU": vit_block,
    "dynamic Unique": unique,
}


def main(targets: Sequence[str]) -> int:
    """Print the table; returns 1 if a fixed graph passes the check and its compiler refuses it."""
    lied = False
    print("| graph | target | before | passes | largest error | after | s |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in GRAPHS.items():
            path = Path(folder) / "graph.onnx"
            path.write_bytes(make().SerializeToString())
            for target in targets or spec_names(TargetSpec):
                line, honest = _row(path, target)
                lied |= not honest
                print(f"| {name} | {target} | {line} |", flush=True)
    return int(lied)


def _row(path: Path, target: str) -> tuple[str, bool]:
    begun = time.monotonic()
    try:
        before = _judged(path, target, None)
        after = _judged(path, target, path.with_name("fixed.onnx"))
    except MosaicError as err:
        return f"{err} | | | |", True
    steps = [step for fixed in after.fixed for step in fixed.report.steps]
    worst = max((step.output_error or 0.0 for step in steps), default=0.0)
    made = ", ".join(f"{step.name} x{step.changes}" + ("" if step.exact else " (lossy)") for step in steps)
    (verdict,) = after.verdicts
    refused = any(one.said == "refused" for one in after.verified)
    cells = (_said(before), made or "-", f"{worst:.1g}" if steps else "-", _said(after))
    return f"{' | '.join(cells)} | {time.monotonic() - begun:.0f}", not (verdict.passed and refused)


def _judged(path: Path, target: str, fix_to: Path | None) -> ModelResult:
    request = GateRequest(
        models=(path,), targets=(target,), folder=path.parent, fix_to=fix_to, verify=True, save=path.parent
    )
    (judged,) = run_gate(request, repository=find_repository(path.parent), fixer=by_passes).models
    return judged


def _said(judged: ModelResult) -> str:
    if judged.error:
        return judged.error
    unknown = sum(verdict.count("unknown") for verdict in judged.verdicts)
    kinds = ", ".join(verdict.kind for verdict in judged.verdicts)
    heard = ", ".join(one.said for one in judged.verified)
    return f"{kinds}{f', {unknown} unknown' if unknown else ''} ({heard})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
