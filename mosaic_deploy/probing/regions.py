"""Boxes: regions of what was tried of one operator, in which one verdict holds throughout.

A box spans types, ranks, values of attributes and constraints, as a rule does. It is grown from one case by
joining others, as long as it holds no case that came out otherwise and no type and rank that was not tried.
Sets of cases are the bits of an integer, so that asking what lies in a box is a few ANDs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from operator import or_
from typing import final

from mosaic_deploy.gate.op_support.tables import Limit, allows
from mosaic_deploy.graph.facts import Node
from mosaic_deploy.probing.form import Form

Element = int | float | str
Kind = tuple[str, bool]
"""A type, and whether it is that of a quantised tensor."""

_SEEDS = 6  # cases that growing is begun from, of those that a new box should hold
_PASSES = 3  # over the candidates: one that does not fit at first may fit into a larger box


@dataclass(frozen=True, slots=True)
class Point:
    """One case with what rules see of it, and what came of it."""

    name: str
    form: str
    sort: str
    axes: str
    """Values of the form's axes, as the case's name has them."""
    node: Node
    integers: str
    """What float tensors become in this case; empty where they stay."""
    kind: Kind
    rank: int
    elements: Mapping[str, tuple[Element, ...]]
    """Each attribute's value as a list."""
    discriminators: Mapping[str, bool | None]
    """Whether each constraint of the operator's forms holds; None where that is not certain."""
    found: Mapping[str, str]
    """By device."""
    errors: Mapping[str, str]
    """By device."""


@dataclass(frozen=True, slots=True)
class Box:
    """A region; ``limits`` holds what is named of attributes, as in the rule that it becomes."""

    accepts: bool
    kinds: frozenset[Kind]
    ranks: frozenset[int]
    limits: Mapping[str, Limit | frozenset[Element]]
    holds: frozenset[str]
    broken: frozenset[str] = frozenset()

    def joined(self, point: Point) -> Box:
        """The smallest box that holds this one and a point."""
        limits: dict[str, Limit | frozenset[Element]] = {}
        for name in {**self.limits, **(point.elements if self.accepts else {})}:
            before = self.limits.get(name, frozenset())
            if not self.accepts and name not in point.elements:
                continue  # a refusal that names an attribute passes over nodes without it
            more = point.elements.get(name, ())
            limits[name] = before | frozenset(more) if isinstance(before, frozenset) else before
        return replace(
            self,
            kinds=self.kinds | {point.kind},
            ranks=self.ranks | {point.rank},
            limits=limits,
            holds=frozenset(t for t in self.holds if point.discriminators[t]),
            broken=frozenset(t for t in self.broken if point.discriminators[t] is False),
        )


@final
class Tried:
    """All points of one operator, by their features."""

    def __init__(self, points: Sequence[Point]) -> None:
        """Sort the points by features."""
        self.points = tuple(points)
        self.all = (1 << len(self.points)) - 1
        self._masks: dict[tuple[str, object], int] = {}
        self._values: dict[str, set[Element]] = {}
        self._within: dict[tuple[str, object], int] = {}
        for i, point in enumerate(self.points):
            facts: list[tuple[str, object]] = [
                ("kind", point.kind), ("rank", point.rank), ("version", point.node.version),
                ("form", point.form), ("sort", point.sort),
            ]  # fmt: skip
            facts += [
                ("holds" if held else "broken", t)
                for t, held in point.discriminators.items()
                if held is not None
            ]
            for name, elements in point.elements.items():
                self._values.setdefault(name, set()).update(elements)
                facts += [("has", name), *((f"has {name}", element) for element in elements)]
            for fact in facts:
                self._masks[fact] = self._masks.get(fact, 0) | 1 << i
        self._unnamed = {
            name: sum(1 << i for i, point in enumerate(self.points) if _is_default(point, name))
            for name in self._values
        }

    def of(self, feature: str, value: object) -> int:
        """The points that have a feature."""
        return self._masks.get((feature, value), 0)

    def where(self, holds: Callable[[Point], bool]) -> int:
        """The points that a predicate holds for."""
        return sum(1 << i for i, point in enumerate(self.points) if holds(point))

    def each(self, mask: int) -> Iterator[tuple[int, Point]]:
        """The points of a set with their numbers, in order."""
        while mask:
            low = mask & -mask
            i = low.bit_length() - 1
            yield i, self.points[i]
            mask ^= low

    def inside(self, box: Box) -> int:
        """The points in a box, of whatever version, as the rule that the box becomes would have it."""
        mask = reduce(or_, (self.of("kind", kind) for kind in box.kinds), 0)
        mask &= reduce(or_, (self.of("rank", rank) for rank in box.ranks), 0)
        for name in self._unnamed if box.accepts else box.limits:
            if name in box.limits:
                mask &= self._allowed(name, box.limits[name])
                mask &= self.all if box.accepts else self.of("has", name)
            else:
                mask &= self._unnamed[name]
        for tell in box.holds:
            mask &= self.of("holds", tell)
        for tell in box.broken:
            mask &= self.of("broken", tell)
        return mask

    def _allowed(self, name: str, limit: Limit | frozenset[Element]) -> int:
        key = (name, limit)
        if key not in self._within:
            plain: Limit = tuple(limit) if isinstance(limit, frozenset) else limit
            outside = (value for value in self._values.get(name, ()) if not allows(plain, value))
            self._within[key] = self.all & ~reduce(or_, (self.of(f"has {name}", v) for v in outside), 0)
        return self._within[key]


def _is_default(point: Point, name: str) -> bool:
    """Whether a rule that accepts and does not name an attribute lets a point pass."""
    if name not in point.elements:
        return True
    default = point.node.defaults.get(name)
    if default is None:
        return not point.elements[name]
    limit: Limit = default if isinstance(default, tuple) else (default,)
    return all(allows(limit, element) for element in point.elements[name])


@dataclass(frozen=True, slots=True)
class Region:
    """What boxes of one verdict are cut from: one form at one version, on some devices."""

    tried: Tried
    accepts: bool
    ground: int
    """The form's points at this version."""
    good: int
    """Those of them that came out with the verdict on these devices, and on no others."""
    agree: int
    """Every point of the operator that did."""
    bad: int
    """Every point of the operator at this version that did not."""
    own: tuple[str, ...]
    """Constraints that the form names."""
    every: tuple[str, ...]
    """Constraints that any form of the operator names."""
    other: int
    """Every point of the operator, at any version, that is known to have come out otherwise."""
    features: frozenset[str]
    """Attributes that vary within the form, or differ from the defaults."""
    form: Form | None
    version: int
    _pairs: dict[tuple[Kind, int], int] = field(default_factory=dict)

    def pair(self, kind: Kind, rank: int) -> int:
        """All points of a type and a rank."""
        if (kind, rank) not in self._pairs:
            self._pairs[kind, rank] = self.tried.of("kind", kind) & self.tried.of("rank", rank)
        return self._pairs[kind, rank]

    def safe(self, box: Box) -> bool:
        """Whether no point in the box came out otherwise."""
        return not self.tried.inside(box) & self.bad

    def complete(self, box: Box) -> bool:
        """Whether the box is safe, and the form was tried with each of its types at each of its ranks.

        A constraint that the form names and the box does not must have been tried both ways.
        """
        inside = self.tried.inside(box)
        if inside & self.bad:
            return False
        free = [tell for tell in self.own if tell not in box.holds and tell not in box.broken]
        for kind in box.kinds:
            for rank in box.ranks:
                pair = self.pair(kind, rank)
                if not inside & self.good & pair:
                    return False
                if not all(self._is_free(tell, inside, pair) for tell in free):
                    return False
        return True

    def _is_free(self, tell: str, inside: int, pair: int) -> bool:
        """Whether a constraint was tried both ways where the box goes.

        A rule that accepts can only say that a constraint holds. What was tried broken alone is let
        pass if it is known from elsewhere to run where the constraint holds.
        """
        holding, seen = self.tried.of("holds", tell), self.ground | inside & self.agree
        if self.accepts:
            return bool(seen & pair & ~holding) and bool((self.ground | self.agree) & holding)
        uncertain = self.tried.all & ~holding & ~self.tried.of("broken", tell)
        both = seen & pair & holding and seen & pair & self.tried.of("broken", tell)
        return bool(both or inside & self.good & pair & uncertain)

    def seed(self, point: Point, *, full: bool) -> Box:
        """The smallest box that holds a point; ``full`` names in a refusal whatever can be named."""
        discriminators = self.every if self.accepts or full else self.own
        named = set(point.elements) if self.accepts or full else self.features & set(point.elements)
        return Box(
            accepts=self.accepts,
            kinds=frozenset({point.kind}),
            ranks=frozenset({point.rank}),
            limits={name: frozenset(point.elements[name]) for name in sorted(named)},
            holds=frozenset(tell for tell in discriminators if point.discriminators[tell]),
            broken=frozenset(
                t for t in discriminators if point.discriminators[t] is False and not self.accepts
            ),
        )

    def largest(self, todo: int) -> Box | None:
        """The complete box that holds the most points of ``todo``; None where no point has one."""
        starts = [point for _, point in self.tried.each(todo)]
        candidates = [point for _, point in self.tried.each(self.good)]
        best: tuple[tuple[int, int, int], Box] | None = None
        for full in (False,) if self.accepts else (False, True):
            for start in (p for p in _spread(starts) if self.complete(self.seed(p, full=full))):
                for box in self._grown(start, candidates, full=full):
                    inside = self.tried.inside(box)
                    rank = ((inside & todo).bit_count(), (inside & self.good).bit_count(), -len(box.limits))
                    if best is None or rank > best[0]:
                        best = (rank, box)
                if best is not None and best[0][0] == len(starts):
                    return best[1]
            if best is not None:
                return best[1]
        return None

    def stuck(self, todo: int) -> int:
        """The points of ``todo`` that even their smallest box does not tell from others."""
        ways = (False,) if self.accepts else (False, True)
        return sum(
            1 << i
            for i, point in self.tried.each(todo)
            if not any(self.complete(self.seed(point, full=full)) for full in ways)
        )

    def _grown(self, start: Point, candidates: Sequence[Point], *, full: bool) -> Iterator[Box]:
        seed = self.seed(start, full=full)
        together = reduce(Box.joined, candidates, seed)
        if self.complete(together):
            yield together
            return
        for order in (_by_place, _by_values, _by_distance):
            box = seed
            for _ in range(_PASSES):
                before = box
                for point in sorted(candidates, key=partial(order, start)):
                    wider = box.joined(point)
                    if wider != box and self.complete(wider):
                        box = wider
                if box == before:
                    break
            yield box


def _spread(points: Sequence[Point]) -> Iterable[Point]:
    step = max(1, len(points) // _SEEDS)
    return points[::step]


def _changes(a: Point, b: Point) -> int:
    return sum(a.elements.get(name) != b.elements.get(name) for name in {**a.elements, **b.elements})


def _by_place(start: Point, point: Point) -> tuple[int, int, int]:
    """First what differs in type, then in rank, then in attributes."""
    return _changes(start, point), point.rank != start.rank, point.kind != start.kind


def _by_values(start: Point, point: Point) -> tuple[int, int, int]:
    """First what differs in attributes only."""
    return point.kind != start.kind, point.rank != start.rank, _changes(start, point)


def _by_distance(start: Point, point: Point) -> tuple[int, int, int]:
    """First what differs in the fewest ways."""
    away = (point.kind != start.kind) + (point.rank != start.rank) + _changes(start, point)
    return away, point.rank != start.rank, _changes(start, point)
