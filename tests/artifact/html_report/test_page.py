"""The page of artifacts that were really built, on a runtime that is ONNX Runtime by another name."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mosaic_deploy.artifact.html_report.joined import join
from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.errors import ModelError
from tests.artifact.html_report.browser import PROGRAM, browser
from tests.artifact.html_report.test_cost import traffic
from tests.artifact.html_report.test_joined import parity, report
from tests.artifact.html_report.test_measured import SEARCH, bench, sensitivity
from tests.artifact.tiny_artifact import edit, write_artifact
from tests.conftest import Tiny

pytestmark = pytest.mark.slow


def built(tiny: Tiny, out: Path, *, fault: str = "", data: str | None = None) -> Path:
    target = tiny.target_with(fault) if fault else tiny.target
    request = Request(model=str(tiny.card), targets=(str(target),), out=out)
    if data is not None:
        request = replace(request, data=f"folder:{data}", calibration=f"folder:{tiny.data}")
    (result,) = deploy(request)
    assert not hasattr(result, "error")
    (place,) = (path for path in out.iterdir() if path.name.startswith(f"tiny-{fault or 'echo'}"))
    return place


def measured(place: Path) -> Path:
    """A page of an artifact with everything that can be measured of one, under long names."""
    made = write_artifact(place / "made", report=report(parity(drop=0.002)))
    stated = [traffic(f"v{arch}", name, 6 << 20) for arch in (68, 75) for name in ("DDR read", "DDR written")]
    edit(made, "facts", "cost", value=stated)
    edit(made, "facts", "search", value=SEARCH)
    (place / "tensors.json").write_text(json.dumps(sensitivity(made, name="backbone." * 9 + "x" * 60)))
    (place / "times.json").write_text(json.dumps(bench(made)))
    join([made], place / "page.html", measured=[place / "tensors.json", place / "times.json"])
    return place / "page.html"


def unlabelled(tiny: Tiny, place: Path) -> str:
    shutil.copytree(tiny.data / "val" / "images", place / "images")
    return str(place)


def test_a_build_has_its_page_and_it_says_the_verdict(tiny: Tiny, tmp_path: Path) -> None:
    place = built(tiny, tmp_path / "out")
    page = (place / "report.html").read_text()
    assert "<title>tiny on echo: Passed</title>" in page
    assert "What both networks see" in page
    assert "Largest loss" in page
    listed = {entry["path"] for entry in json.loads((place / "manifest.json").read_text())["files"]}
    assert {"report.html", "views/index.json", "views/worst-truth.webp"} <= listed
    assert len(page) < 1 << 20


def test_the_same_build_gives_the_same_page(tiny: Tiny, tmp_path: Path) -> None:
    first, second = (built(tiny, tmp_path / name) / "report.html" for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_a_failed_build_says_first_why(tiny: Tiny, tmp_path: Path) -> None:
    page = (built(tiny, tmp_path / "out", fault="wrong") / "report.html").read_text()
    verdict = page[page.index("<header") : page.index("</header>")]
    assert "Parity failed" in verdict
    assert re.search(r"mIoU fell by [\d.]+ points on 3\xa0images", verdict)
    assert "Lost most:" in verdict
    assert "sky" in verdict


def test_without_labels_nothing_is_called_miou(tiny: Tiny, tmp_path: Path) -> None:
    place = built(tiny, tmp_path / "out", data=unlabelled(tiny, tmp_path / "plain"))
    page = (place / "report.html").read_text()
    assert "of the pixels change their class" in page
    shown = page[page.index("<main>") : page.index("</main>")]
    assert "mIoU, float" not in shown
    assert "Truth" not in shown
    assert not (place / "views" / "worst-truth.webp").exists()


def test_a_folder_that_was_changed_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    place = built(tiny, tmp_path / "out")
    (place / "views" / "worst-input.webp").write_bytes(b"RIFF0000WEBP")
    with pytest.raises(ModelError, match=r"worst-input\.webp: is not the file that was built"):
        join([place], tmp_path / "all.html")
    assert not (tmp_path / "all.html").exists()


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium: apt-get install chromium-headless-shell")
def test_a_browser_shows_it_on_a_phone_and_on_a_desk(tiny: Tiny, tmp_path: Path) -> None:
    good, bad = built(tiny, tmp_path / "out"), built(tiny, tmp_path / "out", fault="wrong")
    plain = built(tiny, tmp_path / "plain", data=unlabelled(tiny, tmp_path / "images"))
    join([good, bad], tmp_path / "all.html")
    pages = [good / "report.html", bad / "report.html", plain / "report.html", tmp_path / "all.html"]
    pages.append(measured(tmp_path / "measured"))
    with browser() as seen:
        for page in pages:
            for width, height in ((390, 844), (1440, 900)):
                for dark in (False, True):
                    seen.open(page, width=width, height=height, dark=dark)
                    assert seen.complaints == []
                    assert all(url.startswith(("file:", "data:")) for url in seen.requests)
                    seen.run("for (const each of document.querySelectorAll('details')) each.open = true")
                    assert seen.run("document.documentElement.scrollWidth") <= width
                    first = ".counts" if page.name == "all.html" else ".sentence"
                    bottom = seen.run(f"document.querySelector('{first}').getBoundingClientRect().bottom")
                    assert 0 < bottom < height
        seen.open(good / "report.html", width=390, height=844)
        seen.run("document.querySelector('button[data-right=difference]').click()")
        assert seen.run("document.querySelector('[data-layer=difference]').hidden") is False
        assert seen.run("document.querySelector('[data-layer=truth]').hidden") is True
        slide = "const s = document.querySelector('input'); s.value = 20; s.dispatchEvent(new Event('input'))"
        seen.run(slide)
        clip = seen.run("document.querySelector('[data-layer=difference]').style.clipPath")
        assert clip == "inset(0px 0px 0px 20%)"
        assert seen.complaints == []


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium: apt-get install chromium-headless-shell")
def test_the_browser_test_can_say_no(tmp_path: Path) -> None:
    page = tmp_path / "wrong.html"
    page.write_text('<!doctype html><body><p class="wide">x</p><style>.wide {width: 3000px}</style>'
                    "<script>console.error('no'); undefined.x</script>")  # fmt: skip
    with browser() as seen:
        seen.open(page, width=390, height=844)
        assert len(seen.complaints) == 2
        assert seen.run("document.documentElement.scrollWidth") > 390
