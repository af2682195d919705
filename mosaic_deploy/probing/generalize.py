"""From boxes to rules: ranges and lists for values, versions that came out alike, rules that are one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS
from mosaic_deploy.gate.op_support.tables import Evidence, Limit, OpRule, Outcome, Range
from mosaic_deploy.graph.facts import Node
from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.regions import Box, Element, Kind, Point, Region
from mosaic_deploy.probing.sketch import Value
from mosaic_deploy.specs.precision import DType, Integers

_CODES = frozenset({"to", "dtype", "output_dtype", "precision", "stash_type"})
"""Attributes whose numbers stand for types: between two of them lies nothing."""
_SIZES = frozenset({"kernel_shape", "strides", "dilations", "pads", "output_padding", "output_shape"})
"""Attributes that are sizes: however many were tried, larger ones are another thing."""
_PLACES = frozenset({"axis", "axes", "batch_dims"})
"""Attributes that count dimensions: one that was not tried is another dimension, not a value between."""
_RUN = 3  # tested values that make a range
_FREE = 4  # tested values that let an attribute that follows the shape be anything


def shaped(region: Region, box: Box, op: str, verdict: Outcome, devices: tuple[str, ...]) -> Iterator[OpRule]:
    """The rules that a complete box becomes: one for each set of versions that came out alike.

    Args:
        region: what the box was cut from.
        box: complete in the region.
        op: the operator.
        verdict: of all that is in the box.
        devices: that it holds on; empty for all.
    """
    limited = _with_limits(region, _relaxed(region, box if box.accepts else _pruned(region, box)))
    for versions, part in _by_versions(region, limited):
        final = _without_defaults(region, part, versions) if part.accepts else part
        yield OpRule(
            id="new",
            op=op,
            versions=versions,
            dtypes=tuple(t for t in get_args(DType) if (t, False) in final.kinds),
            quantized_dtypes=tuple(t for t in get_args(Integers) if (t, True) in final.kinds),
            ranks=tuple(sorted(final.ranks)),
            attributes={name: _plain(limit) for name, limit in sorted(final.limits.items())},
            constraints=tuple(name for name in CONSTRAINTS if name in final.holds),
            breaks=tuple(name for name in CONSTRAINTS if name in final.broken),
            verdict=verdict,
            evidence=Evidence(cases=0, devices=devices),
            fix="" if final.accepts else "-",
        )


def _pruned(region: Region, box: Box) -> Box:
    """A refusal without what it need not name: numbers all of whose tested values are in it, and extras."""
    for name in sorted(box.limits):
        tested = _elements(region.tried.each(region.ground), name)
        spanned = len(tested) > 1 and not any(isinstance(v, str) for v in tested)
        whole = spanned and tested == box.limits[name]
        if whole or name not in region.features:
            box = _if_complete(region, box, replace(box, limits=_less(box.limits, name)))
    for tell in sorted((box.holds | box.broken) - set(region.own)):
        box = _if_complete(region, box, replace(box, holds=box.holds - {tell}, broken=box.broken - {tell}))
    return box


def _relaxed(region: Region, box: Box) -> Box:
    """The box without constraints that other forms show not to matter: tried both ways at all it spans."""
    for tell in sorted(box.holds | box.broken):
        wider = replace(box, holds=box.holds - {tell}, broken=box.broken - {tell})
        seen = region.tried.inside(wider) & region.agree
        places = [seen & region.pair(kind, rank) for kind in box.kinds for rank in box.ranks]
        ways = [region.tried.of(way, tell) for way in ("holds", "broken")]
        if all(place & way for place in places for way in ways):
            box = _if_complete(region, box, wider)
    return box


def _if_complete(region: Region, box: Box, wider: Box) -> Box:
    return wider if region.complete(wider) else box


def _with_limits(region: Region, box: Box) -> Box:
    for name in sorted(box.limits):
        held = box.limits[name]
        values = frozenset(held) if isinstance(held, frozenset) else frozenset()
        tested = _elements(region.tried.each(region.ground), name)
        whole = {_shown(p.elements[name]) for _, p in _good(region, box) if name in p.elements}
        follows = _follows_the_shape(region, name)
        for limit in _limits(name, values, tested=tested, distinct=len(whole), follows=follows):
            tight = replace(box, limits={**box.limits, name: limit})
            if region.safe(tight):
                box = tight
                break
    return box


def _limits(
    name: str, values: Iterable[Element], *, tested: Iterable[Element], distinct: int, follows: bool
) -> Iterator[Limit]:
    """Ways to say which values are meant, the widest first."""
    values = sorted({*values}, key=lambda v: (isinstance(v, str), v))
    if values == ["?"] or (follows and distinct >= _FREE and name not in _CODES | _SIZES):
        yield "any"
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) == len(values) >= _RUN and name not in _CODES:
        between = [t for t in tested if not isinstance(t, str) and numbers[0] <= t <= numbers[-1]]
        gapless = name not in _PLACES or numbers[-1] - numbers[0] == len(numbers) - 1
        if {*between} == {*numbers} and gapless:
            yield _range(numbers[0], numbers[-1])
    yield tuple(_short(value) for value in values)


def _range(low: float, high: float) -> Range:
    """The range with ends as people write them, where it still holds the float32 values that were tested."""
    neat = Range(min=float(_short(low)), max=float(_short(high)))
    return neat if neat.holds(low) and neat.holds(high) else Range(min=low, max=high)


def _short(value: Element) -> Element:
    """A float32 with the digits that tell it from others."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _plain(limit: Limit | frozenset[Element]) -> Limit:
    if isinstance(limit, frozenset):
        return tuple(_short(v) for v in sorted(limit, key=lambda v: (isinstance(v, str), v)))
    return limit


def _less(limits: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {other: limit for other, limit in limits.items() if other != name}


def _good(region: Region, box: Box) -> Iterator[tuple[int, Point]]:
    return region.tried.each(region.tried.inside(box) & region.good)


def _elements(points: Iterable[tuple[int, Point]], name: str) -> frozenset[Element]:
    return frozenset(v for _, point in points for v in point.elements.get(name, ()))


def _shown(elements: tuple[Element, ...]) -> tuple[Element, ...]:
    """A list of equal values as one of them: ``pads`` of 1 are the same at every rank."""
    return elements[:1] if len({*elements}) == 1 else elements


def _follows_the_shape(region: Region, name: str) -> bool:
    """Whether an attribute's value is no axis but comes of the shape, or of a word in an axis."""
    by_axes: dict[object, set[object]] = defaultdict(set)
    by_rest: dict[object, set[object]] = defaultdict(set)
    numbers = _numeric_axes(region.form)
    for _, point in region.tried.each(region.ground):
        if name not in point.elements or any(isinstance(v, str) for v in point.elements[name]):
            continue
        value = _shown(point.elements[name])
        by_axes[point.axes].add(value)
        by_rest[numbers.get(point.axes, point.axes), point.rank].add(value)
    return any(len(values) > 1 for values in (*by_axes.values(), *by_rest.values()))


def _numeric_axes(form: Form | None) -> dict[str, tuple[tuple[str, Value], ...]]:
    """The axes of each case that hold numbers, by the text of all of them in its name."""
    return {
        "".join(f" {axis}={value}" for axis, value in values.items()): tuple(
            (axis, value)
            for axis, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        )
        for values in (form.grid() if form else ())
    }


# -- versions -----------------------------------------------------------------------------------------


def _by_versions(region: Region, box: Box) -> Iterator[tuple[tuple[int, ...], Box]]:
    """The box, cut by which other versions came out as it did; a refusal is left whole.

    Other versions are tried at one rank, or at all: what ran at that rank is taken to run at the others.
    """
    tried = region.tried
    form, here = tried.points[_first(region.ground)].form, region.version
    plain = tried.of("form", form) & tried.of("sort", "version")
    others = sorted({point.node.version for _, point in tried.each(plain)} - {here})
    if not region.ground & tried.of("sort", "grid"):
        others = []
    if not box.accepts:
        inside = tried.inside(box)
        if not inside & region.other:
            yield (), box
            return
        alike = [
            v for v in others if inside & plain & tried.of("version", v) and not _differs(region, box, v)
        ]
        yield tuple(sorted({here, *alike})), box
        return
    same: dict[tuple[int, ...], list[tuple[Kind, int]]] = defaultdict(list)
    for kind in sorted(box.kinds):
        for rank in sorted(box.ranks):
            points = {v: plain & tried.of("version", v) & tried.of("kind", kind) for v in others}
            points = {v: mask & tried.of("rank", rank) or mask for v, mask in points.items()}
            ran = tuple(v for v, mask in points.items() if mask and not mask & ~region.agree)
            same[ran].append((kind, rank))
    for ran, pairs in same.items():
        for part in _rectangles(box, pairs):
            wide = _with_attributes_of(region, part, plain & _any(tried.of("version", v) for v in ran))
            safe = [v for v in ran if not _differs(region, wide, v)]
            yield tuple(sorted({here, *safe})), wide


def _differs(region: Region, box: Box, version: int) -> bool:
    return bool(region.tried.inside(box) & region.other & region.tried.of("version", version))


def _any(masks: Iterable[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found


def _first(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _rectangles(box: Box, pairs: Sequence[tuple[Kind, int]]) -> Iterator[Box]:
    """Cut a box to types and ranks: those types together that have the same ranks."""
    ranks: dict[Kind, set[int]] = defaultdict(set)
    for kind, rank in pairs:
        ranks[kind].add(rank)
    together: dict[frozenset[int], set[Kind]] = defaultdict(set)
    for kind, found in ranks.items():
        together[frozenset(found)].add(kind)
    for alike, kinds in together.items():
        yield replace(box, kinds=frozenset(kinds), ranks=alike)


def _with_attributes_of(region: Region, box: Box, plain: int) -> Box:
    """Name attributes that only other versions have: what is an input here was an attribute there."""
    inside = _any(region.tried.of("kind", kind) for kind in box.kinds) & plain & region.agree
    here = {name for _, point in region.tried.each(region.ground) for name in point.elements}
    points = list(region.tried.each(inside))
    for name in sorted({name for _, point in points for name in point.elements} - here):
        if all(_is_stated_default(point, name) for _, point in points if name in point.elements):
            continue
        stored = {value for _, p in _good(region, box) if (value := _stored(p.node, name)) is not None}
        given = _elements(points, name)
        values = given | {element for value in stored for element in value}
        distinct = len({_shown(value) for value in stored})
        limits = _limits(name, values, tested=values, distinct=distinct, follows=distinct >= _FREE)
        box = replace(box, limits={**box.limits, name: next(limits)})
    return box


def _is_stated_default(point: Point, name: str) -> bool:
    default = point.node.defaults.get(name)
    return (default if isinstance(default, tuple) else (default,)) == point.elements[name]


def _stored(node: Node, name: str) -> tuple[Element, ...] | None:
    """The values of an input by its name in the operator's schema, where they are stored."""
    import onnx

    schema = onnx.defs.get_schema(node.op, node.opset, node.domain)
    place = next((i for i, put in enumerate(schema.inputs) if put.name == name), len(node.inputs))
    tensor = node.inputs[place] if place < len(node.inputs) else None
    return None if tensor is None or tensor.value is None else tuple(tensor.value.reshape(-1).tolist())


def _without_defaults(region: Region, box: Box, versions: Sequence[int]) -> Box:
    """Leave out attributes that have the operator's default throughout: a rule means that anyway."""
    tried = region.tried
    form = tried.points[_first(region.ground)].form
    mine = tried.of("form", form) & _any(tried.of("version", v) for v in versions) & region.agree
    for name in sorted(box.limits):
        fewer = replace(box, limits=_less(box.limits, name))
        if not tried.inside(box) & mine & ~tried.inside(fewer):
            box = fewer
    return box


# -- rules that are one ----------------------------------------------------------------------------------


def merged(found: Sequence[tuple[OpRule, str]], devices: Sequence[str]) -> list[tuple[OpRule, str]]:
    """Join rules that differ in one thing only, and leave out those that another holds already.

    Args:
        found: rules with the form that each was made from; a joined rule keeps the first one's.
        devices: everything that the table knows.
    """
    rules = list(found)
    while (pair := _joinable(rules, devices)) is not None:
        i, j, joined = pair
        rules[i] = (joined, rules[i][1])
        del rules[j]
    return rules


def _joinable(rules: Sequence[tuple[OpRule, str]], devices: Sequence[str]) -> tuple[int, int, OpRule] | None:
    for i, (first, _) in enumerate(rules):
        for j, (second, _) in enumerate(rules[i + 1 :], i + 1):
            if (joined := _join(first, second, devices)) is not None:
                return i, j, joined
    return None


def _join(a: OpRule, b: OpRule, devices: Sequence[str]) -> OpRule | None:
    if a.verdict != b.verdict:
        return None
    sides = (_sides(a, devices), _sides(b, devices))
    if set(a.breaks) != set(b.breaks):
        return None
    if a.attributes == b.attributes and set(a.constraints) == set(b.constraints):
        apart = [name for name in sides[0] if sides[0][name] != sides[1][name]]
        if len(apart) <= 1 or all(sides[0][n] >= sides[1][n] for n in apart):
            return _united(a, b, devices)
        return _united(b, a, devices) if all(sides[1][n] >= sides[0][n] for n in apart) else None
    for wide, narrow, first, second in ((a, b, sides[0], sides[1]), (b, a, sides[1], sides[0])):
        inside = all(first[name] >= second[name] for name in first)
        if inside and _limits_hold(wide, narrow) and set(wide.constraints) <= set(narrow.constraints):
            return wide
    return None


def _sides(rule: OpRule, devices: Sequence[str]) -> dict[str, frozenset[Any]]:
    kinds = {(t, False) for t in rule.dtypes} | {(t, True) for t in rule.quantized_dtypes}
    return {
        "kinds": frozenset(kinds),
        "ranks": frozenset(rule.ranks),
        "versions": frozenset(rule.versions or range(1, 1000)),
        "devices": frozenset(rule.evidence.devices or devices),
    }


def _united(a: OpRule, b: OpRule, devices: Sequence[str]) -> OpRule:
    tried = {*(a.evidence.devices or devices), *(b.evidence.devices or devices)}
    named = () if tried == {*devices} else tuple(device for device in devices if device in tried)
    return a.model_copy(
        update={
            "dtypes": tuple(t for t in get_args(DType) if t in (*a.dtypes, *b.dtypes)),
            "quantized_dtypes": tuple(
                t for t in get_args(Integers) if t in (*a.quantized_dtypes, *b.quantized_dtypes)
            ),
            "ranks": tuple(sorted({*a.ranks, *b.ranks})),
            "versions": tuple(sorted({*a.versions, *b.versions})) if a.versions and b.versions else (),
            "evidence": a.evidence.model_copy(update={"devices": named}),
        }
    )


def _limits_hold(wide: OpRule, narrow: OpRule) -> bool:
    """Whether every value that one rule means the other means too; what is unnamed counts as another."""
    if set(wide.attributes) - set(narrow.attributes):
        return False
    if wide.accepts and set(narrow.attributes) - set(wide.attributes):
        return False
    return all(_holds(limit, narrow.attributes[name]) for name, limit in wide.attributes.items())


def _holds(wide: Limit, narrow: Limit) -> bool:
    if wide == "any" or wide == narrow:
        return True
    if isinstance(narrow, Range) or narrow == "any":
        if not isinstance(wide, Range) or not isinstance(narrow, Range):
            return False
        ends = (narrow.min, narrow.max)
        return all(end is not None and wide.holds(end) for end in ends)
    if isinstance(wide, Range):
        return all(not isinstance(value, str) and wide.holds(value) for value in narrow)
    return set(narrow) <= set(wide)
