import pytest

from mosaic_deploy.artifact.html_report.charts import Bar, Scale
from mosaic_deploy.artifact.html_report.figures import large, percent, plural, points, size


def test_a_scale_shows_every_value_and_zero() -> None:
    scale = Scale.over((-0.01, -0.002, float("nan")))
    assert 0 < scale.at(-0.01) < scale.at(-0.002) < scale.at(0.0) < 100
    assert scale.at(5.0) == 100
    assert Scale.over(()).low < 0 < Scale.over(()).high


@pytest.mark.parametrize("span", [1e-6, 0.003, 0.01, 0.4, 1.0], ids=str)
def test_ticks_are_few_and_told_apart(span: float) -> None:
    ticks = Scale.over((-span, 0.2 * span)).ticks()
    assert 2 <= len(ticks) <= 6
    assert len({tick.text for tick in ticks}) == len(ticks)
    assert [tick.x for tick in ticks] == sorted(tick.x for tick in ticks)


def test_a_bar_lies_between_its_ends_whichever_comes_first() -> None:
    scale = Scale(0.0, 1.0)
    assert Bar.between(scale, 0.5, 0.25) == Bar.between(scale, 0.25, 0.5) == Bar(25.0, 25.0)
    assert Bar.between(scale, 0.5, 0.5).width > 0


def test_numbers_as_they_are_written() -> None:
    assert percent(0.70444) == "70.44\u00a0%"
    assert percent(float("nan")) == percent(None) == "–"
    assert (points(-0.0026), points(0.0026), points(-0.000001), points(float("nan"))) == (
        "−0.26", "+0.26", "0.00", "–"
    )  # fmt: skip
    assert (size(1536), size(3 << 20)) == ("1.5\u00a0KiB", "3.00\u00a0MiB")
    assert (large(2_002_308_096), large(3_400_000)) == ("2.00\u00a0billion", "3.4\u00a0million")
    assert (plural(1, "image"), plural(1200, "image")) == ("1\u00a0image", "1,200\u00a0images")
