"""GELU as exporters spell it out, found again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mosaic_deploy.passes._graph import Graph

if TYPE_CHECKING:
    import onnx

Found = tuple[str, list["onnx.NodeProto"]]


def erf_form(node: onnx.NodeProto, graph: Graph) -> Found | None:
    """Find x and the nodes of x * 0.5 * (1 + Erf(x / sqrt 2)), in any order of its factors.

    ``node`` is its last multiplication.
    """
    nodes, factors = [node], list(node.input)
    for name in node.input:  # the product is written with two multiplications
        inner = graph.maker(name, "Mul")
        if inner is not None:
            nodes.append(inner)
            factors = [other for other in node.input if other != name] + list(inner.input)
            found = _three(factors, graph)
            if found is not None:
                x, more = found
                return x, nodes + more
            nodes.pop()
    return None


def _three(factors: list[str], graph: Graph) -> Found | None:
    """Split factors into x, a half and 1 + Erf(...)."""
    if len(factors) != 3:
        return None
    for first in range(3):
        for second in range(3):
            if first == second:
                continue
            x = factors[3 - first - second]
            if not _is(graph, factors[first], 0.5):
                continue
            more = _one_plus_erf(factors[second], x, graph)
            if more is not None:
                return x, more
    return None


def _one_plus_erf(name: str, x: str, graph: Graph) -> list[onnx.NodeProto] | None:
    add = graph.maker(name, "Add")
    if add is None:
        return None
    for one, other in (tuple(add.input), tuple(reversed(add.input))):
        erf = graph.maker(other, "Erf")
        if erf is None or not _is(graph, one, 1.0):
            continue
        scaled = graph.maker(erf.input[0], "Div", "Mul")
        if scaled is not None and _scales(scaled, x, graph):
            return [add, erf, scaled]
    return None


def _scales(node: onnx.NodeProto, x: str, graph: Graph) -> bool:
    """Whether it is x / sqrt 2."""
    if node.op_type == "Div":
        return bool(node.input[0] == x) and _is(graph, node.input[1], math.sqrt(2))
    rest = [name for name in node.input if name != x]
    return len(rest) == 1 and _is(graph, rest[0], math.sqrt(0.5))


def _is(graph: Graph, name: str, value: float) -> bool:
    array = graph.constant(name)
    return (
        array is not None and array.size == 1 and math.isclose(float(array.reshape(())), value, rel_tol=1e-4)
    )
