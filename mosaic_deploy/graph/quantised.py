"""How models are quantised already, and those of which a build can make nothing good.

Statically quantised ones (QDQ, QOperator, weights alone) are read as float networks (``normal/dequantize``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.normal.integer_operators import INTEGER_OPERATORS
from mosaic_deploy.graph.reader.living import prune
from mosaic_deploy.graph.reader.names import graphs

if TYPE_CHECKING:
    import onnx

_QUANTIZE = "QuantizeLinear"
_DEQUANTIZE = "DequantizeLinear"
_DYNAMIC = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul"})
_INTEGER = frozenset(
    {"ConvInteger", "MatMulInteger", "MatMulInteger16", "MatMulIntegerToFloat"}
    | {"QAttention", "QGemm", "QMoE", "QEmbedLayerNormalization", "NhwcMaxPool"}
)
_WEIGHTS = frozenset({"MatMulNBits", "MatMulBnb4", "MatMulFpQ4", "GatherBlockQuantized"})
_STATIC = INTEGER_OPERATORS | {_QUANTIZE, _DEQUANTIZE}
_TRAINED_FOR_IT = ("qonnx.", "onnx.brevitas")
"""Beginnings of the domains in which frameworks of quantised training write their own operators."""


def how_quantised(model: onnx.ModelProto, *, but: frozenset[str] = frozenset()) -> str | None:
    """Say in a few words how a model is quantised, with an operator that shows it; None where it is not.

    Operators whose names are in ``but`` are not looked at.
    """
    nodes = [node for graph, _ in graphs(model.graph) for node in graph.node if node.op_type not in but]
    kinds = {node.op_type for node in nodes}
    whole = sorted(kind for kind in kinds if kind.startswith(("QLinear", "QOrdered")))
    dynamic = sorted(kinds & _DYNAMIC)
    if dynamic:
        return f"dynamically ({dynamic[0]})"
    if whole or kinds & _INTEGER:
        return f"in integer operators ({(whole or sorted(kinds & _INTEGER))[0]})"
    if _QUANTIZE in kinds:
        return f"as {_QUANTIZE} and {_DEQUANTIZE} (QDQ)"
    weights = sorted(kinds & (_WEIGHTS | {_DEQUANTIZE}))
    if weights:
        return f"in its weights ({weights[0]})"
    trained = sorted(node.op_type for node in nodes if node.domain.startswith(_TRAINED_FOR_IT))
    return f"in training ({trained[0]})" if trained else None


def require_readable(path: Path) -> None:
    """Refuse a file whose quantisation cannot be undone; only its names are read.

    Raises:
        ModelError: it is quantised in such a way, or cannot be read.
    """
    from mosaic_deploy.graph.reader.read import read_names

    model = read_names(path)
    prune(model.graph)
    require_float(model, path, but=_STATIC)


def require_float(model: onnx.ModelProto, path: Path, *, but: frozenset[str] = frozenset()) -> None:
    """Raise ``ModelError`` for a model that is quantised, by operators other than ``but``."""
    how = how_quantised(model, but=but)
    if how is not None:
        raise ModelError(
            f"{path}: is quantised already, {how}: build from the float model that it was made of, "
            "a build quantises for its target itself"
        )
