"""The field: a tiny network of others from its recipe to the table, and recipes that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mosaic_deploy.cli.app import app
from mosaic_deploy.errors import ModelError, SpecError, UsageError
from mosaic_deploy.survey.field import maker
from mosaic_deploy.survey.field.recipes import LIST, MAKER, Network, read_networks
from mosaic_deploy.survey.field.subjects import field_subjects

TINY = """schema = 1
[[networks]]
name = "tiny"
package = "timm"
factory = "lcnet_035"
size = 64
opset = 17
exporter = "torchscript"
"""


def only(listed: Path) -> Network:
    (network,) = read_networks(listed)
    assert isinstance(network, Network)
    return network


@pytest.mark.slow
def test_a_tiny_network_goes_from_recipe_to_table(tmp_path: Path) -> None:
    listed, out = tmp_path / "list.toml", tmp_path / "out"
    listed.write_text(TINY)
    asked = ["field", "--list", str(listed), "--targets", "ort-mobile", "--out", str(out), "--no-ask"]
    first = CliRunner().invoke(app, asked)
    assert first.exit_code == 0, first.output
    place = out / "ort-mobile" / "tiny" / "trial.json"
    record = json.loads(place.read_text())
    assert record["verdict"] == "supported"
    assert record["built"]
    assert record["conversion"] > 0.9999
    assert record["check_cpu_s"] > 0
    assert record["time_ms"] > 0
    assert record["macs"] > 0
    assert not (place.parent / "artifact").exists()
    assert "| tiny | ort-mobile | supported |" in (out / "table.md").read_text()
    shares = json.loads(maker.made(only(listed)).with_suffix(".json").read_text())["shares"]
    assert max(shares) < 0.6
    stamp = place.stat().st_mtime_ns
    assert CliRunner().invoke(app, asked).exit_code == 0
    assert place.stat().st_mtime_ns == stamp, "it was held again"


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
        maker.made(only(listed))
    assert not list((tmp_path / "cache").rglob("*.onnx"))


def test_the_list_holds_packages_exporters_and_opsets_of_every_kind() -> None:
    networks = [network for network in read_networks() if isinstance(network, Network)]
    assert len(networks) >= 26
    assert {network.package for network in networks} == {"torchvision", "smp", "timm"}
    assert {network.opset for network in networks} == {17, 18}
    assert {network.exporter for network in networks} == {"dynamo", "torchscript"}
    assert LIST.is_file()


def test_a_list_of_nothing_is_refused(tmp_path: Path) -> None:
    listed = tmp_path / "list.toml"
    listed.write_text("schema = 1\n")
    with pytest.raises(UsageError, match="names no network"):
        read_networks(listed)


def test_a_field_that_no_recipe_has_is_refused(tmp_path: Path) -> None:
    listed = tmp_path / "list.toml"
    listed.write_text(TINY.replace("opset", "opsett"))
    with pytest.raises(SpecError, match="opset"):
        read_networks(listed)


def test_a_subject_depends_on_its_recipe_and_says_how_it_is_fed() -> None:
    (subject,) = field_subjects(["smp_unet"])
    assert subject.options == ("--input-mean", "127.5", "--input-scale", "64")
    assert subject.untrained
    assert not subject.labelled
    (network,) = read_networks(names=["smp_unet"])
    assert isinstance(network, Network)
    assert subject.digest == network.digest()
    assert Network(**{**network.model_dump(), "opset": 20}).digest() != subject.digest
    with pytest.raises(UsageError, match="smp_unet"):
        field_subjects(["smp_unett"])
