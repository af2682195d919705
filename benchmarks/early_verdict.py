"""How often an early verdict differs from that on all images, and how many images it spares.

    python -m benchmarks.early_verdict [ORDERS]

``early_verdict.npz`` holds the counts per image of the reference network in 8 bits on CamVid val (101
images, 11 classes): truth, and intersection and union of reference and candidate, for each target. From them
images are drawn in many random orders. For every set the tolerance is put where an early verdict is most
easily wrong: just below the upper end of the full run's interval (``holds`` would be wrong there), and at its
lower end (``fails`` would be). Beside the sets as measured stand harder ones: a class whose labels only a few
images have, and, as what no look can exclude, a common class that the candidate loses on a few images alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.accuracy import bootstrap
from mosaic_deploy.accuracy.early import LOOKS, decide, influence
from mosaic_deploy.accuracy.tally import Tally

COUNTS = Path(__file__).with_suffix(".npz")
TOLERANCE = 0.01
FEWEST = 8
"""Images from which on an uncorrected interval is read."""
Order = NDArray[np.int64]
_PARTS = ("truth", "hits", "union", "other_hits", "other_union")


@dataclass(frozen=True, slots=True)
class Rates:
    """What many random orders of the images of one set gave."""

    wrong_holds: float
    """Share of the orders with an early ``holds``, where the full run is undecided by a hair."""
    wrong_fails: float
    images: float
    """Mean number of images until the verdict at ``TOLERANCE``."""


def load() -> dict[str, Tally]:
    """The stored sets, by target."""
    with np.load(COUNTS, allow_pickle=False) as held:
        names = sorted({key.partition("/")[0] for key in held})
        return {name: _tally([held[f"{name}/{part}"].astype(np.int64) for part in _PARTS]) for name in names}


def seconds(images: int) -> list[str]:
    """Groups of frames as CamVid val has them: every second frame of 30 a second, from frame 7959 on."""
    return [str((7959 + 2 * index) // 30) for index in range(images)]


def few_hold(tally: Tally, index: int, images: int) -> Tally:
    """A class that only some random images have labels of."""
    out = np.random.default_rng(0).permutation(len(tally.truth))[images:]
    parts = [getattr(tally, part).copy() for part in _PARTS]
    for part in parts:
        part[out, index] = 0
    return _tally(parts)


def lost_on(tally: Tally, index: int, images: int) -> Tally:
    """A class that the candidate loses on some random images, and on no other."""
    gone = np.random.default_rng(0).choice(len(tally.truth), images, replace=False)
    hits, union = tally.other_hits.copy(), tally.other_union.copy()
    hits[gone, index], union[gone, index] = 0, tally.truth[gone, index]
    return replace(tally, other_hits=hits, other_union=union)


def rates(tally: Tally, groups: Sequence[str], *, orders: int) -> Rates:
    """Early verdicts by ``accuracy.early``."""
    low, high = _ends(tally, groups)
    sizes = [groups.count(name) for name in dict.fromkeys(groups)]
    total, holding = len(tally.equal), (tally.truth > 0).sum(axis=0)

    def looked(order: Order, allowed: float) -> tuple[int, str | None]:
        for number, spreads in LOOKS:
            if number < total:
                seen = _take(tally, order[:number])
                found = decide(
                    seen, spreads=spreads, images=total, holding=holding, groups=sizes, allowed=allowed
                )
                if found:
                    return number, found
        return total, None

    holds = fails = images = 0
    for order in _orders(total, orders):
        holds += looked(order, high - 1e-9)[1] == "holds"
        fails += looked(order, low)[1] == "fails"
        images += looked(order, TOLERANCE)[0]
    return Rates(holds / orders, fails / orders, images / orders)


def uncorrected(tally: Tally, groups: Sequence[str], *, orders: int) -> Rates:
    """Early verdicts by a plain 95 % interval that is read after every image."""
    low, high = _ends(tally, groups)
    total = len(tally.equal)
    holds = fails = images = 0
    for order in _orders(total, orders):
        ends = np.array([_plain(_take(tally, order[:number])) for number in range(FEWEST, total)])
        holds += bool((ends[:, 1] < high).any())
        fails += bool((ends[:, 0] > low).any())
        clear = np.flatnonzero((ends[:, 1] <= TOLERANCE) | (ends[:, 0] > TOLERANCE))
        images += FEWEST + int(clear[0]) if clear.size else total
    return Rates(holds / orders, fails / orders, images / orders)


def _plain(tally: Tally) -> tuple[float, float]:
    (drop,) = tally.total().drops()
    half = 1.96 * float(influence(tally).std(ddof=1)) / len(tally.equal) ** 0.5
    return float(drop) - half, float(drop) + half


def _ends(tally: Tally, groups: Sequence[str]) -> tuple[float, float]:
    together = tally.grouped(groups)
    ends = bootstrap.interval(lambda times: together.drawn(times).drops(), len(together.equal))
    assert ends is not None
    return ends


def _orders(images: int, orders: int) -> Iterator[Order]:
    rng = np.random.default_rng(1)
    return (rng.permutation(images) for _ in range(orders))


def _take(tally: Tally, rows: Order) -> Tally:
    return _tally([getattr(tally, part)[rows] for part in _PARTS])


def _tally(parts: Sequence[NDArray[np.int64]]) -> Tally:
    none = np.zeros((len(parts[0]), 1), np.int64)
    truth, hits, union, other_hits, other_union = parts
    return Tally(
        labelled=True,
        truth=truth,
        hits=hits,
        union=union,
        other_hits=other_hits,
        other_union=other_union,
        equal=none,
        pixels=none,
        seen=none,
    )


def _sets() -> Iterator[tuple[str, Tally]]:
    sets = load()
    yield from sets.items()
    for index, images in ((9, 5), (9, 12), (2, 30)):
        yield f"cpu, class {index} on {images} images alone", few_hold(sets["cpu"], index, images)
    for index, images in ((2, 3), (9, 5)):
        yield f"cpu, class {index} lost on {images} images", lost_on(sets["cpu"], index, images)


def main(orders: int) -> None:
    """Print a row per set and kind of groups."""
    print("| set | groups | wrong holds | wrong fails | images | uncorrected: wrong holds | wrong fails |")
    print("|---|---|---|---|---|---|---|")
    for name, tally in _sets():
        count = len(tally.equal)
        for words, groups in (("images", [str(i) for i in range(count)]), ("seconds", seconds(count))):
            ours = rates(tally, groups, orders=orders)
            plain = uncorrected(tally, groups, orders=max(orders // 10, 20))
            print(
                f"| {name} | {words} | {ours.wrong_holds:.1%} | {ours.wrong_fails:.1%} | {ours.images:.0f} | "
                f"{plain.wrong_holds:.0%} | {plain.wrong_fails:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
