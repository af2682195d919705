"""Runs one after the other are one run, also where variants part only in one of them."""

from __future__ import annotations

from pathlib import Path

from mosaic_deploy.backends.joined_runs import joined, outputs_by_variant, variants
from mosaic_deploy.backends.protocol import Run, Step


def run(name: str, *, others: tuple[str, ...] = (), alike: dict[str, str], images: int) -> Run:
    paths = {variant: (Path(f"{variant}-{name}"),) for variant in ("v75", *others)}
    record = {
        variant: {"images": images, "agreement": 1.0, "largest_difference_steps": images}
        | ({"alike": alike[variant]} if variant in alike else {})
        for variant in ("v75", "v68")
    }
    steps = (Step("simulate v75", "tool", "1", 2.0, images),)
    return Run(paths["v75"], steps, {"simulation": record}, "v75", {o: paths[o] for o in others}, alike)


def test_a_single_run_stays_what_it_is() -> None:
    only = run("a", alike={"v68": "v75"}, images=1)
    assert joined([only]) is only


def test_a_variant_that_parts_in_one_run_has_its_leader_s_outputs_in_the_other() -> None:
    runs = [run("a", alike={"v68": "v75"}, images=1), run("b", others=("v68",), alike={}, images=3)]
    assert variants(runs) == ("v68", "v75")
    assert outputs_by_variant(runs[0], ("v68",)) == {"v68": (Path("v75-a"),)}
    both = joined(runs)
    assert both.outputs == (Path("v75-a"), Path("v75-b"))
    assert both.others == {"v68": (Path("v75-a"), Path("v68-b"))}
    assert both.alike == {}
    assert both.steps == (Step("simulate v75", "tool", "1", 4.0, 3),)
    assert both.facts["simulation"] == {
        name: {"images": 4, "agreement": 1.0, "largest_difference_steps": 3} for name in ("v75", "v68")
    }
