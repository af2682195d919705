"""Context binaries and DLCs without anything beside them, read and run by the real toolchain."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mosaic_deploy.backends.protocol import BuildJob, CompiledModel
from mosaic_deploy.backends.qnn.compile import write_dlc
from mosaic_deploy.backends.qnn.foreign import as_built, look
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.worker import JsonObject
from tests.backends.qnn.test_backend import a_job, build, images, network, on_the_cpu, quiet, run

QNN = load_backend("qnn")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(QNN.missing() is not None, reason=str(QNN.missing())),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildJob, CompiledModel]:
    job = a_job(tmp_path_factory.mktemp("built"), network("logits"), arch="69")
    return job, build(job)


def looked(path: Path, folder: Path) -> JsonObject:
    """What a child process finds in a file."""
    work, request = look, {"path": str(path)}
    log = folder / "look.log"
    return call(Call(work, request, 300, 8 * GIB, log, folder / "look"), on_progress=quiet).result


def opened(path: Path, folder: Path) -> CompiledModel:
    (folder / "file").mkdir()
    return as_built(path, looked(path, folder), folder / "file")


def outputs(made: CompiledModel, job: BuildJob, scratch: Path) -> list[bytes]:
    return [path.read_bytes() for path in run(made, job, images(job)[:2], scratch).outputs]


def binary(made: CompiledModel) -> Path:
    return made.folder / "v69/model_ctx_qnn.bin"


def changed(made: CompiledModel, place: Path, **attributes: Any) -> Path:
    """The graph that loads the binary, with other attributes and without what a build wrote into it."""
    model = onnx.load(made.folder / "v69/model_ctx.onnx", load_external_data=False)
    del model.metadata_props[:]
    (node,) = model.graph.node
    for attribute in list(node.attribute):
        if attribute.name in attributes:
            node.attribute.remove(attribute)
    node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in attributes.items())
    onnx.save(model, place)
    return place


def test_a_bare_binary_says_all_that_it_takes_to_run_it(
    built: tuple[BuildJob, CompiledModel], tmp_path: Path
) -> None:
    job, made = built
    alone = shutil.copyfile(binary(made), tmp_path / "alone.bin")
    found = opened(alone, tmp_path)
    assert found.facts["archs"] == [69]
    for role in ("input", "output"):
        ours, theirs = (facts[role] for facts in (found.facts, made.facts))
        assert isinstance(ours, dict)
        assert isinstance(theirs, dict)
        for fact in ("name", "shape", "dtype", "zero_point"):
            assert ours[fact] == theirs[fact]
        assert ours["scale"] == pytest.approx(theirs["scale"], rel=1e-6)
    for scratch in ("one", "other"):
        (tmp_path / scratch).mkdir()
    assert outputs(found, job, tmp_path / "one") == outputs(made, job, tmp_path / "other")


def test_a_dlc_is_compiled_for_what_a_build_compiles_for(
    built: tuple[BuildJob, CompiledModel], tmp_path: Path
) -> None:
    job, made = built
    found = opened(made.folder / "model.dlc", tmp_path)
    assert found.facts["archs"] == [68, 73, 75]
    (tmp_path / "scratch").mkdir()
    flight = run(found, job, images(job)[:2], tmp_path / "scratch")
    assert flight.name == "v75"
    ours, theirs = (
        np.concatenate([np.load(path) for path in run_.outputs])
        for run_ in (flight, run(made, job, images(job)[:2]))
    )
    assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.97


def test_a_dlc_of_floats_runs_too(tmp_path: Path) -> None:
    job = a_job(tmp_path, network("logits"), arch="75")
    work = write_dlc
    request = {"qdq": str(job.onnx), "out": str(tmp_path / "float.dlc")}
    call(Call(work, request, 300, 8 * GIB, tmp_path / "dlc.log", tmp_path / "dlc"))
    found = opened(tmp_path / "float.dlc", tmp_path)
    source: Any = found.facts["input"]
    assert (source["dtype"], source["scale"]) == ("float32", None)
    inputs = images(job)[:2]
    flight = run(found, job, inputs)
    expected = on_the_cpu(job.onnx, [np.load(path) for path in inputs])
    for path, wanted in zip(flight.outputs, expected, strict=True):
        np.testing.assert_allclose(np.load(path), wanted, atol=1e-3)


@pytest.mark.parametrize("inside", [pytest.param(True, id="inside"), pytest.param(False, id="beside")])
def test_the_binary_says_for_which_hexagon_a_graph_is(
    built: tuple[BuildJob, CompiledModel], tmp_path: Path, inside: bool
) -> None:
    job, made = built
    data = binary(made).read_bytes()
    (tmp_path / "a.bin").write_bytes(data)
    graph = changed(
        made, tmp_path / "a.onnx", embed_mode=int(inside), ep_cache_context=data if inside else "a.bin"
    )
    found = opened(graph, tmp_path)
    assert found.facts["archs"] == [69]
    assert len(found.files) == (1 if inside else 2)
    (tmp_path / "scratch").mkdir()
    assert len(outputs(found, job, tmp_path / "scratch")) == 2


def test_a_graph_that_contradicts_its_binary_is_refused(
    built: tuple[BuildJob, CompiledModel], tmp_path: Path
) -> None:
    _, made = built
    shutil.copytree(made.folder / "v69", tmp_path / "v69")
    place = tmp_path / "v69/model_ctx.onnx"
    model = onnx.load(place, load_external_data=False)
    for entry in model.metadata_props:
        entry.value = entry.value.replace(":69:", ":75:")
    onnx.save(model, place)
    with pytest.raises(ModelError, match=r"is for Hexagon v75, as it says, its binary for v69"):
        looked(place, tmp_path)
    (tmp_path / "away.bin").write_bytes(binary(made).read_bytes())
    inner = tmp_path / "inner"
    inner.mkdir()
    outside = changed(made, inner / "b.onnx", embed_mode=0, ep_cache_context="../away.bin")
    with pytest.raises(ModelError, match=r"'../away.bin' is not beside it"):
        looked(outside, tmp_path)


def test_an_architecture_that_the_simulator_does_not_know_is_refused(
    built: tuple[BuildJob, CompiledModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The binary of an architecture that the targets no longer list."""
    _, made = built
    monkeypatch.setattr("mosaic_deploy.backends.qnn.foreign._archs", lambda _option: (68, 75))
    with pytest.raises(ModelError, match=r"for Hexagon v69, which the simulator does not know: v68, v75"):
        look({"path": str(binary(made))}, quiet)


@pytest.mark.parametrize("suffix", ["bin", "dlc"])
@pytest.mark.parametrize("kept", [0, 16, 4000, -1])
def test_what_is_damaged_is_one_line(
    built: tuple[BuildJob, CompiledModel], tmp_path: Path, suffix: str, kept: int
) -> None:
    _, made = built
    whole = binary(made) if suffix == "bin" else made.folder / "model.dlc"
    path = tmp_path / f"damaged.{suffix}"
    path.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises((ModelError, ToolError)) as told:
        looked(path, tmp_path)
    assert "\n" not in str(told.value)
    assert f"damaged.{suffix}: no " in str(told.value)


def test_a_file_of_another_kind_is_one_line(built: tuple[BuildJob, CompiledModel], tmp_path: Path) -> None:
    """A DLC for a binary, and the reverse."""
    _, made = built
    for file, name, says in (
        (made.folder / "model.dlc", "a.bin", "no context binary that QNN can read"),
        (binary(made), "a.dlc", "no DLC that QNN can read"),
    ):
        with pytest.raises(ModelError, match=says):
            looked(shutil.copyfile(file, tmp_path / name), tmp_path)


def test_size_is_bounded_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(ModelError, match="larger than 1024 MiB"):
        look({"path": str(path)}, quiet)
