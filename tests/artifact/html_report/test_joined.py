"""Pages of artifacts that were made by hand: no runtime, no build."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mosaic_deploy.artifact.html_report.joined import join
from mosaic_deploy.errors import ModelError, UsageError
from tests.artifact.tiny_artifact import edit, write_artifact

HOSTILE = '</title><script>alert("1")</script><img src=http://x.example/ onerror=alert(2)>\u202e'


def parity(*, drop: float, metric: str = "miou", name: str = "car", undecided: str = "") -> dict[str, Any]:
    return {
        "metric": metric, "dataset": "streets", "images": 7, "reference": 0.7, "candidate": 0.7 - drop,
        "drop": drop, "tolerance": 0.01, "agreement": 0.99, "interval": [drop - 0.001, drop + 0.002],
        "per_class": [["sky", 0.9, 0.9], [name, 0.5, 0.5 - 2 * drop], ["boat", "nan", "nan"]],
        "passed": drop <= 0.01 and not undecided, "undecided": undecided,
    }  # fmt: skip


def report(found: dict[str, Any], *, verdict: str = "passed", name: str = "v75") -> dict[str, Any]:
    summary = {"verdict": verdict, "lines": ["a line for people"]}
    return {"output": "logits", "variants": {name: found}, "summary": summary}


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def page_of(tmp_path: Path, record: dict[str, Any], *, passed: bool = True) -> str:
    place = write_artifact(tmp_path / "made", report=record, passed=passed)
    join([place], tmp_path / "page.html")
    return (tmp_path / "page.html").read_text()


def head(page: str) -> str:
    """The verdict's words, spaces as spaces."""
    return page[page.index("<header") : page.index("</header>")].replace("\u00a0", " ")


def test_a_verdict_with_its_interval(tmp_path: Path) -> None:
    page = page_of(tmp_path, report(parity(drop=0.002)))
    assert "mIoU fell by 0.20 points on 7 images of streets; up to 1.00 is allowed." in head(page)
    assert "95 % interval −0.40 to −0.10" in head(page)
    assert "a line for people" in page
    assert "In no image: boat." in page
    assert "What both networks see" not in page  # this one has no pictures


def test_a_failure_names_what_lost_most(tmp_path: Path) -> None:
    page = head(page_of(tmp_path, report(parity(drop=0.1), verdict="parity failed"), passed=False))
    assert "Parity failed" in page
    assert "<bdi>car</bdi></b> 50.0 % → 30.0 %" in page


def test_a_class_with_a_limit_of_its_own_has_it_in_the_table(tmp_path: Path) -> None:
    limits = {"class_limits": [["car", 0.01], ["sky", 0.02]], "classes_over": ["car"]}
    page = page_of(tmp_path, report(parity(drop=0.1) | limits, verdict="parity failed"), passed=False)
    assert "IoU fell on 7 images of streets: car by 20.00 points, where 1.00 may be lost." in head(page)
    assert '<small class="over-limit">up to 1.00 allowed</small>' in page
    assert "<small>up to 2.00 allowed</small>" in page


def test_fewer_images_are_counted_of_all_and_groups_are_named(tmp_path: Path) -> None:
    stop = {"early": {"of": 101, "alpha": 0.05, "images": list(range(7))}, "groups": 7}
    page = page_of(tmp_path / "some", report(parity(drop=0.002) | stop))
    assert "on 7 of 101 images of streets, drawn at random" in head(page)
    assert "points, over all 101 images" in head(page)
    page = page_of(tmp_path / "all", report(parity(drop=0.002) | {"groups": 6}))
    assert "points, over 6 groups of like images" in head(page)


def test_the_audit_of_calibration_images_is_there_where_it_was_made(tmp_path: Path) -> None:
    place = write_artifact(tmp_path / "made", report=report(parity(drop=0.002)), passed=True)
    join([place], tmp_path / "page.html")
    title = "What the calibration images are worth"
    assert title not in (tmp_path / "page.html").read_text()
    edit(place, "facts", value={"calibration_audit": ["no image looks like one of the validation set"]})
    join([place], tmp_path / "page.html", force=True)
    page = (tmp_path / "page.html").read_text()
    assert title in page
    assert "no image looks like one of the validation set" in page


def test_without_labels_it_speaks_of_pixels(tmp_path: Path) -> None:
    page = page_of(tmp_path, report(parity(drop=0.004, metric="agreement")))
    assert "0.40 % of the pixels change their class on 7 images of streets" in head(page)
    assert "mIoU" not in page[page.index("<main>") : page.index("</main>")]


def test_what_decides_nothing_is_no_failure(tmp_path: Path) -> None:
    place = write_artifact(
        tmp_path / "made", report=report(parity(drop=0.0, undecided="why"), verdict="undecided"), passed=False
    )
    edit(place, "undecided", value="why")
    join([place], tmp_path / "page.html")
    assert "The comparison decides nothing: why." in head((tmp_path / "page.html").read_text())
    edit(place, "passed", value=True)
    join([place], tmp_path / "page.html", force=True)
    page = head((tmp_path / "page.html").read_text())
    assert 'class="verdict undecided"' in page
    assert "It was let pass, as asked." in page


def test_refused_operators_stand_first_and_together(tmp_path: Path) -> None:
    refused = {
        "level": "unsupported",
        "op": "Softmax",
        "found": "rank 3",
        "allowed": "rank 4",
        "fix": "leave it",
    }
    nodes = [
        {**refused, "node": "a"},
        {"level": "fallback", "op": "Clip", "node": "c"},
        {**refused, "node": "b"},
    ]
    check = {"tool": "t", "nodes": 9, "macs": 5_000_000, "violations": nodes}
    summary = {"verdict": "ops refused", "lines": []}
    page = page_of(tmp_path, {"output": "logits", "check": check, "summary": summary}, passed=False)
    assert "echo does not take 2 operators of 9. Nothing was compiled." in head(page)
    assert page.index("Softmax") < page.index("Clip") < page.index("Cost")
    assert page.count("rank 3; allowed: rank 4") == 1


def test_names_are_text_wherever_they_come_from(tmp_path: Path) -> None:
    record = report(parity(drop=0.002, name=HOSTILE) | {"dataset": HOSTILE}, name=HOSTILE, verdict=HOSTILE)
    place = write_artifact(tmp_path / "made", report=record)
    edit(place, "licence", value=HOSTILE)
    join([place], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    tags = Tags(page).found
    assert sum(tag == "script" for tag, _ in tags) == 1
    assert not any(tag == "img" for tag, _ in tags)
    assert "\u202e" not in page


def test_it_may_load_nothing(tmp_path: Path) -> None:
    page = page_of(tmp_path, report(parity(drop=0.002)))
    assert "default-src 'none'; img-src data:" in page
    for tag, attributes in Tags(page).found:
        assert tag not in ("iframe", "object", "embed", "form", "base")
        assert "style" not in attributes
        assert all((attributes.get(name) or "data:").startswith(("data:", "#")) for name in ("src", "href"))


def test_several_become_a_table(tmp_path: Path) -> None:
    for name, drop in (("a", 0.001), ("b", 0.1)):
        record = report(parity(drop=drop), verdict="passed" if drop < 0.01 else "parity failed")
        write_artifact(tmp_path / "build" / name, report=record, passed=drop < 0.01)
    joined = join([tmp_path / "build", tmp_path / "build" / "a"], tmp_path / "all.html")
    assert [record.folder.name for record in joined.records] == ["a", "b"]
    page = (tmp_path / "all.html").read_text()
    assert "<title>2 builds</title>" in page
    assert page.count('href="#build-') == 2
    with pytest.raises(UsageError, match=r"all\.html"):
        join([tmp_path / "build"], tmp_path / "all.html")


def test_a_report_that_was_changed_is_refused(tmp_path: Path) -> None:
    place = write_artifact(tmp_path / "made", report=report(parity(drop=0.1)), passed=False)
    text = (place / "report.json").read_text()
    (place / "report.json").write_text(text.replace("0.1", "0.0"))
    with pytest.raises(ModelError, match=r"report\.json: is not the file that was built"):
        join([place], tmp_path / "page.html")
    edit(place, "files", value=[])
    with pytest.raises(ModelError, match="is not listed"):
        join([place], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_report_of_another_kind_is_refused(tmp_path: Path) -> None:
    place = write_artifact(tmp_path / "made", report={"variants": json.loads("[1]")})
    with pytest.raises(ModelError, match="is not of this version"):
        join([place], tmp_path / "page.html")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="holds no artifact"):
        join([tmp_path / "empty"], tmp_path / "page.html")
