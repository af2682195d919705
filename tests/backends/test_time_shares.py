from __future__ import annotations

from mosaic_deploy.backends.time_shares import time_shares


def test_kinds_are_summed_and_ranked() -> None:
    found = time_shares([("Conv", 0.001), ("Resize", 0.004), ("Conv", 0.002), ("ArgMax", 0.001)])
    assert list(found.items()) == [("Resize", 0.5), ("Conv", 0.375), ("ArgMax", 0.125)]


def test_nothing_timed_has_no_shares() -> None:
    assert time_shares([("Conv", 0.0)]) == {}
