"""Files run without a delegate, and files that only XNNPACK runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mosaic_deploy.backends.litert import fixed_grids, flatbuffer, plain_kernels
from mosaic_deploy.backends.protocol import BuildJob, CompiledModel
from mosaic_deploy.errors import RefusedError
from mosaic_deploy.workers.worker import JsonObject
from tests.backends.litert.test_backend import TFLITE, a_job, agreement, build, quiet, run
from tests.backends.qnn.test_backend import CLASSES, network

pytestmark = pytest.mark.skipif(TFLITE.missing() is not None, reason=str(TFLITE.missing()))

GATED = """
    gate = Sigmoid(lowres)
    joined = Concat<axis = 1>(lowres, gate)
    last = Conv(joined, mix)
"""


def gated(folder: Path, target: str) -> BuildJob:
    """A Sigmoid whose output a Concat reads, together with what is larger."""
    model = network("lowres", after=GATED)
    model.graph.output[0].name = "last"
    mix = np.random.default_rng(1).normal(0, 0.5, (CLASSES, 2 * CLASSES, 1, 1)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(mix, "mix"))
    return a_job(folder, model, target=target, recipe="int8", output="lowres")


@pytest.fixture(scope="module", params=["cpu", "edgetpu"])
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[BuildJob, CompiledModel]:
    job = gated(tmp_path_factory.mktemp("gated") / "job", request.param)
    return job, build(job)


def request_of(built: tuple[BuildJob, CompiledModel], model: Path) -> JsonObject:
    job, made = built
    facts: Any = made.facts
    return {
        "model": str(model), "image": str(job.calibration[0]), "threads": 1,
        "input": facts["input"], "output": facts["output"], "floats": None,
    }  # fmt: skip


def test_a_build_runs_without_a_delegate(built: tuple[BuildJob, CompiledModel]) -> None:
    job, made = built
    facts: Any = made.facts["without_delegate"]
    assert 0 <= facts["difference"] < 0.02 < facts["limit"] == 0.05
    assert "run without a delegate" in [step.name for step in made.steps]
    assert agreement(job, run(made, job)) > 0.95


def test_a_sigmoid_keeps_its_grid(built: tuple[BuildJob, CompiledModel]) -> None:
    model = flatbuffer.load(built[1].folder / "model.tflite")
    gates = [op for op in model.subgraphs[0].operators if flatbuffer.kind(model, op) == "LOGISTIC"]
    grids = [flatbuffer.describe(model, op.outputs[0]) for op in gates]
    assert [(grid["scale"], grid["zero_point"]) for grid in grids] == [(1 / 256, -128)]
    assert fixed_grids.keep_fixed_grids(model) == 0


def test_what_only_xnnpack_loads_is_one_line(built: tuple[BuildJob, CompiledModel], tmp_path: Path) -> None:
    model = flatbuffer.load(built[1].folder / "model.tflite")
    gate = next(op for op in model.subgraphs[0].operators if flatbuffer.kind(model, op) == "LOGISTIC")
    model.subgraphs[0].tensors[gate.outputs[0]].quantization.scale = np.array([1 / 200], np.float32)
    flatbuffer.save(model, tmp_path / "model.tflite")
    with pytest.raises(
        RefusedError, match=r"^model.tflite: XNNPACK runs it, and LiteRT's own kernels do not [^\n]*$"
    ):
        plain_kernels.compare(request_of(built, tmp_path / "model.tflite"), quiet)


def test_what_comes_out_otherwise_is_one_line(
    built: tuple[BuildJob, CompiledModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(plain_kernels.LIMITS, "int8", -1.0)
    with pytest.raises(
        RefusedError, match=r"make something else of it [^\n]* by [0-9.e-]+, -1 is allowed[^\n]*$"
    ):
        plain_kernels.compare(request_of(built, built[1].folder / "model.tflite"), quiet)


def test_what_rounding_moves_is_allowed_as_well(
    built: tuple[BuildJob, CompiledModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, made = built
    source = TFLITE.convert(job, on_progress=quiet)
    assert source is not None
    facts: Any = source.facts
    floats = {
        "model": str(source.folder / "model.tflite"),
        "input": facts["input"],
        "output": facts["output"],
    }
    request = request_of(built, made.folder / "model.tflite")
    monkeypatch.setitem(plain_kernels.LIMITS, "int8", -1.0)
    found = plain_kernels.compare({**request, "floats": floats}, quiet)
    assert found["difference"] <= found["limit"] < 0.05
    # The integers as the floats of themselves: nothing is moved, so nothing more is allowed.
    itself = {key: request[key] for key in ("model", "input", "output")}
    monkeypatch.setitem(plain_kernels.LIMITS, "int8", found["difference"] / 2)
    with pytest.raises(RefusedError, match="make something else of it"):
        plain_kernels.compare({**request, "floats": itself}, quiet)


def test_floats_are_held_to_less(tmp_path: Path) -> None:
    job = a_job(tmp_path / "job", network("lowres"), recipe="fp32")
    facts: Any = build(job).facts["without_delegate"]
    assert 0 <= facts["difference"] < 1e-5 < facts["limit"] == 1e-3
