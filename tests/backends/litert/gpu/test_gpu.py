"""LiteRT's real GPU accelerator on a software Vulkan, on tiny networks."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import c_api, flatbuffer, float16
from mosaic_deploy.backends.litert.convert import convert
from mosaic_deploy.backends.litert.gpu import accelerator, vulkan
from mosaic_deploy.backends.litert.quantize import halves
from mosaic_deploy.errors import ModelError, RefusedError, ToolError
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.workers.call import GIB, Call, Outcome, call
from mosaic_deploy.workers.worker import Work
from tests.backends.litert.gpu.test_vulkan import a_driver
from tests.backends.qnn.test_backend import HEIGHT, WIDTH, network, pictures

needs_gpu = pytest.mark.skipif(accelerator.missing() is not None, reason=str(accelerator.missing()))


def job(folder: Path, function: Work, request: dict[str, Any]) -> Call:
    return Call(function, request, 60, 4 * GIB, folder / "log", folder / "scratch", {}, "gpu")


def on_gpu(folder: Path, request: dict[str, Any], function: Work = accelerator.predict) -> Outcome:
    return call(replace(job(folder, function, request), environment=accelerator.environment(folder)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images, and the networks in float32 and with weights in float16."""
    place = tmp_path_factory.mktemp("gpu")
    for index, picture in enumerate(pictures(3)):
        np.save(place / f"image{index}.npy", (picture[None].astype(np.float32) - 128) / 128)
    for head in ("logits", "classmap"):
        onnx.save(network(head), place / f"{head}.onnx")
        request = {
            "onnx": str(place / f"{head}.onnx"),
            "out": str(place / f"{head}.tflite"),
            "shape": [1, HEIGHT, WIDTH, 3],
            "layout": "NCHW",
            "fold": False,
            "image": str(place / "image0.npy"),
        }
        call(job(place, convert, request))
        halved = {
            "model": request["out"],
            "out": str(place / f"{head}16.tflite"),
            "key": "k",
            "description": {},
            "accelerator": "gpu",
        }
        call(job(place, halves, halved))
    return place


def a_request(folder: Path, name: str, scratch: Path, **changes: Any) -> dict[str, Any]:
    model = flatbuffer.load(folder / f"{name}.tflite")
    graph = model.subgraphs[0]
    return {
        "model": str(folder / f"{name}.tflite"),
        "inputs": [str(folder / f"image{i}.npy") for i in range(3)],
        "outputs": [str(scratch / f"out{i}.npy") for i in range(3)],
        "input": flatbuffer.describe(model, graph.inputs[0]),
        "output": flatbuffer.describe(model, graph.outputs[0]),
        **changes,
    }


def found(request: dict[str, Any]) -> NDArray[Any]:
    return np.concatenate([np.load(path) for path in request["outputs"]])


def expected(folder: Path) -> NDArray[np.float32]:
    """Scores of ONNX Runtime, NHWC."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(folder / "logits.onnx"), options, ["CPUExecutionProvider"])
    feeds = [np.load(folder / f"image{i}.npy").transpose(0, 3, 1, 2) for i in range(3)]
    scores: NDArray[np.float32] = np.concatenate([session.run(None, {"image": feed})[0] for feed in feeds])
    return scores.transpose(0, 2, 3, 1)


@needs_gpu
@pytest.mark.parametrize("name", ["logits", "logits16"], ids=["float32", "float16-weights"])
def test_the_whole_graph_runs_on_the_gpu(folder: Path, tmp_path: Path, name: str) -> None:
    request = a_request(folder, name, tmp_path)
    heard: list[float] = []
    made = call(
        replace(job(tmp_path, accelerator.predict, request), environment=accelerator.environment(tmp_path)),
        on_progress=lambda share, text: heard.append(share),
    )
    operators = flatbuffer.load(folder / f"{name}.tflite").subgraphs[0].operators
    assert made.result["nodes"] == len(operators)
    assert made.result["outside"] == []
    assert made.result["precision"] == "float32"
    exact = expected(folder)
    scores = found(request)
    assert scores.dtype == np.float32
    assert scores.shape == exact.shape
    difference = np.abs(scores - exact).max() / np.abs(exact).max()
    assert difference < (1e-5 if name == "logits" else 2e-3)
    assert (difference > 1e-5) == (name == "logits16")
    assert heard[-1] == 1


@needs_gpu
def test_the_device_is_named(folder: Path, tmp_path: Path) -> None:
    made = on_gpu(tmp_path, a_request(folder, "logits", tmp_path))
    driver = vulkan.driver()
    assert driver is not None
    assert made.result["device"] not in ("", "unknown")
    if not driver.named_in:
        assert "SwiftShader" in made.result["device"]
        assert made.result["software"] is True


@needs_gpu
def test_float16_can_be_asked_for_and_is_measured(folder: Path, tmp_path: Path) -> None:
    request = a_request(folder, "logits", tmp_path, precision="float16")
    made = on_gpu(tmp_path, request)
    scores, exact = found(request), expected(folder)
    assert made.result["precision"] in ("float16", "float16 with float32 sums")
    assert (scores == scores.astype(np.float16)).all()
    assert 1e-5 < np.abs(scores - exact).max() / np.abs(exact).max() < 5e-3
    emulated = {
        "onnx": str(folder / "logits.onnx"),
        "inputs": request["inputs"],
        "outputs": [str(tmp_path / f"emulated{i}.npy") for i in range(3)],
        "layout": "NHWC",
    }
    float16.predict(emulated, lambda share, text: None)
    alike = found(emulated).transpose(0, 2, 3, 1)
    assert np.abs(scores - alike).max() / np.abs(exact).max() < 5e-3
    assert (scores.argmax(3) == alike.argmax(3)).mean() > 0.995


@needs_gpu
def test_class_maps_are_made_on_the_gpu(folder: Path, tmp_path: Path) -> None:
    request = a_request(folder, "classmap16", tmp_path)
    on_gpu(tmp_path, request)
    ids = found(request)
    assert ids.shape == (3, HEIGHT, WIDTH)
    assert ids.dtype.kind in "iu"
    assert len(np.unique(ids)) > 1
    assert (ids == expected(folder).argmax(3)).mean() > 0.995


@needs_gpu
def falls_back(request: dict[str, Any], on_progress: Any) -> dict[str, Any]:
    """Be the real child, but let LiteRT use the CPU too, so that it compiles whatever it is given."""
    c_api.ACCELERATORS |= 1
    return accelerator.predict(request, on_progress)


@pytest.mark.parametrize("function", [accelerator.predict, falls_back], ids=["by-litert", "by-us"])
def test_a_graph_that_is_taken_in_part_is_refused(folder: Path, tmp_path: Path, function: Work) -> None:
    """The same class map with 64-bit ids, as ONNX has them: all runs on the GPU but the last operator."""
    from ai_edge_litert import schema_py_generated as schema

    model = flatbuffer.load(folder / "classmap16.tflite")
    graph = model.subgraphs[0]
    last = next(op for op in graph.operators if flatbuffer.kind(model, op) == "ARG_MAX")
    last.builtinOptions.outputType = schema.TensorType.INT64
    graph.tensors[last.outputs[0]].type = schema.TensorType.INT64
    graph.operators, graph.outputs = graph.operators[: graph.operators.index(last) + 1], list(last.outputs)
    flatbuffer.save(model, tmp_path / "wide.tflite")
    np.save(tmp_path / "image0.npy", np.load(folder / "image0.npy"))
    request = a_request(tmp_path, "wide", tmp_path, inputs=[str(tmp_path / "image0.npy")], outputs=["x"])
    with pytest.raises(
        RefusedError, match=r"^wide.tflite: the GPU accelerator does not take ARG_MAX \([^\n]+INT64"
    ):
        on_gpu(tmp_path, request, function)


@needs_gpu
def test_timing_counts_the_runs(folder: Path, tmp_path: Path) -> None:
    request = {
        "model": str(folder / "logits16.tflite"),
        "input_file": str(folder / "image0.npy"),
        "warm_up": 1,
        "runs": 3,
    }
    made = on_gpu(tmp_path, request, accelerator.time)
    assert len(made.result["seconds"]) == 3
    assert min(made.result["seconds"]) > 0
    assert made.result["outside"] == []
    assert made.peak_bytes > 50 << 20


@needs_gpu
def test_without_a_driver_it_is_one_line(folder: Path, tmp_path: Path) -> None:
    manifest = a_driver(tmp_path / "broken")
    environment = {
        **accelerator.environment(tmp_path),
        "VK_DRIVER_FILES": str(manifest),
        "VK_ICD_FILENAMES": str(manifest),
    }
    work = job(tmp_path, accelerator.predict, a_request(folder, "logits", tmp_path))
    with pytest.raises(ToolError, match=r"^LiteRT's GPU accelerator is not available: [^\n]+; [^\n]+$"):
        call(replace(work, environment=environment))


@needs_gpu
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"precision": "bfloat16"}, "no precision 'bfloat16'", id="precision"),
        pytest.param(
            {"input": {"shape": [1, 8, 8, 3], "dtype": "float32"}},
            "the input has shape",
            id="input-of-another-shape",
        ),
        pytest.param({"model": __file__}, "not a TFLite file", id="no-tflite-file"),
    ],
)
def test_what_does_not_fit_is_one_line(folder: Path, tmp_path: Path, changes: Any, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        on_gpu(tmp_path, {**a_request(folder, "logits", tmp_path), **changes})


@needs_gpu
def test_a_crash_is_one_line(folder: Path, tmp_path: Path) -> None:
    work = job(tmp_path, crashes, a_request(folder, "logits", tmp_path))
    with pytest.raises(ToolError, match=r"^gpu: killed by SIGSEGV[^\n]*; log: "):
        call(replace(work, environment=accelerator.environment(tmp_path)))


def crashes(request: dict[str, Any], on_progress: Any) -> dict[str, Any]:
    """Be the real child, and meet the signal after the first image."""
    return accelerator.predict(request, lambda share, text: os.kill(os.getpid(), signal.SIGSEGV))


@needs_gpu
def test_a_gpu_that_is_busy_for_long_is_waited_for(folder: Path, tmp_path: Path) -> None:
    """LiteRT gives up reading after 20 seconds, which here is at once."""
    request = a_request(folder, "logits", tmp_path)
    on_gpu(tmp_path, {**request, "patience": 0}, is_busy)
    assert np.abs(found(request) - expected(folder)).max() < 1e-4
    with pytest.raises(ToolError, match=r"^LiteRT's GPU accelerator fails while it runs: given up$"):
        on_gpu(tmp_path, {**request, "patience": 5}, is_busy)


def is_busy(request: dict[str, Any], on_progress: Any) -> dict[str, Any]:
    """Be the real child, whose second image is not ready when it is first read."""
    read, ticks = c_api.Runtime._lock, [0.0]
    c_api.IMPATIENT_S = request["patience"]

    def lock(self: c_api.Runtime, buffer: Any, mode: int) -> int:
        if mode == 0 and len(ticks) == 2:
            ticks.append(0)
            raise c_api.StatusError("given up")
        return read(self, buffer, mode)

    c_api.Runtime._lock = lock  # type: ignore[method-assign]  # of a child process of its own
    return accelerator.predict(request, lambda share, text: ticks.append(share))


@needs_gpu
def test_waiting_leaves_the_cores_to_a_driver_that_is_software(folder: Path, tmp_path: Path) -> None:
    """LiteRT asks again and again; what it is asked from yields, what copies and starts does not."""
    policies = tmp_path / "policies.txt"
    on_gpu(tmp_path, {**a_request(folder, "logits", tmp_path), "policies": str(policies)}, notes_policies)
    waits, copies = str(os.SCHED_IDLE), str(os.SCHED_OTHER)
    noted = policies.read_text().split()
    assert len(noted) >= 4  # two images, and what finds out the precision
    assert noted == [waits, copies] * (len(noted) // 2)


def notes_policies(request: dict[str, Any], on_progress: Any) -> dict[str, Any]:
    """Be the real child, and note how every thread that reads a buffer is scheduled."""
    read = c_api.Runtime._lock

    def lock(self: c_api.Runtime, buffer: Any, mode: int) -> int:
        if mode == 0:
            with Path(request["policies"]).open("a") as policies:
                policies.write(f"{os.sched_getscheduler(0)}\n")
        return read(self, buffer, mode)

    c_api.Runtime._lock = lock  # type: ignore[method-assign]  # of a child process of its own
    return accelerator.predict(request, on_progress)


@needs_gpu
@pytest.mark.parametrize(
    ("limit", "says"),
    [
        pytest.param({"timeout_s": 0.4}, "gpu: ran longer than 0.4 s", id="time"),
        pytest.param({"memory_bytes": 40 << 20}, "gpu: needed more than 0.0 GiB", id="memory"),
    ],
)
def test_limits_end_the_child(folder: Path, tmp_path: Path, limit: Any, says: str) -> None:
    request = {
        "model": str(folder / "logits.tflite"),
        "input_file": str(folder / "image0.npy"),
        "warm_up": 1,
        "runs": 100_000,
    }
    work = replace(
        job(tmp_path, accelerator.time, request), environment=accelerator.environment(tmp_path), **limit
    )
    with pytest.raises(ToolError, match=f"^{says}[^\n]*; log: "):
        call(work)


@pytest.mark.parametrize(
    ("values", "tensor", "fed"),
    [
        pytest.param([0.5, -1], {"dtype": "float32"}, [0.5, -1], id="floats"),
        pytest.param(np.array([7, 200], np.uint8), {"dtype": "float32"}, [7, 200], id="bytes-to-floats"),
        pytest.param(
            [0.5, -1, 3],
            {"dtype": "int8", "scale": 1 / 128, "zero_point": 0},
            [64, -128, 127],
            id="to-integers",
        ),
    ],
)
def test_inputs_become_what_the_file_takes(values: Any, tensor: Any, fed: list[float]) -> None:
    array = np.asarray(values, None if isinstance(values, np.ndarray) else np.float32)
    given = accelerator.feed(array, {**tensor, "shape": list(array.shape)})
    assert given.dtype == tensor["dtype"]
    assert given.tolist() == fed


def test_integer_scores_become_floats() -> None:
    grid = {"scale": 0.5, "zero_point": -2}
    assert accelerator.scores(np.array([0, -2], np.int8), grid).tolist() == [1.0, 0.0]
    ids = np.array([3], np.int32)
    assert accelerator.scores(ids, {"scale": None}) is ids


def test_the_target_is_the_gpus() -> None:
    target = load_spec(TargetSpec, "gpu")
    assert (target.backend, target.layout, target.recipes) == ("tflite", "NHWC", ("fp16", "fp32"))
    assert target.options["accelerator"] == "gpu"
