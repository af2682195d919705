"""Networks fetched from npm, of which a program of the same name stands in here: nothing is downloaded."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from pathlib import Path

import onnx
import pytest

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.errors import ModelError, SpecError, ToolError
from mosaic_deploy.survey.field.fetcher import fetched
from mosaic_deploy.survey.field.recipes import Fetched, read_networks
from mosaic_deploy.survey.field.subjects import field_subjects
from tests.backends.litert.tflite import tensor, tflite_model

NPM = """#!{python} -I
import shutil, sys
assert sys.argv[1:] == ["pack", "--silent", "@some/masks@1.2.3"], sys.argv
open("{calls}", "a").write("packed ")
shutil.copy("{packed}", "some-masks-1.2.3.tgz")
"""


def mask(place: Path) -> bytes:
    """A TFLite file of one operator."""
    model = tflite_model()
    graph = model.subgraphs[0]
    graph.inputs, graph.outputs = (
        [tensor(model, "image", [1, 32, 32, 3])],
        [tensor(model, "mask", [1, 32, 32, 3])],
    )
    graph.operators = [flatbuffer.operator(model, "HARD_SWISH", list(graph.inputs), list(graph.outputs))]
    flatbuffer.save(model, place)
    return place.read_bytes()


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    """One of the list, and an npm that has it."""
    data, packed = mask(tmp_path / "made.tflite"), tmp_path / "packed.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        for name, content in (("package/mask.tflite", data), ("../outside", b"never written")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(NPM.format(python=sys.executable, calls=tmp_path / "calls", packed=packed))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return Fetched(
        name="mask", npm="@some/masks@1.2.3", file="mask.tflite", sha256=hashlib.sha256(data).hexdigest(),
        size=(32, 32), mean=0, scale=255, thing="person",
    )  # fmt: skip


def test_it_is_fetched_once(network: Fetched, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    place = fetched(network, cache)
    assert [node.op_type for node in onnx.load(place).graph.node] == ["HardSwish"]
    assert fetched(network, cache) == place
    assert (tmp_path / "calls").read_text() == "packed "
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"sha256": "0" * 64}, "another file than the list says", id="digest"),
        pytest.param({"file": "other.tflite"}, "not in what npm fetched", id="no such file"),
    ],
)
def test_another_file_is_refused(
    network: Fetched, change: dict[str, str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=words):
        fetched(network.model_copy(update=change), tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.onnx"))


def test_without_npm_it_says_so(network: Fetched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"mask cannot be fetched: .*npm"):
        fetched(network, tmp_path / "cache")


def test_the_list_names_a_version_and_a_file_for_each(tmp_path: Path) -> None:
    networks = [network for network in read_networks() if isinstance(network, Fetched)]
    assert networks
    listed = tmp_path / "list.toml"
    for key, bad in (("npm", "--help"), ("npm", "masks"), ("file", "/etc/passwd"), ("sha256", "1")):
        entry = {**networks[0].model_dump(), key: bad}
        listed.write_text(
            "schema = 1\n[[fetched]]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in entry.items())
        )
        with pytest.raises(SpecError, match=key):
            read_networks(listed)


def toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(list(value) if isinstance(value, tuple) else value)


def test_a_subject_is_trained_and_fed_as_the_list_says() -> None:
    (subject,) = field_subjects(["mp_selfie"])
    assert (subject.contract.height, subject.contract.width) == (256, 256)
    assert subject.options == ("--input-mean", "0", "--input-scale", "255")
    assert not subject.untrained
    assert not subject.labelled
    assert subject.contract.threshold == 0.5
