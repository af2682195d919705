"""Gelu, written with what targets have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mosaic_deploy.graph.index import GraphIndex

if TYPE_CHECKING:
    import onnx
from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site

Found = tuple[str, list["onnx.NodeProto"]]


def erf_form(node: onnx.NodeProto, graph: GraphIndex) -> Found | None:
    """Find x and the nodes of x * 0.5 * (1 + Erf(x / sqrt 2)), in any order of its factors.

    ``node`` is its last multiplication.
    """
    nodes, factors = [node], list(node.input)
    for name in node.input:  # the product is written with two multiplications
        inner = graph.producer(name, "Mul")
        if inner is not None:
            nodes.append(inner)
            factors = [other for other in node.input if other != name] + list(inner.input)
            found = _three(factors, graph)
            if found is not None:
                x, more = found
                return x, nodes + more
            nodes.pop()
    return None


def _three(factors: list[str], graph: GraphIndex) -> Found | None:
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


def _one_plus_erf(name: str, x: str, graph: GraphIndex) -> list[onnx.NodeProto] | None:
    add = graph.producer(name, "Add")
    if add is None:
        return None
    for one, other in (tuple(add.input), tuple(reversed(add.input))):
        erf = graph.producer(other, "Erf")
        if erf is None or not _is(graph, one, 1.0):
            continue
        scaled = graph.producer(erf.input[0], "Div", "Mul")
        if scaled is not None and _scales(scaled, x, graph):
            return [add, erf, scaled]
    return None


def _scales(node: onnx.NodeProto, x: str, graph: GraphIndex) -> bool:
    """Whether it is x / sqrt 2."""
    if node.op_type == "Div":
        return bool(node.input[0] == x) and _is(graph, node.input[1], math.sqrt(2))
    rest = [name for name in node.input if name != x]
    return len(rest) == 1 and _is(graph, rest[0], math.sqrt(0.5))


def _is(graph: GraphIndex, name: str, value: float) -> bool:
    array = graph.constant(name)
    return (
        array is not None and array.size == 1 and math.isclose(float(array.reshape(())), value, rel_tol=1e-4)
    )


def _gelu_fused(site: Site) -> bool:
    """GELU that an exporter wrote out, as one node.

        y = x * 0.5 * (1 + Erf(x / sqrt 2))    becomes    x -> Gelu -> y

    Needs opset 20; a model of opset 18 or 19 is raised to it if all its nodes mean the same there.
    """
    found = erf_form(site.node, site.graph)
    if found is None or not site.require_opset(20):
        return False
    x, nodes = found
    site.also_replaces(*nodes)
    return site.replace_with(site.op("Gelu", x))


GELU_FUSED = Pass(
    name="gelu_fused",
    summary="x * 0.5 * (1 + Erf(x / sqrt 2)) -> Gelu (opset 20)",
    anchors=("Mul",),
    resolves=("Erf",),
    rewrite=_gelu_fused,
)


def write_out(site: Site, x: str) -> str:
    """Draft the tanh form of GELU."""
    cube = site.op("Mul", site.op("Mul", x, x), x)
    inner = site.op("Add", x, site.op("Mul", cube, site.number(0.044715)))
    tanh = site.op("Tanh", site.op("Mul", inner, site.number(math.sqrt(2 / math.pi))))
    gate = site.op("Add", tanh, site.number(1))
    return site.op("Mul", site.op("Mul", x, site.number(0.5)), gate)


def _gelu_tanh(site: Site) -> bool:
    """Gelu in its tanh approximation, written out.

    x -> Gelu(approximate=tanh) -> y    becomes
    y = 0.5 * x * (1 + Tanh(0.79788 * (x + 0.044715 * x * x * x)))
    """
    return site.attr_str("approximate", "none") == "tanh" and site.replace_with(write_out(site, site.x))


GELU_TANH = Pass(
    name="gelu_tanh",
    summary="Gelu (tanh) -> 0.5 * x * (1 + Tanh(...))",
    anchors=("Gelu",),
    rewrite=_gelu_tanh,
)


def _gelu_erf(site: Site) -> bool:
    """Gelu with Erf, for targets without the one and with the other.

    x -> Gelu -> y    becomes    y = x * 0.5 * (1 + Erf(x / sqrt 2))
    """
    if site.attr_str("approximate", "none") != "none":
        return False
    erf = site.op("Erf", site.op("Mul", site.x, site.number(math.sqrt(0.5))))
    gate = site.op("Add", erf, site.number(1))
    return site.replace_with(site.op("Mul", site.op("Mul", site.x, site.number(0.5)), gate))


GELU_ERF = Pass(
    name="gelu_erf",
    summary="Gelu -> x * 0.5 * (1 + Erf(x / sqrt 2))",
    anchors=("Gelu",),
    rewrite=_gelu_erf,
)


def _gelu_approximate(site: Site) -> bool:
    """GELU by its tanh approximation. Lossy: off by 5e-4 at most.

    x -> Gelu -> y                         becomes
    y = x * 0.5 * (1 + Erf(x / sqrt 2))    becomes
    y = 0.5 * x * (1 + Tanh(0.79788 * (x + 0.044715 * x * x * x)))
    """
    if site.node.op_type == "Gelu":
        return site.attr_str("approximate", "none") == "none" and site.replace_with(write_out(site, site.x))
    found = erf_form(site.node, site.graph)
    if found is None:
        return False
    x, nodes = found
    site.also_replaces(*nodes)
    return site.replace_with(write_out(site, x))


GELU_APPROXIMATE = Pass(
    name="gelu_approximate",
    summary="Gelu or its Erf form -> 0.5 * x * (1 + Tanh(...))",
    anchors=("Gelu", "Mul"),
    resolves=("Gelu", "Erf"),
    exact=False,
    requires=("gelu_fused", "gelu_erf", "gelu_tanh"),
    rewrite=_gelu_approximate,
)
