"""What a quantised file still computes in floats on the same processor: operators, MACs, time.

Nothing is refused for it: ONNX Runtime's float kernels run where its integer ones do. How much passes is the
target's to say.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mosaic_deploy.backends.ort.ort_file import Node, Shape, titles
from mosaic_deploy.errors import RefusedError
from mosaic_deploy.workers.worker import JsonObject

_MOVES = ("QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape")
"""Operators without arithmetic of the network's own; they count as time alone."""
_ARITHMETIC = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""What makes up nearly all work; also as ``FusedConv`` and the like."""
_KERNEL = "_kernel_time"


def fallback_of(found: Sequence[Node], seconds: Mapping[str, float]) -> JsonObject:
    """State what is computed in floats.

    Args:
        found: the nodes of the file.
        seconds: what each of them took in one run, by name.

    Returns:
        ``operators``, how many there are of each; ``macs_share`` of all multiply-accumulates of
        convolutions and matrix products; ``time_share`` of the time of all nodes. Both in [0, 1].
    """
    floats = [node for node in found if node.floats]
    total, left = (sum(map(macs, nodes)) for nodes in (found, floats))
    spent, whole = (math.fsum(seconds.get(n.name, 0.0) for n in nodes) for nodes in (floats, found))
    return {
        "operators": dict(sorted(Counter(node.op for node in floats if node.op not in _MOVES).items())),
        "macs_share": round(left / total, 4) if total else 0.0,
        "time_share": round(spent / whole, 4) if whole else 0.0,
    }


def require_some_integers(found: Sequence[Node], *, file: str) -> None:
    """Raise ``RefusedError`` where no convolution or matrix product of a quantised file is of integers."""
    heavy = [node for node in found if macs(node)]
    if all(node.floats for node in heavy):
        require_integers(found, file=file)


def require_integers(found: Sequence[Node], *, file: str) -> None:
    """Raise ``RefusedError`` where any convolution or matrix product of a quantised file is left in float."""
    kinds = (*_ARITHMETIC, *(f"Fused{op}" for op in _ARITHMETIC))
    left = [node for node in found if node.floats and node.op in kinds]
    if left:
        raise RefusedError(
            f"{file}: {titles(left)} would compute in float, {len(left)} of {len(found)} nodes: "
            "ONNX Runtime has no integer kernel for them as they are quantised"
        )


def seconds_of(profile: Path) -> dict[str, float]:
    """What each node took in the last run that a profile of ONNX Runtime's holds, by name."""
    events = json.loads(profile.read_text(encoding="utf-8"))
    return {
        event["name"].removesuffix(_KERNEL): event["dur"] / 1e6
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL)
    }


def macs(node: Node) -> int:
    """Multiply-accumulates of a convolution or matrix product, of any of its fused and quantised forms."""
    known = _COUNTS.get(node.op)
    if known is None or not node.given or node.given[0] is None:
        return 0
    place, count = known
    left, right = (node.taken[at] if at < len(node.taken) else None for at in (0, place))
    return count(left, right, node.given[0]) if left and right else 0


def _conv(_: Shape, weights: Shape, out: Shape) -> int:
    return math.prod(out) * math.prod(weights[1:])


def _conv_transpose(image: Shape, weights: Shape, _: Shape) -> int:
    return math.prod(image) * math.prod(weights[1:])


def _product(left: Shape, _: Shape, out: Shape) -> int:
    """Of matrices (..., m, k), transposed or not, the inner side follows from the outer ones."""
    if len(left) < 2 or len(out) < 2:
        return math.prod(left)
    return math.prod(out) * left[-1] * left[-2] // out[-2]


_COUNTS: Mapping[str, tuple[int, Callable[[Shape, Shape, Shape], int]]] = {
    **dict.fromkeys(("Conv", "FusedConv", "NhwcFusedConv", "ConvInteger"), (1, _conv)),
    "QLinearConv": (3, _conv),
    "ConvTranspose": (1, _conv_transpose),
    **dict.fromkeys(("Gemm", "FusedGemm", "MatMul", "FusedMatMul"), (1, _product)),
    **dict.fromkeys(("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"), (1, _product)),
    **dict.fromkeys(("QLinearMatMul", "QGemm"), (3, _product)),
}
"""Operator -> at which input its weights are, and multiply-accumulates of shapes of data, weights, output."""
