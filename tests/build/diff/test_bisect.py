from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from mosaic_deploy.build.diff.bisect import first_wrong

Makers = dict[str, list[str]]


def ancestors(makers: Makers) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for name, direct in makers.items():
        found[name] = frozenset(direct).union(*(found[maker] for maker in direct))
    return found


def _is_in(names: set[str], name: str, _left: int) -> bool:
    return name in names


def chain(length: int) -> Makers:
    return {f"t{i:03d}": [f"t{i - 1:03d}"] if i else [] for i in range(length)}


@pytest.mark.parametrize("wrong", [0, 1, 63, 98, 99])
def test_a_chain_of_a_hundred_takes_few_probes(wrong: int) -> None:
    makers, asked = chain(100), list[str]()

    def probe(name: str, left: int) -> bool:
        assert left <= 7
        asked.append(name)
        return int(name[1:]) >= wrong

    assert first_wrong(ancestors(makers), makers, ["t099"], probe) == f"t{wrong:03d}"
    assert len(asked) == len(set(asked)) <= 9


def test_nothing_is_found_where_every_start_is_right() -> None:
    makers = chain(5)
    assert first_wrong(ancestors(makers), makers, ["t004"], lambda name, _: name == "t002") is None
    starts = ["t004", "t002"]
    assert first_wrong(ancestors(makers), makers, starts, lambda name, _: name == "t002") == "t002"


def test_what_vanishes_and_comes_again_is_followed_to_where_no_maker_is_wrong() -> None:
    makers = chain(20)
    wrong = {f"t{i:03d}" for i in (3, 4, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)}
    found = first_wrong(ancestors(makers), makers, ["t019"], lambda name, _: name in wrong)
    assert found in ("t003", "t009")


def test_in_any_graph_the_found_one_is_wrong_and_its_makers_are_right() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        makers: Makers = {}
        for i in range(30):
            count = min(i, int(rng.integers(1, 4)))
            makers[f"n{i:02d}"] = [f"n{j:02d}" for j in rng.choice(i, count, replace=False)] if i else []
        wrong = {name for name in makers if rng.random() < 0.3} | {"n29"}
        found = first_wrong(ancestors(makers), makers, ["n29"], partial(_is_in, wrong))
        assert found in wrong
        assert not wrong & {*makers[found]}
