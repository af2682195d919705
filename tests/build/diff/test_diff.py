"""Real runtimes, small networks: what is planted is found, and what is alike does not part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from typer.testing import CliRunner

from mosaic_deploy.artifact.manifest import MANIFEST
from mosaic_deploy.backends.qnn.quantize import _insert
from mosaic_deploy.build.diff.diff import diff
from mosaic_deploy.build.diff.found import DiffRequest
from mosaic_deploy.build.diff.prober import Arrays
from mosaic_deploy.build.diff.side import Side
from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.cli.app import app
from mosaic_deploy.errors import ModelError, RefusedError, UsageError
from mosaic_deploy.files import sha256_of
from mosaic_deploy.quantize.qdq import Style, quantize_as
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import locate_spec, read_spec
from tests.artifact.tiny_artifact import write_artifact
from tests.build.diff.graphs import branched, unfolded
from tests.conftest import HEIGHT, WIDTH, Tiny

KERNEL = "left"
"""The planted node."""


def built(tiny: Tiny, target: str, model: onnx.ModelProto | None = None, **options: str) -> Path:
    onnx.save(model or branched(), tiny.onnx)
    out = tiny.root / "out"
    deploy(Request(model=str(tiny.card), targets=(target,), out=out, options=options))
    (folder,) = out.iterdir()
    return folder


def replace_graph(folder: Path, model: onnx.ModelProto) -> None:
    """Put another quantised graph into an artifact, as a careful forger would."""
    path = folder / "model.qdq.onnx"
    onnx.save(model, path)
    record = json.loads((folder / MANIFEST).read_text())
    (entry,) = (entry for entry in record["files"] if entry["path"] == path.name)
    entry |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    (folder / MANIFEST).write_text(json.dumps(record))


def plant(folder: Path) -> None:
    """Turn the kernel of one convolution upside down."""
    model = onnx.load(folder / "model.qdq.onnx")
    (node,) = (node for node in model.graph.node if node.name == KERNEL)
    (pair,) = (other for other in model.graph.node if node.input[1] in other.output)
    (kernel,) = (tensor for tensor in model.graph.initializer if tensor.name == pair.input[0])
    values = numpy_helper.to_array(kernel)
    kernel.CopyFrom(numpy_helper.from_array(values[:, :, ::-1].copy(), kernel.name))
    replace_graph(folder, model)


@pytest.mark.slow
def test_a_planted_kernel_is_found_cut_out_and_written_whole(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = built(tiny, "ort-mobile"), tiny.root / "case"
    asked = DiffRequest("float", str(folder), f"folder:{tiny.data}", out=out)
    honest = diff(asked)
    assert not honest.parts
    assert honest.candidates == 5
    assert not out.exists()
    plant(folder)
    found = diff(asked)
    assert found.found == KERNEL
    assert found.alone is not None
    assert found.alone.operators == (f"Conv '{KERNEL}'",)
    assert found.alone.distance.parts
    assert sorted(path.name for path in out.iterdir()) == [
        "actual.npy", "diff.json", "expected.npy", "input.npy", "issue.md", "minimal.onnx",
    ]  # fmt: skip
    model = onnx.load(out / "minimal.onnx")
    onnx.checker.check_model(model, full_check=True)
    arrays = [np.load(out / f"{name}.npy", allow_pickle=False) for name in ("input", "expected", "actual")]
    assert {values.dtype for values in arrays} == {np.dtype("uint8")}
    assert arrays[0].shape == tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)
    assert (arrays[1] != arrays[2]).any()
    text = (out / "issue.md").read_text()
    assert f"- `Conv '{KERNEL}'`" in text
    assert str(tiny.root) not in text
    monkeypatch.chdir(out)
    exec(text.split("```python\n")[1].split("```")[0])  # as whoever gets it would
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["expected.npy", "actual.npy"]
    assert float(lines[0].split()[1]) > 1 >= float(lines[1].split()[1])


@pytest.mark.slow
def test_where_operators_alone_are_not_taken_those_before_come_along(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = built(tiny, "ort-mobile"), Side.alone
    plant(folder)

    def picky(side: Side, name: str, given: Mapping[str, Arrays]) -> Arrays:
        if given:
            raise RefusedError("does not take a part that begins there")
        return whole(side, name, given)

    monkeypatch.setattr(Side, "alone", picky)
    found = diff(DiffRequest("float", str(folder), f"folder:{tiny.data}"))
    assert found.alone is not None
    assert found.alone.operators[-2:] == ("Conv 'first'", f"Conv '{KERNEL}'")
    assert found.alone.distance.parts


@pytest.mark.slow
def test_simulated_architectures_agree_and_a_planted_kernel_is_found_on_one(
    tiny: Tiny,
) -> None:
    folder = built(tiny, "dsp", arch="68,75")
    data = f"folder:{tiny.data}"
    assert not diff(DiffRequest(f"{folder}:68", f"{folder}:v75", data, images=1)).parts
    assert not diff(DiffRequest("qdq", str(folder), data, images=1)).parts
    plant(folder)
    found = diff(DiffRequest("float", f"{folder}:75", data, images=1))
    assert found.found == KERNEL
    assert "v75" in found.ran_on[1]
    with pytest.raises(UsageError, match="no device '70'"):
        diff(DiffRequest("float", f"{folder}:70", data))


@pytest.mark.slow
def test_a_normalisation_that_hexagon_gets_wrong_is_found_in_a_graph_that_keeps_it(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = built(tiny, "dsp", unfolded(), arch="75"), tiny.root / "case"
    asked = DiffRequest("qdq", str(folder), f"folder:{tiny.data}", images=1, out=out)
    assert not diff(asked).parts  # as a build rewrites it
    monkeypatch.chdir(tiny.root)
    calibration = [f"{place}.npy" for place in range(2)]
    for place, name in enumerate(calibration):
        image = np.random.default_rng(place).uniform(0, 255, (1, 3, HEIGHT, WIDTH))
        np.save(name, image.astype(np.float32))
    recipe = read_spec(QuantRecipe, locate_spec(QuantRecipe, "w8a8"))
    request = {
        "onnx": str(tiny.onnx), "out": "kept.onnx", "calibration": calibration, "threads": 1,
        "recipe": recipe.model_dump(mode="json", by_alias=True), "pixels": None,
    }  # fmt: skip
    quantize_as(Style(lambda path: path, _insert), request, lambda _share, _text: None)
    replace_graph(folder, onnx.load("kept.onnx"))
    found = diff(asked)
    assert found.found == "normal"
    assert found.alone is not None
    assert found.alone.operators == ("BatchNormalization 'normal'",)
    assert found.alone.distance.parts
    assert "give the same difference" in (out / "issue.md").read_text()


def test_a_request_that_makes_no_sense_is_refused(tiny: Tiny) -> None:
    folder, data = write_artifact(tiny.root / "artifact"), f"folder:{tiny.data}"
    with pytest.raises(UsageError, match="one side at least must be an artifact"):
        diff(DiffRequest("float", "qdq", data))
    with pytest.raises(UsageError, match="no such folder"):
        diff(DiffRequest("float", str(tiny.root / "nowhere"), data))
    with pytest.raises(UsageError, match="no part of its networks can be compiled or cut out"):
        diff(DiffRequest("float", str(folder), data))
    with pytest.raises(ModelError, match="no quantised ONNX graph"):
        diff(DiffRequest("qdq", str(folder), data))
    with pytest.raises(UsageError, match="exists already"):
        diff(DiffRequest("float", str(folder), data, out=tiny.data))
    (folder / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="sha256 differs"):
        diff(DiffRequest("float", str(folder), data))


@pytest.mark.slow
def test_the_command_ends_with_1_where_they_part(tiny: Tiny) -> None:
    folder = built(tiny, "ort-mobile")
    words = ["diff", "qdq", str(folder), "--data", f"folder:{tiny.data}", "--json"]
    ended = CliRunner().invoke(app, words)
    assert (ended.exit_code, json.loads(ended.stdout)["parts"]) == (0, False)
    plant(folder)
    ended = CliRunner().invoke(app, ["diff", "float", *words[2:]])
    record = json.loads(ended.stdout)
    assert (ended.exit_code, record["tensor"], record["alone"]["reproduces"]) == (1, KERNEL, True)
