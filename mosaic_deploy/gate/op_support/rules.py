"""Rules against nodes: where they part, and which of them decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS, Breach
from mosaic_deploy.gate.op_support.tables import Limit, OpRule, Range, allows
from mosaic_deploy.gate.op_support.versions import covers
from mosaic_deploy.graph.attributes import Attribute
from mosaic_deploy.graph.facts import Node, Tensor

_FLOATS = ("float32", "float16", "bfloat16", "float64")
_PLACES = frozenset({"axis", "axes"})
"""Attributes that count the first input's dimensions, from either end."""
_OF_THE_OUTPUT = frozenset({"ConcatFromSequence", "OneHot", "Unsqueeze"})
"""Operators whose axes are those of the output."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One point in which a node is not what a rule speaks of."""

    found: str
    allowed: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What the table knows of a node: the rule that decides, or the accepting rule that comes nearest."""

    rule: OpRule | None
    decided: bool
    gaps: tuple[Gap, ...]
    """For a refusal, what it holds against the node, if it says; else the gaps towards the nearest accepting
    rule."""


def judge(node: Node, rules: Sequence[OpRule], *, integers: str, devices: Sequence[str]) -> Finding:
    """Find the rule that decides on a node.

    Args:
        node: as ``nodes`` describes it.
        rules: those for its operator and those for every operator, in the table's order.
        integers: what float tensors become, as ``OpTable.made_of`` says; empty where they stay.
        devices: what it will be compiled for.
    """
    data = _seen(node, integers)
    apart = [set(rule.versions) for rule in rules if not rule.accepts and node.version in rule.versions]
    near = [rule for rule in rules if _speaks_of(rule, node, data) and not _is_apart(rule, node, apart)]
    refusals = [rule for rule in near if not rule.accepts and _refuses(node, rule, devices)]
    if refusals:
        worst = next((rule for rule in refusals if rule.verdict == "wrong"), refusals[0])
        objections = _objections(node, worst) or _nearest(node, rules, integers)[1]
        return Finding(worst, decided=True, gaps=objections)
    first, tried = None, set[str]()
    for rule in near:
        if rule.accepts and next(_gaps(node, rule, integers), None) is None:
            first = first or rule
            tried.update(rule.evidence.devices or devices)
            if tried.issuperset(devices):
                return Finding(first, decided=True, gaps=())
    if first is None:
        nearest, missed = _nearest(node, rules, integers)
        return Finding(nearest, decided=False, gaps=missed)
    untried = ", ".join(device for device in devices if device not in tried)
    gap = Gap(f"compiled for {untried}", _listed("", sorted(tried)))
    return Finding(first, decided=False, gaps=(gap,))


def _nearest(node: Node, rules: Sequence[OpRule], integers: str) -> tuple[OpRule | None, tuple[Gap, ...]]:
    """The accepting rule with the fewest gaps, and those."""
    accepting = [(rule, gaps(node, rule, integers=integers)) for rule in rules if rule.accepts]
    return min(accepting, key=lambda pair: len(pair[1]), default=(None, ()))


def gaps(node: Node, rule: OpRule, *, integers: str) -> tuple[Gap, ...]:
    """List what keeps an accepting rule from covering a node, devices aside; empty where it does."""
    return tuple(_gaps(node, rule, integers))


def _gaps(node: Node, rule: OpRule, integers: str) -> Iterator[Gap]:
    yield from _type_gaps(node, rule, integers)
    yield from _attribute_gaps(node, rule)
    yield from (_constraint_gap(name, found) for name in rule.constraints if (found := _breach(name, node)))
    if not covers(rule, node):
        yield Gap(f"version {node.version} of the operator", _listed("version", rule.versions))


def kind(tensor: Tensor, integers: str) -> tuple[str, bool]:
    """Return a tensor's type where floats become these integers, and whether that is a quantised one."""
    if tensor.grid is not None:
        return tensor.grid.dtype, True
    if integers and tensor.dtype in _FLOATS:
        return integers, True
    return tensor.dtype, False


def _type_gaps(node: Node, rule: OpRule, integers: str) -> Iterable[Gap]:
    data = node.data
    if data is None:
        return
    name, quantized = kind(data, integers)
    if name not in (rule.quantized_dtypes if quantized else rule.dtypes):
        yield Gap(f"{'quantised ' if quantized else ''}{name or 'an unknown type'}", _types(rule))
    if rule.ranks and (data.shape is None or data.rank not in rule.ranks):
        found = "an unknown rank" if data.shape is None else f"rank {data.rank}"
        yield Gap(found, _listed("rank", rule.ranks))
    weight = node.inputs[1] if len(node.inputs) > 1 else None
    if rule.weights and weight is not None and weight.grid and weight.grid.dtype not in rule.weights:
        yield Gap(f"parameters of {weight.grid.dtype}", _listed("parameters of", rule.weights))


def _attribute_gaps(node: Node, rule: OpRule) -> Iterable[Gap]:
    for name, value in node.attributes.items():
        limit = rule.attributes.get(name, _default(node, name))
        if limit is not None and not any(allows(limit, way) for way in _ways(node, name, value)):
            yield Gap(f"{name} {_shown(value)}", f"{name} {describe(limit)}")


def _ways(node: Node, name: str, value: Attribute) -> Iterator[Attribute]:
    """An attribute's value, and for axes the same counted from the other end."""
    yield value
    first = node.inputs[0] if node.inputs else None
    if name not in _PLACES or node.op in _OF_THE_OUTPUT or first is None or first.shape is None:
        return
    rank = len(first.shape)
    axes = value if isinstance(value, tuple) else (value,)
    places = [axis for axis in axes if isinstance(axis, int) and -rank <= axis < rank]
    if len(places) == len(axes):
        front = tuple(axis % rank for axis in places)
        yield from (front, tuple(axis - rank for axis in front))


def _default(node: Node, name: str) -> Limit | None:
    """Return the default of an attribute that a rule does not name, as a limit."""
    value = node.defaults.get(name)
    if value is None:
        return () if node.attributes.get(name) is not None else None
    return value if isinstance(value, tuple) else (value,)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What rules ask first of the input that stands for a node."""

    dtype: str
    quantized: bool
    rank: int | None
    """None where the shape is not known."""


def _seen(node: Node, integers: str) -> _Seen | None:
    data = node.data
    if data is None:
        return None
    return _Seen(*kind(data, integers), None if data.shape is None else len(data.shape))


def _speaks_of(rule: OpRule, node: Node, data: _Seen | None) -> bool:
    """Whether a rule is one for the node's version, type and rank, which tells most rules apart."""
    if rule.accepts:
        if not covers(rule, node):
            return False
    elif rule.versions and node.version not in rule.versions:
        return False
    typed = bool(rule.dtypes or rule.quantized_dtypes)
    if data is None:
        return rule.accepts or not (typed or rule.ranks)
    if typed and data.dtype not in (rule.quantized_dtypes if data.quantized else rule.dtypes):
        return False
    return not rule.ranks or data.rank in rule.ranks


def _is_apart(rule: OpRule, node: Node, refused: Sequence[set[int]]) -> bool:
    """Whether the tool is known to take the node's version otherwise than those that a rule accepts."""
    if not rule.accepts or not rule.versions or node.version in rule.versions:
        return False
    return any(versions.isdisjoint(rule.versions) for versions in refused)


def _refuses(node: Node, rule: OpRule, devices: Sequence[str]) -> bool:
    """Whether a refusal that speaks of the node holds for it."""
    if rule.evidence.devices and not set(devices) & set(rule.evidence.devices):
        return False
    for attribute, limit in rule.attributes.items():
        if attribute not in node.attributes or not allows(limit, node.attributes[attribute]):
            return False
    if any(_breach(name, node) for name in rule.constraints):
        return False
    return all((breach := _breach(name, node)) is not None and breach.certain for name in rule.breaks)


def _objections(node: Node, rule: OpRule) -> tuple[Gap, ...]:
    """List what a refusal holds against a node: attributes other than the default, and broken constraints.

    Attributes with their default are listed only where there is nothing else.
    """
    broken = [_constraint_gap(name, breach) for name in rule.breaks if (breach := _breach(name, node))]
    named = [name for name in rule.attributes if node.attributes[name] != node.defaults.get(name)]
    named = named or ([] if broken else list(rule.attributes))
    stated = ", ".join(f"{name} {_shown(node.attributes[name])}" for name in named)
    return (*([Gap(stated, "")] if stated else []), *broken)


def _shown(value: Attribute) -> str:
    return str(list(value) if isinstance(value, tuple) else value)


def _breach(name: str, node: Node) -> Breach | None:
    return CONSTRAINTS[name].breach(node)


def _constraint_gap(name: str, breach: Breach) -> Gap:
    return Gap(breach.found, CONSTRAINTS[name].sentence)


def describe(limit: Limit) -> str:
    """Put a limit into words."""
    if isinstance(limit, Range):
        ends = (("from", limit.min), ("to", limit.max))
        return " ".join(f"{word} {end:g}" for word, end in ends if end is not None) or "of any number"
    return limit if isinstance(limit, str) else " or ".join(str(value) for value in limit) or "left out"


def _types(rule: OpRule) -> str:
    return " or ".join([*rule.dtypes, *(f"quantised {grid}" for grid in rule.quantized_dtypes)])


def _listed(word: str, values: Sequence[object]) -> str:
    return f"{word} {', '.join(str(value) for value in values)}".strip()
