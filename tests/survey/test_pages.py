"""Pages made of records: what was published stands beside what was measured."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs.model_card import ModelCard, Published
from mosaic_deploy.specs.registry import load_spec, read_spec
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.survey.pages import field_page, models_page, plot_miou
from mosaic_deploy.survey.trial import Trial

GENERATOR = Path(__file__).parents[2] / "docs" / "generate_models.py"
TRIAL = Trial(
    "mosaic", "cpu", "k", "supported", parameters=1_880_000, macs=2_340_000_000, built=True, conversion=1.0,
    agreement=0.98, reference_miou=0.7288, device_miou=0.7255, size_bytes=2**21, time_ms=7.2,
)  # fmt: skip


def test_the_page_has_ours_and_the_published_figures() -> None:
    stated = Published(source="the paper, table 1", data="Cityscapes val", miou=0.7526, parameters=1_900_000)
    card = load_spec(ModelCard, "mosaic").model_copy(update={"published": (stated,)})
    page = models_page([card], [TRIAL], plot="images/models.svg")
    assert "| [mosaic](#mosaic) | 384x512 | trained | 1.88 | 1.90 | 2.34 | - |" in page
    assert "0.7526 Cityscapes val |" in page
    assert "- the paper, table 1: mIoU 0.7526 on Cityscapes val, 1,900,000 parameters" in page
    assert "| cpu | supported | - | yes | 100.000% | 98.0% | 0.7288 to 0.7255 | 2.00 | 7.2 | - |" in page
    assert "(images/models.svg)" in page
    assert "Not tried yet" not in page
    other = card.model_copy(update={"name": "other"})
    assert "Not tried yet: other." in models_page([card, other], [TRIAL])


def test_the_fields_page_has_every_trial() -> None:
    page = field_page([TRIAL, replace(TRIAL, network="other", target="gpu", verdict="unsupported")])
    assert "| other | gpu | unsupported |" in page


def test_the_pages_are_those_of_the_records_that_are_kept() -> None:
    module = runpy.run_path(str(GENERATOR))
    for name, text in module["rendered"]().items():
        page = GENERATOR.parent / name
        assert page.read_text(encoding="utf-8") == text, "run: uv run python docs/generate_models.py"


def test_a_new_survey_takes_the_place_of_the_same_trials_alone(tmp_path: Path) -> None:
    module = runpy.run_path(str(GENERATOR))
    other, newer = replace(TRIAL, target="gpu"), replace(TRIAL, agreement=0.99)
    found = module["merged"]([other, TRIAL], [newer])
    assert found == [newer, other]
    module["keep"](found, tmp_path / "kept" / "zoo.json")
    assert module["read"](tmp_path / "kept" / "zoo.json") == found
    assert module["read"](tmp_path / "none.json") == []
    with pytest.raises(SystemExit, match=r"has no table.json"):
        module["taken"](tmp_path)


@pytest.mark.slow
def test_only_trained_networks_with_a_time_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    places = [tmp_path / "one" / "a.svg", tmp_path / "b.svg"]
    assert all(plot_miou([TRIAL, replace(TRIAL, time_ms=None)], place) for place in places)
    assert places[0].read_bytes() == places[1].read_bytes()
    assert not plot_miou([replace(TRIAL, device_miou=None), replace(TRIAL, busy=True)], tmp_path / "c.svg")
    assert not (tmp_path / "c.svg").exists()


def test_a_published_table_states_some_figure(tmp_path: Path) -> None:
    text = (spec_root() / "models" / "mosaic.toml").read_text(encoding="utf-8")
    place = tmp_path / "mosaic.toml"
    place.write_text(f'{text}\n[[published]]\nsource = "a paper"\nmacs = 5\n')
    assert read_spec(ModelCard, place).published[-1].macs == 5
    place.write_text(f'{text}\n[[published]]\nsource = "a paper"\n')
    with pytest.raises(SpecError, match="miou, parameters or macs"):
        read_spec(ModelCard, place)
