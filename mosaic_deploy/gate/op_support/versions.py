"""Versions of an operator that mean the same for a node, as ONNX's schemas document it.

A new version mostly takes more types, or a new attribute whose default is what was meant before. What a
compiler did with one version it then does with the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from mosaic_deploy.gate.op_support.tables import OpRule, allows
from mosaic_deploy.graph.attributes import Attribute, read_attribute
from mosaic_deploy.graph.facts import Node
from mosaic_deploy.graph.reader import onnx_package

_CHANGED: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "AveragePool": (19, ("ceil_mode",)),
    "ConvTranspose": (11, ("auto_pad", "output_shape")),
    "DequantizeLinear": (13, ()),
    "Gather": (11, ()),
    "LpPool": (22, ("ceil_mode",)),
    "Max": (8, ()),
    "MaxPool": (22, ("ceil_mode",)),
    "Mean": (8, ()),
    "Min": (8, ()),
    "PRelu": (9, ()),
    "QuantizeLinear": (13, ()),
    "Sum": (8, ()),
}
"""Versions that mean something else though the schema does not show it: windows over the edge, paddings that
are computed, broadcasting, indices from the end, scales per channel. Without attributes, for every node."""
_RENAMED: Mapping[str, str] = {"mean": "input_mean", "var": "input_var"}
"""Inputs of BatchNormalization."""


@dataclass(frozen=True, slots=True)
class _Schema:
    """What one version of an operator takes and gives, types aside."""

    attributes: Mapping[str, tuple[str, Attribute | None]]
    """Kind and default; None where there is none."""
    inputs: tuple[tuple[str, str], ...]
    """Name, and whether it is single, optional or variadic."""
    outputs: tuple[str, ...]


def covers(rule: OpRule, node: Node) -> bool:
    """Whether what an accepting rule knows of its versions holds for the node's."""
    if not rule.versions or node.version in rule.versions:
        return True
    return not node.domain and any(_same(node, version, rule) for version in rule.versions)


def _same(node: Node, version: int, rule: OpRule) -> bool:
    if _changed(node, version):
        return False
    mine, its = _schema(node.op, node.version), _schema(node.op, version)
    if mine is None or its is None:
        return False
    return (
        all(_means_nothing(node, name) for name in mine.attributes.keys() - its.attributes.keys())
        and all(
            mine.attributes[name] == its.attributes[name] for name in mine.attributes.keys() & its.attributes
        )
        and all(
            _allows_default(rule, name, its.attributes[name][1])
            for name in its.attributes.keys() - mine.attributes.keys()
        )
        and _takes(node, mine, its)
        and mine.outputs[: len(node.outputs)] == its.outputs[: len(node.outputs)]
    )


def _changed(node: Node, version: int) -> bool:
    since, names = _CHANGED.get(node.op, (0, ()))
    if (node.version >= since) == (version >= since):
        return False
    return not names or not all(_means_nothing(node, name) for name in names)


def _means_nothing(node: Node, name: str) -> bool:
    """Whether an attribute has its default, or is left out."""
    return node.attributes.get(name) == node.defaults.get(name)


def _allows_default(rule: OpRule, name: str, default: Attribute | None) -> bool:
    """Whether a rule speaks of what is meant where its version's attribute is left out."""
    limit = rule.attributes.get(name)
    return limit is None or (default is not None and allows(limit, default))


def _takes(node: Node, mine: _Schema, its: _Schema) -> bool:
    """Whether both versions take the inputs that the node has, and what it leaves out is left out in both."""
    for place in range(max(len(mine.inputs), len(its.inputs))):
        ours = mine.inputs[place] if place < len(mine.inputs) else ("", "Optional")
        theirs = its.inputs[place] if place < len(its.inputs) else ("", "Optional")
        given = place < len(node.inputs) and node.inputs[place] is not None
        if given and ours != theirs and ours[0] != theirs[0]:
            return False
        if not given and "Single" in (ours[1], theirs[1]):
            return False
    return True


@cache
def _schema(op: str, version: int) -> _Schema | None:
    onnx_package.require()
    import onnx

    try:
        schema = onnx.defs.get_schema(op, version, "")
    except onnx.defs.SchemaError:
        return None
    return _Schema(
        {
            name: (
                str(each.type),
                read_attribute(each.default_value) if each.default_value.type else None,
            )
            for name, each in schema.attributes.items()
        },
        tuple(
            (_RENAMED.get(each.name, each.name), str(each.option).rpartition(".")[2])
            for each in schema.inputs
        ),
        tuple(_RENAMED.get(each.name, each.name) for each in schema.outputs),
    )
