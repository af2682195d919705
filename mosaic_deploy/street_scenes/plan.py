"""What stands beside the street: plots of buildings, gardens, fences and trees, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.street_scenes import building, fence, tree
from mosaic_deploy.street_scenes.stage import Stage
from mosaic_deploy.street_scenes.street import FAR_M, Street

Floats = NDArray[np.float64]
Span = tuple[float, float]
Paint = Callable[[Stage], None]


@dataclass(frozen=True, slots=True)
class Habits:
    """``winter`` is the chance in [0, 1] of a bare tree; ``open_end`` that a gap comes before."""

    winter: float
    open_end: bool


@dataclass(frozen=True, slots=True)
class Item:
    """Something to draw once everything further than ``depth_m`` is drawn.

    ``base`` is the (N, 3) ground outline that casts a shadow ``tall_m`` high, if any.
    """

    depth_m: float
    paint: Paint
    base: Floats | None = None
    tall_m: float = 0.0

    def clear_of(self, others: Sequence[Item], *, margin_m: float) -> bool:
        """Tell whether its base keeps ``margin_m`` from the bounds of every other base."""
        if self.base is None:
            return True
        low, high = self.base.min(axis=0) - margin_m, self.base.max(axis=0) + margin_m
        return not any(
            bool((other.base.min(axis=0) < high).all() and (other.base.max(axis=0) > low).all())
            for other in others
            if other.base is not None
        )


def _building(street: Street, built: building.Building) -> Item:
    return Item(
        built.end_m,
        lambda stage: building.draw(stage, street, built),
        building.footprint(street, built),
        built.height_m + built.roof_m * 0.6,
    )


def tree_item(grown: tree.Tree) -> Item:
    """Make a tree drawable; its shadow is that of its crown."""
    turn = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    reach = grown.crown_m[0] * (0.35 if grown.bare else 0.7)
    ring = np.stack([np.cos(turn) * reach, 0 * turn, np.sin(turn) * reach], axis=1)
    base = ring + np.array((grown.x_m, 0.0, grown.z_m))
    return Item(grown.z_m, lambda stage: tree.draw(stage, grown), base, grown.trunk_m * 2)


def barrier_items(street: Street, barrier: fence.Barrier, span: Span) -> list[Item]:
    """Make a barrier drawable, stretch by stretch."""

    def stretch(piece: Span) -> Item:
        return Item(sum(piece) / 2, lambda stage: fence.draw(stage, street, barrier, piece))

    return [stretch(piece) for piece in fence.pieces(span)]


def _trees(
    street: Street, rng: np.random.Generator, side: int, span: tuple[float, float], winter: float
) -> list[Item]:
    items, ahead = [], span[0] + rng.uniform(0.0, 3.0)
    while ahead < span[1]:
        across = street.edge(side) + side * rng.uniform(1.5, 9.0)
        spot = street.at(across, ahead)[0]
        grown = tree.sample(rng, x_m=float(spot[0]), z_m=float(spot[2]), winter=winter)
        if ahead > 4.0:
            items.append(tree_item(grown))
        ahead += rng.uniform(2.5, 8.0) * (1.0 + ahead / 50.0)
    return items


def _plot(street: Street, rng: np.random.Generator, side: int, span: Span, habits: Habits) -> list[Item]:
    if street.verge[0 if side < 0 else 1] == "asphalt":
        return _trees(street, rng, side, (span[0], span[0] + 0.1), habits.winter)
    odds = {"terrace": 0.94, "suburb": 0.7, "park": 0.2, "open": 0.55}[street.kind]
    edge = street.edge(side)
    if rng.random() >= odds:
        items = _trees(street, rng, side, span, habits.winter)
        if rng.random() < 0.85:
            items += barrier_items(street, fence.sample(rng, across_m=edge + side * 0.2), span)
        return items
    setback = {"terrace": 0.0, "suburb": rng.uniform(3.0, 6.5), "park": 6.0}.get(
        street.kind, rng.uniform(1.0, 9.0)
    )
    across = edge + side * setback
    plot = building.Plot(side, across, span, habits.open_end)
    built = building.sample(rng, plot, kind=street.kind)
    items = [_building(street, built)]
    if setback > 2.0:
        items += barrier_items(street, fence.sample(rng, across_m=edge + side * 0.2), span)
        if rng.random() < 0.5:
            items += _trees(street, rng, side, (span[0], span[0] + 0.1), habits.winter)
    return items


def sides(street: Street, rng: np.random.Generator) -> list[Item]:
    """Fill both sides of the street with plots, leaving side roads open."""
    items: list[Item] = []
    winter = float(rng.choice((0.0, 0.5, 0.9), p=(0.3, 0.3, 0.4)))
    for side in (-1, 1):
        ahead, gap = 2.0, False
        while ahead < FAR_M * 0.75:
            wide = rng.uniform(5.0, 11.0) if street.kind == "terrace" else rng.uniform(8.0, 20.0)
            wide = min(wide * (1.0 if ahead < 60 else 1.8), 26.0)
            span = (ahead, ahead + wide)
            blocked = [
                road
                for road in street.junctions
                if road.side == side and ahead < road.end_m + 1.5 and span[1] > road.start_m - 1.5
            ]
            if blocked:
                span = (ahead, blocked[0].start_m - 1.5)
            if span[1] - span[0] > 2.5:
                items += _plot(street, rng, side, span, Habits(winter, gap))
            gap = bool(blocked) or street.kind != "terrace"
            ahead = blocked[0].end_m + 1.5 if blocked else span[1]
            ahead += 0.0 if street.kind == "terrace" else rng.uniform(0.0, 4.0)
    return items
