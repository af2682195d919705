"""The field bench: a tiny network from its recipe to the table, and a table that says no."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.field import maker
from benchmarks.field.__main__ import main
from benchmarks.field.recipes import LIST, MAKER, Network, read_networks
from benchmarks.field.records import key_of, recall, sources_digest
from benchmarks.field.table import failures, markdown
from benchmarks.field.trial import Terms, Trial
from mosaic_deploy.errors import ModelError, SpecError

TINY = """schema = 1
[[networks]]
name = "tiny"
package = "timm"
factory = "lcnet_035"
size = 64
opset = 17
exporter = "torchscript"
"""
TERMS = Terms(2, "streets", "75", 60.0, 900.0, check_only=False, asks=False)
GOOD = Trial("net", "cpu", "k", "supported", built=True, conversion=1.0, agreement=0.9)


@pytest.mark.slow
def test_a_tiny_network_goes_from_recipe_to_table(tmp_path: Path) -> None:
    listed, out = tmp_path / "list.toml", tmp_path / "out"
    listed.write_text(TINY)
    asked = ["--list", str(listed), "--target", "ort-mobile", "--out", str(out), "--no-ask"]
    assert main(asked) == 0
    record = json.loads((out / "ort-mobile" / "tiny" / "trial.json").read_text())
    assert record["verdict"] == "supported"
    assert record["built"]
    assert record["conversion"] > 0.9999
    assert record["check_cpu_s"] > 0
    assert "| tiny | ort-mobile | supported |" in (out / "field.md").read_text()
    shares = json.loads(maker.made(read_networks(listed)[0]).with_suffix(".json").read_text())["shares"]
    assert max(shares) < 0.6
    stamp = (out / "ort-mobile" / "tiny" / "trial.json").stat().st_mtime_ns
    assert main(asked) == 0
    assert (out / "ort-mobile" / "tiny" / "trial.json").stat().st_mtime_ns == stamp, "it was held again"


@pytest.mark.slow
def test_a_network_whose_classes_do_not_compete_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, strict = tmp_path / "list.toml", tmp_path / "make.py"
    listed.write_text(TINY)
    strict.write_text(MAKER.read_text().replace("MOST = 0.6", "MOST = 0.0"))
    monkeypatch.setattr(maker, "MAKER", strict)
    monkeypatch.setattr(maker, "folder", lambda: tmp_path / "cache")
    with pytest.raises(ModelError, match="classes do not compete"):
        maker.made(read_networks(listed)[0])
    assert not list((tmp_path / "cache").rglob("*.onnx"))


def test_the_list_holds_what_the_issue_names() -> None:
    networks = read_networks()
    assert len(networks) >= 26
    assert {network.package for network in networks} == {"torchvision", "smp", "timm"}
    assert {network.opset for network in networks} == {17, 18}
    assert {network.exporter for network in networks} == {"dynamo", "torchscript"}
    assert LIST.is_file()


def test_a_field_that_no_recipe_has_is_refused(tmp_path: Path) -> None:
    listed = tmp_path / "list.toml"
    listed.write_text(TINY.replace("opset", "opsett"))
    with pytest.raises(SpecError, match="opset"):
        read_networks(listed)


def test_what_was_cleared_and_not_built_fails() -> None:
    trial = replace(GOOD, built=False, agreement=None, conversion=None, error="XNNPACK leaves RELU")
    assert failures([trial]) == ["net on cpu: cleared but not built: XNNPACK leaves RELU"]
    assert failures([GOOD]) == []
    assert failures([replace(trial, verdict="unsupported", built=None)]) == []


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        pytest.param(replace(GOOD, conversion=0.93), "conversion keeps 93.00%", id="conversion"),
        pytest.param(
            replace(GOOD, target="gpu", precision="float16", emulated=0.95),
            "agreement 90.00%, emulated float16 95.00%",
            id="float16",
        ),
        pytest.param(replace(GOOD, agreement=0.5), "agreement 50.00%, ONNX Runtime's QDQ 80.00%", id="int8"),
        pytest.param(replace(GOOD, agreement=None), "no agreement", id="nothing measured"),
    ],
)
def test_what_was_cleared_and_is_wrong_fails(trial: Trial, words: str) -> None:
    peer = Trial("net", "ort-mobile", "k", "supported", built=True, conversion=1.0, agreement=0.8)
    (line,) = failures([peer, trial])
    assert f"net on {trial.target}: cleared but wrong" in line
    assert words in line
    assert "| wrong |" in markdown([peer, trial])


def test_no_verdict_fails_and_is_counted() -> None:
    trial = Trial("net", "gpu", "k", "error", error="the tool crashed")
    assert failures([trial]) == ["net on gpu: no verdict: the tool crashed"]
    assert "| gpu | 1 | 0 | 0 | 0 | 1 | 0 | 0 |" in markdown([trial])


def test_a_record_of_another_version_does_not_count(tmp_path: Path) -> None:
    (network, *_) = read_networks()
    for place in ("mosaic_deploy", "targets", "quant"):
        (tmp_path / place).mkdir()
    (tmp_path / "targets" / "x.toml").write_text("a = 1")
    before = sources_digest(tmp_path)
    (tmp_path / "targets" / "x.toml").write_text("a = 2")
    assert sources_digest(tmp_path) != before
    key = key_of(network, "cpu", TERMS, before)
    assert key != key_of(network, "cpu", TERMS, sources_digest(tmp_path))
    assert key != key_of(network, "cpu", replace(TERMS, images=3), before)
    assert key == key_of(network, "cpu", replace(TERMS, timeout_s=5.0), before)
    assert key != key_of(Network(**{**network.model_dump(), "opset": 20}), "cpu", TERMS, before)
    assert recall(tmp_path, "net", "cpu", key) is None
