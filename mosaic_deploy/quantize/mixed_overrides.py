"""A choice of 16-bit tensors in the words of ONNX Runtime's quantiser, which inserts the conversions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaic_deploy.graph.index import free_name, replace_name
from mosaic_deploy.quantize.mixed import Island

if TYPE_CHECKING:
    import onnx

    from mosaic_deploy.quantize.histogram import Ranges

_ELEMENTWISE = frozenset({"Add", "Concat", "Div", "Max", "Min", "Mul", "Pow", "Sub", "Where"})
"""Operators that take constants in the precision of their activations."""


@dataclass(frozen=True, slots=True)
class TwoRanges:
    """Ranges of every activation."""

    narrow: Ranges
    """For grids of 8 bits: without outliers, where the recipe says so."""
    wide: Ranges
    """For grids of 16 bits: every value."""

    def of(self, found: Island) -> Ranges:
        """What each tensor comes out of its operator in."""
        return {
            name: self.wide.get(name, span) if name in found.sixteen else span
            for name, span in self.narrow.items()
        }


def overrides(
    model: onnx.ModelProto, found: Island, ranges: TwoRanges, *, signed: bool
) -> dict[str, list[dict[str, Any]]]:
    """Types and conversions per tensor; constants of operators in 16 bits become such, a copy where shared.

    Args:
        model: the graph that is quantised; constants may be added.
        found: what is in 16 bits.
        ranges: of its activations.
        signed: whether grids are signed.
    """
    from onnxruntime.quantization import QuantType

    short, long = (QuantType.QInt8, QuantType.QInt16) if signed else (QuantType.QUInt8, QuantType.QUInt16)
    stated: dict[str, list[dict[str, Any]]] = {name: [{"quant_type": long}] for name in found.sixteen}
    for name in _constants(model, found):
        stated[name] = [{"quant_type": long}]
    for name, readers in found.down.items():
        low, high = ranges.narrow[name]
        down = {"quant_type": short, "rmin": low, "rmax": high, "recv_nodes": set(readers)}
        stated[name][0]["convert"] = down
    for name, readers in found.up.items():
        up = {"quant_type": long, "recv_nodes": set(readers)}
        stated[name] = [{"quant_type": short, "convert": up}]
    return stated


def merged(
    own: Mapping[str, list[dict[str, Any]]], other: Mapping[str, list[dict[str, Any]]]
) -> dict[str, list[dict[str, Any]]]:
    """Both, tensor by tensor; what ``other`` says of the same counts, as the image's grid does."""
    found = {name: [dict(part) for part in parts] for name, parts in own.items()}
    for name, parts in other.items():
        same = name in found and len(parts) == len(found[name])
        found[name] = [a | b for a, b in zip(found[name], parts, strict=True)] if same else list(parts)
    return found


def _constants(model: onnx.ModelProto, found: Island) -> list[str]:
    """Names of constants beside activations of 16 bits; what others read too is copied for these."""
    import onnx

    graph = model.graph
    held = {t.name: t for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    names: list[str] = []
    for node in [n for n in graph.node if n.name in found.nodes and n.op_type in _ELEMENTWISE]:
        for name in [n for n in node.input if n in held and n not in names]:
            own = name
            if any(name in other.input and other.name not in found.nodes for other in graph.node):
                own = free_name(graph, f"{name}/wide")
                copy = onnx.TensorProto()
                copy.CopyFrom(held[name])
                copy.name = own
                graph.initializer.append(copy)
                replace_name(node.input, name, own)
            names.append(own)
    return names
