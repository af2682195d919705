"""What the page says that a network costs: what is not known is said, not shown as nothing."""

from __future__ import annotations

from pathlib import Path

from mosaic_deploy.artifact.html_report.cost import Cost, Row, cost, in_brief
from mosaic_deploy.artifact.html_report.record import open_record
from tests.artifact.html_report.test_joined import parity, report
from tests.artifact.tiny_artifact import edit, write_artifact


def traffic(device: str, name: str, count: object) -> dict[str, object]:
    return {"device": device, "name": name, "value": count, "unit": "bytes", "source": "its compiler"}


def of(place: Path, *stated: object) -> Cost:
    if not (place / "manifest.json").exists():
        write_artifact(place, report=report(parity(drop=0.002)))
    edit(place, "facts", "cost", value=list(stated))
    found = cost(open_record(place))
    assert found is not None
    return found


def test_each_device_has_a_row_and_what_one_lacks_is_no_zero(tmp_path: Path) -> None:
    read, written = traffic("v68", "DDR read", 6 << 20), traffic("v68", "DDR written", 1536)
    found = of(tmp_path / "made", read, written, traffic("v75", "DDR read", 2 << 20))
    assert found.devices is not None
    assert found.devices.names == ("DDR read", "DDR written")
    assert found.devices.rows == (("v68", ("6.00\xa0MiB", "1.5\xa0KiB")), ("v75", ("2.00\xa0MiB", "–")))
    assert found.devices.sources == ("its compiler",)


def test_time_that_nobody_measured_is_called_so(tmp_path: Path) -> None:
    place = tmp_path / "made"
    assert (
        Row("Latency", "not measured", "what ran it here is not the device: measure there") in of(place).rows
    )
    edit(place, "target", "times", value=True)
    assert any("mosaic-deploy bench" in row.source for row in of(place).rows)


def test_what_a_stranger_states_is_text_or_left_out(tmp_path: Path) -> None:
    found = of(tmp_path / "made", "<b>", {"name": "<b>", "value": ["x"], "source": "s"}, 7)
    assert found.devices is None
    assert [row for row in found.rows if row.source == "s"] == [Row("<b>", "['x']", "s")]


def test_in_brief_the_device_that_moves_most_counts_and_spills_are_not_added(tmp_path: Path) -> None:
    place = tmp_path / "made"
    of(
        place,
        traffic("v68", "DDR read", 3 << 20),
        traffic("v68", "DDR written", 1 << 20),
        traffic("v68", "Spilled to DDR", 1 << 20),
        traffic("v75", "DDR read", 2 << 20),
    )
    assert in_brief(open_record(place)) == ", 4.00\xa0MiB over the bus"
    of(place, traffic("v68", "DDR read", "much"))
    assert in_brief(open_record(place)) == ""


def test_what_falls_back_is_one_row(tmp_path: Path) -> None:
    place = tmp_path / "made"
    of(place)
    edit(place, "facts", "fallback", value={"macs_share": 0.25, "time_share": 0.4})
    (row,) = (row for row in of(place).rows if row.name == "In fallback kernels")
    assert row.value.startswith("25.0")
    assert row.source.replace("\xa0", " ") == "of the multiply-accumulates; 40.0 % of the measured time"
    edit(place, "facts", "fallback", value={"operators": {}})
    assert not any(row.name == "In fallback kernels" for row in of(place).rows)
