"""ONNX Runtime's own format, quantised and float, on networks small enough to take seconds."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.ort import backend
from mosaic_deploy.backends.ort.fallback import require_integers
from mosaic_deploy.backends.ort.ort_file import Node, nodes, require_portable
from mosaic_deploy.backends.ort.run import _saturates
from mosaic_deploy.backends.protocol import BuildJob, CompiledModel, File, Run, TimingConfig, WorkDir
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.errors import ModelError, RefusedError, SpecError, ToolError
from mosaic_deploy.graph.facts import nodes as graph_nodes
from mosaic_deploy.graph.macs import macs
from mosaic_deploy.graph.reader.read import read_model
from mosaic_deploy.quantize.boundary import to_floats, to_integers
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.metadata import METADATA_KEY
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.specs.target import TargetSpec
from tests.backends.qnn.test_backend import CLASSES, HEIGHT, WIDTH, network, pictures

ORT = load_backend("ort")


def quiet(share: float, text: str) -> None:
    assert 0 <= share <= 1


def a_job(folder: Path, model: onnx.ModelProto, *, recipe: str = "w8a8", **contract: Any) -> BuildJob:
    names = tuple(f"class {i}" for i in range(CLASSES))
    contract = {"palette": ((0, 0, 0),) * CLASSES, "layout": "NHWC", **contract}
    what = Contract(height=HEIGHT, width=WIDTH, classes=names, **contract)
    for name in ("scratch", "logs", "images", "out"):
        (folder / name).mkdir()
    paths = []
    for index, picture in enumerate(pictures(6)):
        paths.append(folder / "images" / f"{index}.npy")
        np.save(paths[-1], what.prepare(picture))
    onnx.save(model, folder / "net.onnx")
    return BuildJob(
        onnx=folder / "net.onnx",
        layout="NCHW",
        contract=what,
        target=load_spec(TargetSpec, "ort-mobile"),
        recipe=load_spec(QuantRecipe, recipe),
        calibration=tuple(paths[:3]),
        description={"model": "net", "classes": list(names)},
        space=WorkDir(folder / "scratch", folder / "logs"),
    )


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., BuildJob]:
    """Return a maker of jobs around a network."""
    return lambda model, **changes: a_job(tmp_path, model, **changes)


def images(job: BuildJob) -> tuple[Path, ...]:
    return tuple(sorted((job.space.scratch.parent / "images").iterdir()))


def build(job: BuildJob, converted: CompiledModel | None = None) -> CompiledModel:
    return ORT.build(job, converted, job.space.scratch.parent / "out", on_progress=quiet)


def run(made: CompiledModel, job: BuildJob, inputs: tuple[Path, ...] | None = None) -> Run:
    return ORT.run(made, job.contract, inputs or images(job), space=job.space, on_progress=quiet)


def arrays(flight: Run) -> list[NDArray[Any]]:
    return [np.load(path, allow_pickle=False) for path in flight.outputs]


def plainly(path: Path, feeds: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Outputs of an ONNX graph whose nodes are run one by one, in float between their Q/DQ pairs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return [session.run(None, {session.get_inputs()[0].name: feed})[0] for feed in feeds]


def exact(job: BuildJob) -> list[NDArray[Any]]:
    """Outputs of the float network, scores in the order (1, h, w, C)."""
    feeds = [np.load(path) for path in images(job)]
    if job.contract.layout == "NHWC":
        feeds = [np.ascontiguousarray(feed.transpose(0, 3, 1, 2)) for feed in feeds]
    outputs = plainly(job.onnx, feeds)
    return [o.transpose(0, 2, 3, 1) if o.ndim == 4 and job.contract.layout == "NHWC" else o for o in outputs]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildJob, CompiledModel]:
    """One network of full size logits, quantised."""
    job = a_job(tmp_path_factory.mktemp("built"), network("logits"))
    return job, build(job)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildJob, CompiledModel]:
    """The same in float."""
    job = a_job(tmp_path_factory.mktemp("converted"), network("logits"), recipe="fp32")
    made = ORT.convert(job, on_progress=quiet)
    assert made is not None
    return job, made


def test_a_build_makes_every_file(built: tuple[BuildJob, CompiledModel]) -> None:
    job, made = built
    assert made.files == (
        File("model.qdq.onnx", "qdq-onnx"),
        File("model.ort", "ort", ships=True),
        File("required_operators_and_types.config", "ort-config"),
    )
    assert {p.name for p in made.folder.iterdir()} == {f.path for f in made.files}
    assert [s.name for s in made.steps] == ["quantise", "convert"]
    assert all(s.seconds > 0 and s.peak_bytes > 1 << 20 for s in made.steps)
    for file in made.files:
        assert str(job.space.scratch.parent).encode() not in (made.folder / file.path).read_bytes()
    onnx.checker.check_model(str(made.folder / "model.qdq.onnx"))
    npu: Any = made.facts["npu"]
    assert 0 < npu["nnapi"]["supported"] <= npu["nnapi"]["nodes"]
    assert "nothing was run" in npu["note"]


def test_the_list_of_operators_is_that_of_the_file(built: tuple[BuildJob, CompiledModel]) -> None:
    _, made = built
    lines = (made.folder / "required_operators_and_types.config").read_text().splitlines()
    assert [line[0] for line in lines].count("#") == 1
    listed = "\n".join(lines)
    assert all(node.op in listed for node in nodes(made.folder / "model.ort"))
    assert '"uint8_t"' in listed
    assert '"float"' not in listed


def test_raw_pixels_are_the_quantised_input(built: tuple[BuildJob, CompiledModel]) -> None:
    job, made = built
    source: Any = made.facts["input"]
    assert (source["dtype"], source["shape"]) == ("uint8", [1, HEIGHT, WIDTH, 3])
    assert (source["scale"], source["zero_point"], source["pixel_factor"]) == (1 / 128, 128, 1)
    pixels = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1).repeat(3, axis=2)
    assert (to_integers(job.contract.normalise(pixels), source) == pixels).all()
    session = onnxruntime.InferenceSession(str(made.folder / "model.ort"))
    for role, value in (("input", session.get_inputs()[0]), ("output", session.get_outputs()[0])):
        facts: Any = made.facts[role]
        assert (facts["name"], facts["shape"]) == (value.name, value.shape)
        assert value.type == "tensor(uint8)"


def test_the_file_says_how_to_feed_it(built: tuple[BuildJob, CompiledModel]) -> None:
    job, made = built
    stored = onnxruntime.InferenceSession(str(made.folder / "model.ort")).get_modelmeta()
    told = json.loads(stored.custom_metadata_map[METADATA_KEY])
    expected = {**job.description, "input": made.facts["input"], "output": made.facts["output"]}
    assert told == expected
    qdq = onnx.load(made.folder / "model.qdq.onnx")
    assert {p.key: json.loads(p.value) for p in qdq.metadata_props} == {METADATA_KEY: expected}


def test_nothing_is_left_in_float(built: tuple[BuildJob, CompiledModel]) -> None:
    _, made = built
    found = nodes(made.folder / "model.ort")
    ops = {node.op for node in found}
    assert {"QLinearConv", "QLinearAdd", "QLinearConcat", "QLinearAveragePool", "Resize", "Split"} == ops
    assert not any(node.floats for node in found)
    assert made.facts["outside"] == []
    assert made.facts["nodes"] == len(found)


def test_what_runs_is_what_the_file_lists(built: tuple[BuildJob, CompiledModel], tmp_path: Path) -> None:
    job, made = built
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    session = onnxruntime.InferenceSession(str(made.folder / "model.ort"), options)
    source: Any = made.facts["input"]
    session.run(None, {source["name"]: to_integers(np.load(images(job)[0]), source)})
    events = json.loads(Path(session.end_profiling()).read_text())
    ran = [e["args"]["op_name"] for e in events if e["name"].endswith("_kernel_time")]
    assert sorted(ran) == sorted(node.op for node in nodes(made.folder / "model.ort"))


def test_it_computes_what_the_quantised_graph_says(built: tuple[BuildJob, CompiledModel]) -> None:
    job, made = built
    flight = run(made, job)
    source: Any = made.facts["input"]
    result: Any = made.facts["output"]
    feeds = [to_integers(np.load(path), source) for path in images(job)]
    expected = [to_floats(o, result) for o in plainly(made.folder / "model.qdq.onnx", feeds)]
    found = arrays(flight)
    assert {(o.dtype, o.shape) for o in found} == {(np.dtype(np.float32), (1, HEIGHT, WIDTH, CLASSES))}
    steps = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True)) / result["scale"]
    assert steps < 3.5
    same = [(a.argmax(3) == b.argmax(3)).mean() for a, b in zip(found, exact(job), strict=True)]
    assert np.mean(same) > 0.95
    assert flight.facts["outside"] == []
    assert str(flight.facts["precision"]).startswith("int8 weights, uint8 activations")
    assert flight.steps[0].seconds > 0


def test_it_sees_the_image(built: tuple[BuildJob, CompiledModel], tmp_path: Path) -> None:
    """A negated image gives another map: the agreement above is not that of constants."""
    job, made = built
    first = images(job)[0]
    np.save(tmp_path / "negated.npy", -np.load(first))
    plain, other = arrays(run(made, job, (first, tmp_path / "negated.npy")))
    assert (plain.argmax(3) == other.argmax(3)).mean() < 0.9


def test_the_manifest_is_enough(built: tuple[BuildJob, CompiledModel], tmp_path: Path) -> None:
    job, made = built
    shutil.copytree(made.folder, tmp_path / "moved")
    again = CompiledModel(tmp_path / "moved", made.files, (), json.loads(json.dumps(made.facts)))
    before, after = (arrays(run(what, job)) for what in (made, again))
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


def test_conversion_loses_nothing(converted: tuple[BuildJob, CompiledModel]) -> None:
    job, made = converted
    flight = run(made, job)
    for found, expected in zip(arrays(flight), exact(job), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert flight.facts["precision"] == "float32"
    assert flight.facts["outside"] == []
    assert made.facts["input"]["scale"] is None  # type: ignore[index]  # facts are of any kind


def test_fp32_keeps_what_was_converted(converted: tuple[BuildJob, CompiledModel]) -> None:
    job, made = converted
    kept = build(job, made)
    assert kept.folder != made.folder
    assert (kept.folder / "model.ort").read_bytes() == (made.folder / "model.ort").read_bytes()
    assert kept.facts == made.facts


def test_fp16_is_refused(converted: tuple[BuildJob, CompiledModel]) -> None:
    job, made = converted
    with pytest.raises(SpecError, match=r"^recipe fp16: [^\n]* use w8a8 or fp32$"):
        build(replace(job, recipe=load_spec(QuantRecipe, "fp16")), made)


def test_class_maps_come_out_as_integers(make_job: Callable[..., BuildJob]) -> None:
    job = make_job(network("classmap"), output="classmap")
    made = build(job)
    result: Any = made.facts["output"]
    assert (result["dtype"], result["scale"], result["zero_point"]) == ("int32", None, None)
    assert made.facts["outside"] == []
    found = arrays(run(made, job))
    assert {(o.dtype, o.shape) for o in found} == {(np.dtype(np.int32), (1, HEIGHT, WIDTH))}
    assert np.mean([(a == b).mean() for a, b in zip(found, exact(job), strict=True)]) > 0.95


def test_a_network_of_raw_bytes_keeps_them_exact(make_job: Callable[..., BuildJob]) -> None:
    before = """
        floats = Cast<to = 1>(raw)
        mean = Constant<value_float = 128.0>()
        scale = Constant<value_float = 0.0078125>()
        centred = Sub(floats, mean)
        image = Mul(centred, scale)
    """
    model = network("lowres", image="uint8", before=before)
    model.graph.input[0].name = "raw"
    job = make_job(model, dtype="uint8", output="lowres", layout="NCHW")
    made = build(job)
    source: Any = made.facts["input"]
    assert (source["dtype"], source["scale"], source["zero_point"]) == ("uint8", 1 / 128, 128)
    assert (source["shape"], source["pixel_factor"]) == ([1, 3, HEIGHT, WIDTH], 1)
    assert made.facts["outside"] == []
    found = arrays(run(made, job))
    assert {o.shape for o in found} == {(1, CLASSES, HEIGHT // 2, WIDTH // 2)}
    same = [(a.argmax(1) == b.argmax(1)).mean() for a, b in zip(found, exact(job), strict=True)]
    assert np.mean(same) > 0.9


def test_convolutions_in_float_are_refused(make_job: Callable[..., BuildJob]) -> None:
    job = make_job(network("lowres"), recipe="w8a16", output="lowres")
    with pytest.raises(
        RefusedError, match=r"^model.ort: Conv '[^\n]+ would compute in float, 4 of \d+ nodes"
    ):
        build(job)


def test_what_stays_in_float_is_a_fallback(make_job: Callable[..., BuildJob]) -> None:
    model = network("lowres", after="last = ConvTranspose<strides = [2, 2]>(lowres, grow_w)")
    model.graph.output[0].CopyFrom(
        onnx.helper.make_tensor_value_info("last", onnx.TensorProto.FLOAT, (1, CLASSES, HEIGHT, WIDTH))
    )
    values = np.random.default_rng(3).normal(0, 0.3, (CLASSES, CLASSES, 2, 2)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, "grow_w"))
    job = make_job(model, output="logits")
    made = build(job)
    outcome = ORT.run(made, job.contract, images(job), space=job.space, on_progress=quiet)
    fallback: Any = outcome.facts["fallback"]
    assert fallback["operators"] == {"ConvTranspose": 1}
    left, whole = HEIGHT * WIDTH * CLASSES**2, sum(map(macs, graph_nodes(read_model(job.onnx))))
    assert fallback["macs_share"] == pytest.approx(left / whole, abs=1e-4)
    assert 0.01 < fallback["time_share"] < 1
    found = [np.load(path) for path in outcome.outputs]
    same = [(a.argmax(3) == b.argmax(3)).mean() for a, b in zip(found, exact(job), strict=True)]
    assert np.mean(same) > 0.9


def test_a_small_operator_in_float_is_named(make_job: Callable[..., BuildJob]) -> None:
    model = network("lowres", after="wrong = Erf(lowres) last = Relu(wrong)")
    model.graph.output[0].name = "last"
    made = build(make_job(model, output="lowres"))
    outside: Any = made.facts["outside"]
    assert any(name.startswith("Erf") for name in outside)
    assert not any(name.startswith("Conv") for name in outside)


def test_blocked_layouts_are_refused(converted: tuple[BuildJob, CompiledModel], tmp_path: Path) -> None:
    job, made = converted
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.log_severity_level = 3
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(job.onnx), options, ["CPUExecutionProvider"])
    with pytest.raises(RefusedError, match=r"^model.ort: [^\n]+ in the blocked NCHWc layout"):
        run(replace(made, folder=tmp_path), job, images(job)[:1])
    require_portable(nodes(made.folder / "model.ort"), file="model.ort")


@pytest.mark.parametrize(
    ("node", "says"),
    [
        pytest.param(
            Node("Odd", "a", "vendor.own", floats=False), "Odd 'a' are no operators of", id="domain"
        ),
        pytest.param(
            Node("FusedConv", "", "com.microsoft", floats=True), "FusedConv would compute", id="float"
        ),
    ],
)
def test_gates_say_no(node: Node, says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        require_portable((node,), file="f")
        require_integers((node,), file="f")


def test_time_gives_every_run(built: tuple[BuildJob, CompiledModel]) -> None:
    job, made = built
    timing = ORT.time(made, TimingConfig(images(job)[0], warm_up=2, runs=5, threads=1), space=job.space)
    assert len(timing.seconds) == 5
    assert all(0 < seconds < 5 for seconds in timing.seconds)
    assert 1 << 20 < timing.peak_bytes < 400 << 20
    assert timing.facts["threads"] == 1
    assert timing.hot_spots == ()


def test_a_damaged_file_is_one_line(built: tuple[BuildJob, CompiledModel], tmp_path: Path) -> None:
    job, made = built
    for held in (b"", (made.folder / "model.ort").read_bytes()[:2000]):
        (tmp_path / "model.ort").write_bytes(held)
        with pytest.raises(ToolError) as error:
            run(replace(made, folder=tmp_path), job)
        assert "\n" not in str(error.value)


def test_a_truncated_graph_is_one_line(make_job: Callable[..., BuildJob]) -> None:
    job = make_job(network("lowres"), output="lowres")
    job.onnx.write_bytes(job.onnx.read_bytes()[:700])
    with pytest.raises(ModelError, match=r"^net.onnx: cannot be read or run: [^\n]+$"):
        ORT.convert(job, on_progress=quiet)
    with pytest.raises(ModelError, match=r"^net.onnx: cannot be read or run: [^\n]+$"):
        build(job)


def test_a_crash_is_one_line(built: tuple[BuildJob, CompiledModel], tmp_path: Path) -> None:
    job, made = built
    many = tuple(tmp_path / f"{index}.npy" for index in range(2000))
    for path in many:
        path.symlink_to(images(job)[0])
    me = os.getpid()

    def shoot(_share: float, _text: str) -> None:
        for child in Path(f"/proc/{me}/task/{me}/children").read_text().split():
            if b"mosaic_deploy.workers.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGSEGV)

    with pytest.raises(ToolError, match=r"^ort-run: killed by SIGSEGV[^\n]*ort-run[^\n]*\.log$"):
        ORT.run(made, job.contract, many, space=job.space, on_progress=shoot)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        pytest.param({"_SESSION_S": 0.01, "_IMAGE_S": 0.0}, "ran longer than 0.01 s", id="time"),
        pytest.param({"_MEMORY": 1 << 20}, "needed more than 0.0 GiB", id="memory"),
    ],
)
def test_limits_hold(
    built: tuple[BuildJob, CompiledModel],
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, float],
    says: str,
) -> None:
    job, made = built
    for name, value in limits.items():
        monkeypatch.setattr(backend, name, value)
    with pytest.raises(ToolError, match=rf"^ort-run: {says}[^\n]*$"):
        run(made, job)
    with pytest.raises(ToolError, match=rf"^ort-time: {says}[^\n]*$"):
        ORT.time(made, TimingConfig(images(job)[0], 1, 1, 1), space=job.space)


def test_a_cut_sum_is_noticed() -> None:
    """x86 needs VNNI to sum products of bytes exactly; ARM always does."""
    flags = Path("/proc/cpuinfo").read_text()
    sums_exactly = platform.machine() != "x86_64" or "avx512_vnni" in flags or "avx_vnni" in flags
    assert _saturates() is not sums_exactly


def test_there_are_no_options() -> None:
    target = load_spec(TargetSpec, "ort-mobile")
    assert ORT.missing() is None
    assert ORT.check_options(target, {}) == {}
    assert ORT.devices({}) == ()
    assert ORT.flags == ()
    with pytest.raises(SpecError, match="ort has no option 'arch'"):
        ORT.check_options(target, {"arch": "75"})


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-6, 1.0], ids=str)
def test_small_numbers_keep_their_levels(make_job: Callable[..., BuildJob], size: float) -> None:
    model = network(
        "lowres",
        after="""
            shy = Mul(lowres, size)
            even = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(shy)
            back = Mul(even, larger)
            last = Add(back, lowres)
        """,
    )
    model.graph.output[0].name = "last"
    for name, value in {"size": size, "larger": 3 / size if size else 1.0}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.float32), name))
    job = make_job(model, output="lowres")
    found = arrays(run(build(job), job))
    same = [(a.argmax(3) == b.argmax(3)).mean() for a, b in zip(found, exact(job), strict=True)]
    assert np.mean(same) > 0.9
