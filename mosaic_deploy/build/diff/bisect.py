"""Bisection over a graph: the first tensor at which something is wrong, by few probes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence


def first_wrong(
    ancestors: Mapping[str, frozenset[str]],
    makers: Mapping[str, Collection[str]],
    starts: Sequence[str],
    wrong: Callable[[str, int], bool],
) -> str | None:
    """Find a tensor that is wrong while none that it is computed from directly is.

    A tensor that is right is taken to have right ancestors, which need not hold: a difference may vanish
    again. So the direct makers of what is found are probed too, and the search goes on from one that is
    wrong.

    Args:
        ancestors: tensor -> all that it depends on.
        makers: tensor -> those that it is computed from directly.
        starts: where the search begins: at the first of these that is wrong.
        wrong: the probe of a tensor, asked once for each; it also hears how many probes are likely left.

    Returns:
        None where all ``starts`` are right.
    """
    known: dict[str, bool] = {}

    def probe(name: str, suspects: int) -> bool:
        if name not in known:
            known[name] = wrong(name, suspects.bit_length())
        return known[name]

    found = next((name for name in starts if probe(name, len(ancestors[name]))), None)
    if found is None:
        return None
    cleared = frozenset[str]()
    while True:
        suspects = ancestors[found] - cleared - known.keys()
        if suspects:
            middle = _middle(ancestors, suspects)
            if probe(middle, len(suspects)):
                found = middle
            else:
                cleared |= ancestors[middle]
            continue
        earlier = next((name for name in sorted(makers[found]) if probe(name, 0)), None)
        if earlier is None:
            return found
        found, cleared = earlier, frozenset()


def _middle(ancestors: Mapping[str, frozenset[str]], suspects: frozenset[str]) -> str:
    """The suspect whose answer leaves the fewest, whatever it is; the first by name among equals."""
    count = len(suspects)

    def left(name: str) -> tuple[int, str]:
        above = len(ancestors[name] & suspects) + 1
        return max(above, count - above), name

    return min(suspects, key=left)
