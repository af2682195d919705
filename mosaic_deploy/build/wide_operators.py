"""Which tensors cannot be lifted, as the target's operator table says."""

from __future__ import annotations

from pathlib import Path

from mosaic_deploy.build.plan import Plan
from mosaic_deploy.gate.op_support.judge import FAILING, check
from mosaic_deploy.quantize.mixed import Finer
from mosaic_deploy.specs.precision import Precision

_PRECISION: dict[Finer, Precision] = {"16 bits": "w8a16", "float": "float"}


def kept_in_8_bits(plan: Plan, path: Path, finer: Finer | None) -> tuple[str, ...]:
    """Names of what goes into and comes out of nodes that the table does not clear in ``finer``.

    ``path`` is the ONNX file that is compiled.
    """
    import onnx

    if plan.table is None or finer is None:
        return ()
    model = onnx.load(path)
    report = check(model, table=plan.table, precision=_PRECISION[finer], devices=plan.devices)
    refused = {found.node for found in report.violations if found.level in (*FAILING, "unknown")}
    nodes = [node for node in model.graph.node if node.name in refused]
    return tuple(sorted({name for node in nodes for name in (*node.input, *node.output) if name}))
