"""What was measured afterwards goes to the artifact that it is of, and to no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mosaic_deploy.artifact.html_report.joined import join
from mosaic_deploy.errors import UsageError
from mosaic_deploy.files import sha256_of
from tests.artifact.html_report.test_joined import HOSTILE, Tags, parity, report
from tests.artifact.tiny_artifact import edit, write_artifact

TITLE = "Tensors that lose most in 8 bits"


def artifact(place: Path, **target: object) -> Path:
    write_artifact(place, report=report(parity(drop=0.002)))
    for key, value in target.items():
        edit(place, "target", key, value=value)
    return place


def sensitivity(place: Path, *, name: str = "stem.relu", **changes: Any) -> dict[str, Any]:
    record: dict[str, Any] = {
        "model": "tiny", "target": "echo", "recipe": "w8a8", "data": "streets", "images": 4,
        "network": sha256_of(place / "model.onnx"), "lifts_to": "16 bits", "agreement": 0.991,
        "activations": [{"name": f"quiet{i}", "op": "Add", "flips": 1e-5, "lost": 1e-6} for i in range(20)],
        "weights": [{"name": name, "op": "Conv", "flips": 0.0123, "lost": 0.0042}],
        "lifts": [{"sixteen": ["stem.relu"], "lifted": 0.1, "conversions": 3, "agreement": 0.998}],
        "blocked": [],
    }  # fmt: skip
    return record | changes


def bench(place: Path, *, median_ms: float | None = 12.34, load: float = 0.5) -> dict[str, Any]:
    row = {
        "name": "made", "folder": "elsewhere", "manifest_sha256": sha256_of(place / "manifest.json"),
        "threads": 2, "runs": 100, "median_ms": median_ms, "p90_ms": 13.0,
        "x_float": {"ratio": 0.5, "interval": [0.45, 0.55]},
    }  # fmt: skip
    return {"schema": 1, "cpu": "a processor", "cores": 2, "load": load, "artifacts": [row]}


def page_with(place: Path, record: object) -> str:
    file = place.parent / "measured.json"
    file.write_text(json.dumps(record))
    join([place], place.parent / "page.html", measured=[file], force=True)
    return (place.parent / "page.html").read_text().replace("\u00a0", " ")


def test_the_worst_tensors_are_shown_the_worst_first(tmp_path: Path) -> None:
    place = artifact(tmp_path / "made")
    page = page_with(place, sensitivity(place))
    assert TITLE in page
    assert page.index("stem.<wbr>relu") < page.index("quiet0")
    assert "1.23 %" in page
    assert "quiet11" not in page
    assert "9 more lose less." in page
    assert "mIoU, points" not in page
    record = sensitivity(place)
    record["weights"][0]["drop"] = 0.0321
    page_of_labels = page_with(place, record)
    assert "mIoU, points" in page_of_labels
    assert "−3.210" in page_of_labels
    assert "99.80 %" in page
    join([place], tmp_path / "without.html")
    assert TITLE not in (tmp_path / "without.html").read_text()


@pytest.mark.parametrize(
    "changes", [{"network": "0" * 64}, {"target": "dsp"}], ids=["another-network", "another-target"]
)
def test_what_is_of_another_network_is_refused(tmp_path: Path, changes: dict[str, str]) -> None:
    place = artifact(tmp_path / "made")
    with pytest.raises(UsageError, match=r"measured\.json: is of none of these artifacts"):
        page_with(place, sensitivity(place, **changes))
    assert not (tmp_path / "page.html").exists()


def test_a_time_goes_to_the_artifact_that_was_timed(tmp_path: Path) -> None:
    place, other = artifact(tmp_path / "made", times=True), artifact(tmp_path / "other", times=True)
    edit(other, "licence", value="MIT")
    page = page_with(place, bench(place))
    assert "12.3 ms" in page
    assert "median of 100 runs on a processor, 2 threads" in page
    assert "not measured" not in page
    assert "0.50 ×" in page
    assert "was busy" not in page
    assert "that machine was busy" in page_with(place, bench(place, load=7.0))
    for record in (bench(other), bench(place, median_ms=None)):
        with pytest.raises(UsageError, match="is of none of these artifacts"):
            page_with(place, record)


@pytest.mark.parametrize("record", [[], {"cpu": "x"}, {"artifacts": 7}, "text"])
def test_another_kind_of_file_is_refused(tmp_path: Path, record: object) -> None:
    place = artifact(tmp_path / "made")
    with pytest.raises(UsageError, match=r"measured\.json: is not what this version's"):
        page_with(place, record)
    with pytest.raises(UsageError, match="cannot be read"):
        join([place], tmp_path / "page.html", measured=[tmp_path / "nowhere.json"])


def test_names_of_tensors_are_text(tmp_path: Path) -> None:
    place = artifact(tmp_path / "made")
    tags = Tags(page_with(place, sensitivity(place, name=HOSTILE))).found
    assert sum(tag == "script" for tag, _ in tags) == 1
    assert not any(tag == "img" for tag, _ in tags)


def attempt(**changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "method": "percentile", "lifted": 0.0, "tensors": 0, "conversions": 0, "predicted": None,
        "agreement": 0.98, "good": False, "cost": 9e8, "size": 2 << 20, "error": "",
    }  # fmt: skip
    return plain | changes


SEARCH = {
    "goal": 0.995, "held_out": 4, "calibrated_on": 12, "lifts_to": "16 bits",
    "cost_unit": "simulated cycles", "chosen": 2, "reached": True,
    "attempts": [
        attempt(),
        attempt(lifted=0.1, tensors=9, error="no", corrected=True),
        attempt(lifted=0.2, tensors=18, agreement=0.996, good=True, cost=1.5e9),
    ],
}  # fmt: skip


def test_what_auto_tried_stands_on_the_page_with_its_cost(tmp_path: Path) -> None:
    place = artifact(tmp_path / "made")
    edit(place, "facts", "search", value=SEARCH)
    join([place], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text().replace("\u00a0", " ")
    assert "What recipe auto tried" in page
    assert "8 bits throughout, ranges by percentile" in page
    assert "20 % of the activations in 16 bits" in page
    assert "1,500 million" in page
    assert "10 % of the activations in 16 bits, corrected biases" in page
    assert page.count(">taken<") == 1
    assert page.count("not compiled") == 1
    assert "are no latency" in page
    edit(place, "target", "times", value=True)
    edit(
        place,
        "facts",
        "search",
        value=SEARCH | {"cost_unit": "seconds", "attempts": [attempt(cost=0.0824)], "chosen": 0},
    )
    join([place], tmp_path / "page.html", force=True)
    assert (tmp_path / "page.html").read_text().count("82.4\u00a0ms") == 2  # in the table, and as the latency
    edit(place, "facts", "search", "chosen", value=7)
    join([place], tmp_path / "page.html", force=True)
    assert "What recipe auto tried" not in (tmp_path / "page.html").read_text()
    edit(place, "facts", "search", value={"goal": "much"})
    join([place], tmp_path / "page.html", force=True)
    assert "What recipe auto tried" not in (tmp_path / "page.html").read_text()
