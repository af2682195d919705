"""Small models and tables for the gate's tests."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import onnx
import onnx.parser

from mosaic_deploy.gate.config import Waiver
from mosaic_deploy.gate.op_support.judge import Violation
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.gate.report import GateReport, ModelResult, Reproducer, Verified
from mosaic_deploy.gate.repository import Repository
from mosaic_deploy.gate.verdict import Cure, GateTarget, Item, TargetVerdict
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import load_spec

TODAY = date(2026, 5, 17)
GOOD = "y = Relu (image)"
ERF = "a = Relu (image) y = Erf (a)"


def write(path: Path, body: str, *, opset: int = 18, names: tuple[str, ...] = ()) -> Path:
    """Write a model of one float image [1,8,16,16] from the text of its nodes, which may be named."""
    weights = ",".join(["0.1"] * 64)
    text = (
        f'<ir_version: 10, opset_import: ["" : {opset}, "acme" : 1]>\n'
        f"g (float[1,8,16,16] image) => (float[] y) <float[8,8,1,1] w = {{{weights}}}> {{ {body} }}"
    )
    model = onnx.parser.parse_model(text)
    for node, name in zip(model.graph.node, names, strict=False):
        node.name = name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def rule(op: str, verdict: str = "runs", **more: object) -> dict[str, object]:
    """A rule that takes, or refuses, any float and 8-bit image."""
    accepts = {
        "versions": [1, 6, 9, 13, 14],
        "dtypes": ["float32"],
        "quantized_dtypes": ["uint8"],
        "ranks": [4],
    }
    return {
        "id": f"{op.lower()}-{verdict}",
        "op": op,
        "verdict": verdict,
        "evidence": {"cases": 1},
        **(accepts if verdict == "runs" else {"fix": "leave it out"}),
        **more,
    }


def subject(*rules: dict[str, object], recipe: str = "w8a8", fallback: bool = True) -> GateTarget:
    """A made-up target."""
    record = {
        "schema": 1, "name": "made-up", "summary": "", "tool": "tool", "version": "1", "devices": ["d"],
        "fallback": fallback, "folds_constants": True, "rule": list(rules),
    }  # fmt: skip
    return GateTarget("acme", load_spec(QuantRecipe, recipe), OpTable.model_validate(record), ())


def waiver(op: str = "Erf", node: str = "*", *, until: str = "2026-12-31", **more: object) -> Waiver:
    """A waiver in force on ``TODAY``."""
    return Waiver.model_validate({"op": op, "node": node, "reason": "known", "expires": until, **more})


def violation(
    level: str = "unsupported", node: str = "blk/erf", op: str = "Erf", **more: object
) -> Violation:
    """A violation of a rule that a made-up table has."""
    facts: dict[str, object] = {
        "level": level, "node": node, "op": op, "rule": "erf", "found": "operator Erf",
        "allowed": "nothing like it", "macs_share": 0.25, "fix": "use Gelu", "error": "", "source": "",
    }  # fmt: skip
    return Violation(**{**facts, **more})  # type: ignore[arg-type]  # as the dataclass has them


def verdict(*items: Item, target: str = "dsp", limit: float | None = None) -> TargetVerdict:
    """A verdict with these violations."""
    operators = (("Erf", 1), ("Relu", 3))
    return TargetVerdict(
        target,
        "w8a8",
        "qnn-htp",
        "tool 1",
        "w8a8",
        ("v75",),
        4,
        100,
        operators,
        items,
        max_fallback_macs=limit,
    )


def hostile() -> GateReport:
    """A report in which every text tries to be something else."""
    evil = "a\nb|c,d:e%f<script>&\"'`]]> @you [x](http://y) {0} ##[error]z ::error::z \x1b[31m\x00\ud7ff"
    items = (
        Item(violation(node=evil, found=evil, allowed=evil, fix=evil, error=evil, op=evil), deployed=True),
        Item(violation(source="model.py:3"), deployed=True, waiver=waiver(reason=evil)),
        Item(violation("fallback", node="two"), deployed=True, known=True),
        Item(violation("unknown", node="three", rule=""), deployed=True, cure=Cure(("erf",), exact=True)),
        Item(violation("silent-wrong", node="four"), deployed=False, expired=waiver(until="2025-01-01")),
    )
    culprit = Reproducer(f"out/{evil}.onnx", (evil, "five"), (evil,), evil)
    refused = Verified("dsp", "tool 1", "refused", evil, (culprit,))
    models = (
        ModelResult("nets/a b,c:d.onnx", (verdict(*items, limit=0.1), TargetVerdict("gpu", "fp16", ""))),
        ModelResult("nets/c.onnx", (), verified=(refused, Verified("gpu", "", "no compiler", evil))),
        ModelResult("nets/bad.onnx", (), f"nets/bad.onnx: not an ONNX file {evil}"),
    )
    return GateReport(
        models, "mosaic-deploy.toml", (waiver(until="2025-01-01", reason=evil),), (waiver("Mish"),), "base"
    )


def here(folder: Path) -> Repository:
    """A repository with the source file that ``hostile`` names."""
    (folder / "model.py").write_text("a\nb\nc\n", encoding="utf-8")
    return Repository(folder.resolve())
