"""What stands and moves in the street: vehicles, people, bicycles, posts, guard rails."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.street_scenes import bodywork, fence, furniture, people, tree, vehicle
from mosaic_deploy.street_scenes.plan import Item, barrier_items, tree_item
from mosaic_deploy.street_scenes.street import Street

Floats = NDArray[np.float64]


def _vehicle(street: Street, rng: np.random.Generator, across_m: float, ahead_m: float, turn: float) -> Item:
    spot = street.at(across_m, ahead_m)[0]
    heading = street.heading(ahead_m) + turn
    car = vehicle.sample(rng, x_m=float(spot[0]), z_m=float(spot[2]), heading=heading)
    return Item(ahead_m, lambda stage: bodywork.draw(stage, car), vehicle.footprint(car), car.size_m[2])


def _parked(street: Street, rng: np.random.Generator, side: int) -> list[Item]:
    items, ahead = [], rng.uniform(7.0, 14.0) if side > 0 else rng.uniform(8.5, 16.0)
    turn = 0.0 if side < 0 or rng.random() < 0.4 else np.pi
    while ahead < 54.0:
        if rng.random() < 0.72 and not street.in_junction(side, ahead - 4, ahead + 4):
            across = street.kerb(side) - side * rng.uniform(1.0, 1.25)
            items.append(_vehicle(street, rng, across, ahead, turn + rng.normal(0, 0.03)))
        ahead += rng.uniform(5.4, 8.5)
    return items


def _moving(street: Street, rng: np.random.Generator, busy: float) -> list[Item]:
    items = []
    ahead = rng.uniform(8.5, 28.0)
    while rng.random() < busy and ahead < 54:
        items.append(_vehicle(street, rng, rng.normal(0.0, 0.25), ahead, rng.normal(0, 0.02)))
        ahead += rng.uniform(7.0, 25.0)
    ahead = rng.uniform(7.5, 24.0)
    while rng.random() < busy and ahead < 54:
        across = rng.uniform(2.9, 3.5)
        if across < street.kerb(1) - 1.0:
            items.append(_vehicle(street, rng, across, ahead, np.pi + rng.normal(0, 0.02)))
        ahead += rng.uniform(7.0, 25.0)
    for road in street.junctions:
        if rng.random() < 0.45:
            middle = (road.start_m + road.end_m) / 2
            across = street.kerb(road.side) + road.side * rng.uniform(-1.0, 7.0)
            turn = rng.choice((-1, 1)) * np.pi / 2 + rng.normal(0, 0.15)
            items.append(_vehicle(street, rng, across, middle, turn))
    return items


def _car_park(street: Street, rng: np.random.Generator) -> list[Item]:
    items = []
    for side, verge in zip((-1, 1), street.verge, strict=True):
        if verge != "asphalt":
            continue
        turn = side * np.pi / 2 + rng.choice((0.0, np.pi))
        for ahead in np.arange(rng.uniform(8.0, 14.0), 50.0, 2.7):
            if rng.random() < 0.7:
                across = street.edge(side) + side * 3.0
                items.append(_vehicle(street, rng, across, float(ahead), turn))
    return items


def _person(
    street: Street, rng: np.random.Generator, across_m: float, ahead_m: float, *, riding: bool
) -> Item:
    spot = street.at(across_m, ahead_m)[0]
    away = 0.0 if rng.random() < 0.55 else np.pi
    heading = away + rng.normal(0.0, 0.25)
    if rng.random() < (0.2 if riding else 0.3):
        heading = rng.uniform(0.0, 2 * np.pi)
    person = people.sample(rng, x_m=float(spot[0]), z_m=float(spot[2]), heading=float(heading), riding=riding)
    return Item(ahead_m, lambda stage: people.draw(stage, person), people.footprint(person), 1.7)


def _walkers(street: Street, rng: np.random.Generator) -> list[Item]:
    items = []
    for _ in range(int(rng.integers(4, 11))):
        side = int(rng.choice((-1, 1)))
        ahead = rng.uniform(6.0, 32.0) if rng.random() < 0.75 else rng.uniform(20.0, 45.0)
        low, high = sorted((street.kerb(side) + side * 0.3, street.edge(side) - side * 0.3))
        for _ in range(int(rng.choice((1, 2, 3), p=(0.6, 0.3, 0.1)))):
            across = rng.uniform(low, high)
            near = ahead + rng.uniform(-0.6, 0.6)
            items.append(_person(street, rng, across, near, riding=False))
    if rng.random() < 0.25:
        across = rng.uniform(*street.kerb_m)
        items.append(_person(street, rng, across, rng.uniform(9.0, 25.0), riding=False))
    return items


def _riders(street: Street, rng: np.random.Generator) -> list[Item]:
    items = []
    for _ in range(int(rng.choice((0, 1, 2, 3), p=(0.05, 0.3, 0.37, 0.28)))):
        side = -1 if rng.random() < 0.65 else 1
        across = street.kerb(side) - side * rng.uniform(0.6, 1.6)
        ahead = rng.uniform(5.0, 19.0)
        items.append(_person(street, rng, across, ahead, riding=True))
    return items


def _post(street: Street, rng: np.random.Generator, across: float, ahead: float, top: str) -> Item:
    spot = street.at(across, ahead)[0]
    post = furniture.sample(rng, x_m=float(spot[0]), z_m=float(spot[2]), top=top)
    return Item(ahead, lambda stage: furniture.draw(stage, post), furniture.footprint(post), post.tall_m)


def _posts(street: Street, rng: np.random.Generator) -> list[Item]:
    items = []
    for side in (-1, 1):
        line = street.kerb(side) + side * rng.uniform(0.35, 0.7)
        if rng.random() < 0.85:
            spots = np.arange(rng.uniform(8.0, 24.0), 48.0, rng.uniform(14.0, 26.0))
            items += [_post(street, rng, line, float(ahead), "lamp") for ahead in spots]
        for _ in range(int(rng.integers(1, 4))):
            top = str(rng.choice(("sign", "board", "lights"), p=(0.6, 0.15, 0.25)))
            items.append(_post(street, rng, line, rng.uniform(8.0, 28.0), top))
        if rng.random() < 0.36:
            start = rng.uniform(8.0, 14.0)
            row = start + 1.6 * np.arange(int(rng.integers(3, 9)))
            items += [_post(street, rng, line, float(ahead), "bollard") for ahead in row]
    for road in street.junctions:
        if rng.random() < 0.7:
            line = street.kerb(road.side) + road.side * 0.5
            items.append(_post(street, rng, line, road.start_m - 2.0, "lights"))
    return items


def _guards(street: Street, rng: np.random.Generator) -> list[Item]:
    items = []
    for side in (-1, 1):
        start = rng.uniform(4.5, 14.0)
        span = (start, start + rng.uniform(6.0, 22.0))
        if rng.random() < 0.52 and not street.in_junction(side, *span):
            line = street.kerb(side) + side * 0.35
            items += barrier_items(street, fence.guard(rng, across_m=line), span)
    return items


def _clutter(street: Street, rng: np.random.Generator) -> Item:
    side = int(rng.choice((-1, 1)))
    across = street.edge(side) - side * rng.uniform(0.4, 0.8)
    ahead = rng.uniform(6.0, 30.0)
    return Item(ahead, lambda stage: furniture.bin_box(stage, street, across, ahead))


def _avenue(street: Street, rng: np.random.Generator) -> list[Item]:
    side, winter = int(rng.choice((-1, 1))), float(rng.choice((0.0, 1.0)))
    items = []
    for ahead in np.arange(rng.uniform(9.0, 18.0), 70.0, rng.uniform(8.0, 14.0)):
        spot = street.at(street.edge(side) - side * 0.6, float(ahead))[0]
        grown = tree.sample(rng, x_m=float(spot[0]), z_m=float(spot[2]), winter=winter)
        items.append(tree_item(grown))
    return items


def _extras(street: Street, rng: np.random.Generator) -> list[Item]:
    items = [_clutter(street, rng) for _ in range(int(rng.integers(0, 5)))]
    return items + (_avenue(street, rng) if rng.random() < 0.4 else [])


def everything(street: Street, rng: np.random.Generator) -> list[Item]:
    """Draw lots for all that is in the street itself, in no particular order.

    People and posts that would stand in a vehicle, and vehicles in one another, are left out.
    """
    busy = rng.uniform(0.5, 0.92)
    wheeled = _moving(street, rng, busy) + _car_park(street, rng)
    for side in (-1, 1):
        if street.kerb(side) * side > (3.2 if side < 0 else 6.6):
            wheeled += _parked(street, rng, side)
    placed: list[Item] = []
    for item in wheeled:
        if item.clear_of(placed, margin_m=0.25):
            placed.append(item)
    others = _walkers(street, rng) + _riders(street, rng) + _posts(street, rng)
    placed += [item for item in others if item.clear_of(placed, margin_m=0.3)]
    return placed + _guards(street, rng) + _extras(street, rng)
