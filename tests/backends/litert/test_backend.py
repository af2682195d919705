"""The real onnx2tf, ai-edge-quantizer and LiteRT, on networks small enough to take seconds."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from mosaic_deploy.backends import reference
from mosaic_deploy.backends.litert import child_calls, flatbuffer, rewrites
from mosaic_deploy.backends.litert import run as running
from mosaic_deploy.backends.litert.gpu import accelerator
from mosaic_deploy.backends.litert.xnnpack import feed
from mosaic_deploy.backends.protocol import (
    BuildJob,
    CompiledModel,
    MixedBackend,
    RankingTerms,
    Run,
    TimingConfig,
    WorkDir,
)
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.errors import ModelError, RefusedError, SpecError, ToolError
from mosaic_deploy.quantize.mixed import Mixed
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.metadata import METADATA_KEY
from mosaic_deploy.specs.recipe import Calibration, QuantRecipe
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.workers.call import GIB, Call, Outcome, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject
from tests.backends.qnn.test_backend import CLASSES, HEIGHT, WIDTH, network, pictures

TFLITE = load_backend("tflite")
NORMALISED = """
    floats = Cast<to = 1>(raw)
    mean = Constant<value_float = 128.0>()
    scale = Constant<value_float = 0.0078125>()
    centred = Sub(floats, mean)
    image = Mul(centred, scale)
"""

pytestmark = pytest.mark.skipif(TFLITE.missing() is not None, reason=str(TFLITE.missing()))


def in_nhwc(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with an NHWC input, as converted TensorFlow networks have it."""
    graph = model.graph
    image = graph.input[0].name
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == image:
                node.input[index] = "inner"
    graph.node.insert(0, helper.make_node("Transpose", [image], ["inner"], perm=[0, 3, 1, 2]))
    for dim, size in zip(graph.input[0].type.tensor_type.shape.dim, (1, HEIGHT, WIDTH, 3), strict=True):
        dim.dim_value = size
    return model


def a_job(
    folder: Path, model: onnx.ModelProto, *, target: str = "cpu", recipe: str = "w8a8", **contract: Any
) -> BuildJob:
    layout: Any = "NCHW" if model.graph.input[0].type.tensor_type.shape.dim[1].dim_value == 3 else "NHWC"
    output = contract.pop("output", model.graph.output[0].name)
    names = tuple(f"class {i}" for i in range(CLASSES))
    contract = {"palette": ((0, 0, 0),) * CLASSES, "output": output, "layout": "NHWC", **contract}
    what = Contract(height=HEIGHT, width=WIDTH, classes=names, **contract)
    spec = load_spec(TargetSpec, target)
    for name in ("scratch", "logs", "images", "out"):
        (folder / name).mkdir(parents=True)
    paths = []
    for index, picture in enumerate(pictures(5)):
        paths.append(folder / "images" / f"{index}.npy")
        np.save(paths[-1], what.prepare(picture))
    onnx.save(model, folder / "out" / "model.onnx")
    return BuildJob(
        onnx=folder / "out" / "model.onnx",
        layout=layout,
        contract=what,
        target=spec.model_copy(update={"options": TFLITE.check_options(spec, {})}),
        recipe=load_spec(QuantRecipe, recipe),
        calibration=tuple(paths[:3]),
        description={"model": "net"},
        space=WorkDir(folder / "scratch", folder / "logs"),
    )


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., BuildJob]:
    """Return a maker of jobs around a network."""
    return lambda model, **changes: a_job(tmp_path / "job", model, **changes)


def images(job: BuildJob) -> tuple[Path, ...]:
    return tuple(sorted((job.space.scratch.parent / "images").iterdir()))


def build(job: BuildJob, converted: CompiledModel | None = None) -> CompiledModel:
    return TFLITE.build(job, converted, job.space.scratch.parent / "out", on_progress=quiet)


def run(made: CompiledModel, job: BuildJob) -> Run:
    return TFLITE.run(made, job.contract, images(job), space=job.space, on_progress=quiet)


def quiet(share: float, text: str) -> None:
    assert 0 <= share <= 1


def maps(job: BuildJob, outputs: tuple[Path, ...]) -> list[NDArray[np.uint8]]:
    return [job.contract.class_map(np.load(path), (HEIGHT, WIDTH)) for path in outputs]


def expected(job: BuildJob) -> list[NDArray[np.uint8]]:
    """Class maps of the float network on ONNX Runtime."""
    folder = job.space.scratch / "expected"
    folder.mkdir(exist_ok=True)
    inputs, outputs = [], tuple(folder / path.name for path in images(job))
    for path in images(job):
        inputs.append(folder / f"in-{path.name}")
        image = np.load(path)
        np.save(
            inputs[-1], image if job.layout == "NHWC" else np.ascontiguousarray(image.transpose(0, 3, 1, 2))
        )
    request: dict[str, object] = {
        "onnx": str(job.onnx),
        "inputs": [str(path) for path in inputs],
        "outputs": [str(path) for path in outputs],
    }
    reference.predict(request, quiet)
    return maps(job, outputs)


def agreement(job: BuildJob, made: Run) -> float:
    pairs = zip(maps(job, made.outputs), expected(job), strict=True)
    return float(np.mean([(a == b).mean() for a, b in pairs]))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildJob, CompiledModel, CompiledModel]:
    """Full-size logits for the cpu in int8, and the float network that they come from."""
    job = a_job(tmp_path_factory.mktemp("built") / "job", network("logits"))
    converted = TFLITE.convert(job, on_progress=quiet)
    assert converted is not None
    return job, converted, build(job, converted)


def test_a_build_makes_one_file(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    job, converted, made = built
    assert [(f.path, f.kind, f.ships) for f in made.files] == [("model.tflite", "tflite", True)]
    assert {p.name for p in made.folder.iterdir()} == {"model.tflite", "model.onnx"}
    steps = [s.name for s in (*converted.steps, *made.steps)]
    assert steps == ["onnx2tf", "quantise", "run without a delegate"]
    assert all(s.seconds > 0 and s.peak_bytes > 1 << 20 for s in (*converted.steps, *made.steps))
    assert str(job.space.scratch.parent).encode() not in (made.folder / "model.tflite").read_bytes()
    json.dumps(made.facts, allow_nan=False)


def test_the_float_file_is_the_float_network(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    job, converted, _ = built
    result = run(converted, job)
    assert agreement(job, result) > 0.9999
    assert result.facts["precision"] == "float32"
    assert result.facts["outside"] == []
    assert converted.facts["difference"] < 1e-5  # type: ignore[operator]


def test_integers_agree_and_all_of_them_run_on_xnnpack(
    built: tuple[BuildJob, CompiledModel, CompiledModel],
) -> None:
    job, _, made = built
    result = run(made, job)
    assert agreement(job, result) > 0.97
    assert result.facts["precision"] == "int8"
    assert result.facts["outside"] == []
    assert result.facts["nodes"] > 8  # type: ignore[operator]
    found = [np.load(path) for path in result.outputs]
    assert {(o.dtype.name, o.shape) for o in found} == {("float32", (1, HEIGHT, WIDTH, CLASSES))}


def test_raw_pixels_are_the_quantised_input(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    job, _, made = built
    source: Any = made.facts["input"]
    assert (source["dtype"], source["shape"]) == ("int8", [1, HEIGHT, WIDTH, 3])
    assert (source["scale"], source["zero_point"]) == (1 / 128, 0)
    assert (source["pixel_factor"], source["pixel_offset"], source["pixel_shift"]) == (1, -128, 0)
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 1, -1, 1).repeat(3, axis=3)
    grid = {**source, "shape": [1, 1, 256, 3]}
    assert (feed(job.contract.normalise(pixels), grid) == pixels.astype(int) - 128).all()


def test_a_mean_between_two_pixels_loses_none(make_job: Callable[..., BuildJob]) -> None:
    job = make_job(network("lowres"), mean=(127.5,) * 3, scale=(127.5,) * 3)
    source: Any = build(job).facts["input"]
    assert (source["zero_point"], source["pixel_offset"], source["pixel_shift"]) == (0, -128, 0.5)
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 1, -1, 1).repeat(3, axis=3)
    grid = {**source, "shape": [1, 1, 256, 3]}
    assert (feed(job.contract.normalise(pixels), grid) == pixels.astype(int) - 128).all()


def test_the_description_is_inside_and_constants_are_aligned(
    built: tuple[BuildJob, CompiledModel, CompiledModel],
) -> None:
    _, _, made = built
    path = made.folder / "model.tflite"
    text = flatbuffer.read_metadata(path, METADATA_KEY)
    assert text is not None
    inside = json.loads(text)
    assert inside["model"] == "net"
    assert inside["input"]["scale"] == 1 / 128
    assert inside["output"] == made.facts["output"]
    assert flatbuffer.read_metadata(path, "another") is None
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(path.read_bytes(), 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    places = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]
    assert len(places) > 8
    assert all(place % flatbuffer.ALIGNMENT == 0 for place in places)


@pytest.mark.parametrize(
    "kind", [pytest.param("lowres", id="lowres"), pytest.param("classmap", id="classmap")]
)
@pytest.mark.parametrize("layout", [pytest.param("NCHW", id="nchw"), pytest.param("NHWC", id="nhwc")])
def test_every_output_and_layout(make_job: Callable[..., BuildJob], kind: str, layout: str) -> None:
    model = network(kind)
    job = make_job(in_nhwc(model) if layout == "NHWC" else model)
    assert job.layout == layout
    converted = TFLITE.convert(job, on_progress=quiet)
    assert converted is not None
    source: Any = converted.facts["input"]
    assert source["shape"] == [1, HEIGHT, WIDTH, 3]
    assert agreement(job, run(converted, job)) > 0.9999
    made = run(build(job, converted), job)
    assert agreement(job, made) > 0.95
    assert made.facts["outside"] == (["ARG_MAX 'classmap'"] if kind == "classmap" else [])


def test_what_is_lifted_is_found_in_the_converted_file(make_job: Callable[..., BuildJob]) -> None:
    """Tensors are known there by what they hold: the ranking's extents must be those of calibration."""
    job = make_job(network("lowres"))
    assert isinstance(TFLITE, MixedBackend)
    ranked = TFLITE.rank(job, RankingTerms(images(job)[3:], (0.5, 1.0)), on_progress=quiet)
    floats = []
    steps: Any = ranked["steps"]
    for step in steps:
        spans = tuple((low, high) for low, high in step["spans"])
        mixed = replace(job, mixed=Mixed(tuple(step["sixteen"]), spans))
        made = build(mixed, TFLITE.convert(job, on_progress=quiet))
        model = flatbuffer.load(made.folder / "model.tflite")
        kinds = [flatbuffer.kind(model, op) for op in model.subgraphs[0].operators]
        whole = [kind for kind in kinds if kind not in ("QUANTIZE", "DEQUANTIZE")]
        floats.append((int(made.facts["left_in_float"]), len(whole)))  # type: ignore[call-overload]
    (some, _), (every, operators) = floats
    assert 0 < some < every == operators
    with pytest.raises(ModelError, match="holds none of the 1 tensors"):
        build(replace(job, mixed=Mixed(("other",), ((-900.0, 900.0),))))


def test_another_network_is_not_taken(make_job: Callable[..., BuildJob], tmp_path: Path) -> None:
    """The comparison after onnx2tf says no when it gets a layout wrong that shapes do not show."""
    from mosaic_deploy.backends.litert import convert as conversion

    job = make_job(network("lowres"))
    made = TFLITE.convert(job, on_progress=quiet)
    assert made is not None
    model = flatbuffer.load(made.folder / "model.tflite")
    other = next(t for t in model.subgraphs[0].tensors if list(t.shape) == [8, 3, 3, 3])
    weights = np.asarray(model.buffers[other.buffer].data, np.uint8).view(np.float32).reshape(8, 3, 3, 3)
    model.buffers[other.buffer].data = (
        np.ascontiguousarray(weights.transpose(0, 2, 1, 3)).view(np.uint8).ravel()
    )
    flatbuffer.save(model, tmp_path / "turned.tflite")
    request = {"image": str(images(job)[0]), "layout": "NCHW", "shape": [1, HEIGHT, WIDTH, 3]}
    assert conversion._compare(job.onnx, made.folder / "model.tflite", request, None, least=0) < 1e-5
    with pytest.raises(ModelError, match="after onnx2tf it is another network"):
        conversion._compare(job.onnx, tmp_path / "turned.tflite", request, None, least=0)


@pytest.mark.parametrize("recipe", [pytest.param("w8a8", id="int8"), pytest.param("fp32", id="float")])
def test_a_network_of_raw_bytes(make_job: Callable[..., BuildJob], recipe: str) -> None:
    model = network("lowres", image="uint8", before=NORMALISED)
    model.graph.input[0].name = "raw"
    job = make_job(model, recipe=recipe, dtype="uint8")
    converted = TFLITE.convert(job, on_progress=quiet)
    assert converted is not None
    assert agreement(job, run(converted, job)) > 0.9999
    made = build(job, converted)
    assert agreement(job, run(made, job)) > 0.95
    source: Any = made.facts["input"]
    if recipe == "w8a8":
        # The normalisation is the input's grid now: pixel 128 is 0, and a step 1/128.
        assert (source["scale"], source["zero_point"], source["pixel_offset"]) == (1 / 128, 0, -128)
        pixels = np.arange(256, dtype=np.uint8).reshape(1, 1, -1, 1).repeat(3, axis=3)
        shifted = feed(pixels, {**source, "shape": [1, 1, 256, 3]})
        assert (shifted == pixels.astype(int) - 128).all()
    else:
        assert source["dtype"] == "float32"
        assert source["pixels"] == [0.0, 1.0]


def test_half_weights_are_half_the_size_and_run_whole(make_job: Callable[..., BuildJob]) -> None:
    job = make_job(network("logits"), recipe="fp16")
    converted = TFLITE.convert(job, on_progress=quiet)
    assert converted is not None
    made = build(job, converted)
    model = flatbuffer.load(made.folder / "model.tflite")
    halves = [t for t in model.subgraphs[0].tensors if flatbuffer.dtype(t) == "FLOAT16"]
    assert len(halves) >= 6
    result = run(made, job)
    assert result.facts["outside"] == []
    assert result.facts["precision"] == "float32"
    assert agreement(job, result) > 0.999


def test_a_weight_beyond_float16_is_one_line(make_job: Callable[..., BuildJob]) -> None:
    model = network("lowres")
    for index, tensor in enumerate(model.graph.initializer):
        if tensor.name == "low_b":
            changed = onnx.numpy_helper.to_array(tensor) + np.float32(1e5)
            model.graph.initializer[index].CopyFrom(onnx.numpy_helper.from_array(changed, "low_b"))
        if tensor.name == "stem_w":
            changed = onnx.numpy_helper.to_array(tensor) * np.float32(1e6)
            model.graph.initializer[index].CopyFrom(onnx.numpy_helper.from_array(changed, "stem_w"))
    with pytest.raises(ModelError, match=r"^weight '[^\n]*' does not fit into float16: build fp32$"):
        build(make_job(model, recipe="fp16"))


def test_the_calibration_is_the_recipes(make_job: Callable[..., BuildJob], tmp_path: Path) -> None:
    job = make_job(network("lowres"))
    converted = TFLITE.convert(job, on_progress=quiet)
    assert converted is not None
    exact = [np.load(path) for path in run(converted, job).outputs[:3]]
    spread = max(float(o.max()) for o in exact) - min(float(o.min()) for o in exact)
    covered = {}
    methods: tuple[Any, ...] = ("minmax", "percentile", "entropy")
    for method in methods:
        calibration = Calibration(method=method, percentile=90.0, samples=3)
        recipe = job.recipe.model_copy(update={"calibration": calibration})
        result: Any = TFLITE.build(replace(job, recipe=recipe), converted, tmp_path, on_progress=quiet).facts[
            "output"
        ]
        covered[method] = 255 * result["scale"] / spread
    assert covered["minmax"] == pytest.approx(1, abs=1e-3)
    assert 0.05 < covered["percentile"] < 0.9
    assert 0.05 < covered["entropy"] < 0.98


def test_what_stays_in_float_is_refused_where_it_must_not(make_job: Callable[..., BuildJob]) -> None:
    model = network("lowres", after="wrong = Exp(lowres) last = Relu(wrong)")
    model.graph.output[0].name = "last"
    with pytest.raises(RefusedError, match=r"^ai-edge-quantizer has no integers for EXP '[^\n]*$"):
        build(with_options(make_job(model, output="lowres"), floats_stay=False))


def test_what_has_no_integers_stays_in_float(make_job: Callable[..., BuildJob]) -> None:
    model = network("lowres", after="wrong = Exp(lowres) last = Relu(wrong)")
    model.graph.output[0].name = "last"
    job = make_job(model, output="lowres")
    result = run(build(job), job)
    floats: Any = result.facts["floats"]
    assert floats["EXP"] == 1
    assert result.facts["precision"] == "int8, partly float32"
    assert agreement(job, result) > 0.95


def test_what_xnnpack_takes_in_float_alone_stays_in_float(make_job: Callable[..., BuildJob]) -> None:
    model = network("lowres", after="soft = HardSwish(lowres) last = Relu(soft)")
    model.graph.output[0].name = "last"
    job = make_job(model, output="lowres")
    result = run(build(job), job)
    floats: Any = result.facts["floats"]
    assert floats["HARD_SWISH"] == 1
    assert "CONV_2D" not in floats
    assert result.facts["fallback"] == {"operators": {}, "macs_share": 0.0, "time_share": 0.0}
    assert agreement(job, result) > 0.95


def test_what_xnnpack_leaves_falls_back_and_is_timed(make_job: Callable[..., BuildJob]) -> None:
    """Without the rewrite of its pool, and with all of it in integers."""
    job = with_options(make_job(network("lowres")), convolve_pools=False, floats_stay=False)
    facts: Any = run(build(job), job).facts
    assert [name.partition(" ")[0] for name in facts["outside"]] == ["AVERAGE_POOL_2D"]
    assert facts["fallback"]["operators"] == {"AVERAGE_POOL_2D": 1}
    assert facts["fallback"]["macs_share"] == 0
    assert 0 < facts["fallback"]["time_share"] < 1


def test_a_product_that_falls_back_is_counted(tmp_path: Path) -> None:
    """XNNPACK takes this convolution, so that no time is another's; its arithmetic counts."""
    from mosaic_deploy.backends.litert import fallback
    from mosaic_deploy.backends.litert.gpu import precision

    precision.write(tmp_path / "sum.tflite")
    values = np.zeros((1, 1, 2, 1024), np.float32)
    left = fallback.measure(tmp_path / "sum.tflite", {0}, values, threads=1)
    assert left == {"operators": {"CONV_2D": 1}, "macs_share": 1.0, "time_share": 0.0}
    model = flatbuffer.load(tmp_path / "sum.tflite")
    assert fallback.macs(model, model.subgraphs[0].operators[0]) == 2 * 1024


def with_options(job: BuildJob, **options: bool) -> BuildJob:
    changed = {**job.target.options, **options}
    return replace(job, target=job.target.model_copy(update={"options": changed}))


def test_time_is_measured(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    job, _, made = built
    timing = TFLITE.time(made, TimingConfig(images(job)[0], warm_up=1, runs=4, threads=1), space=job.space)
    assert len(timing.seconds) == 4
    assert all(0 < s < 1 for s in timing.seconds)
    assert timing.peak_bytes > 1 << 20
    assert timing.facts["threads"] == 1
    assert "XNNPACK" in str(timing.facts["ran_on"])


def test_evenly_parted_slices_only(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    _, converted, _ = built
    model = flatbuffer.load(converted.folder / "model.tflite")
    kinds = [flatbuffer.kind(model, op) for op in model.subgraphs[0].operators]
    assert "SPLIT" in kinds
    assert not {"SLICE", "PAD", "TRANSPOSE"} & {*kinds}
    assert rewrites.tidy(model) == 0  # once is enough


# What goes wrong.


def test_a_truncated_file_is_one_line(make_job: Callable[..., BuildJob]) -> None:
    job = make_job(network("lowres"))
    job.onnx.write_bytes(job.onnx.read_bytes()[:700])
    with pytest.raises(ModelError, match=r"^model.onnx: cannot be read: [^\n]+$"):
        build(job)


def test_not_a_number_is_one_line(
    built: tuple[BuildJob, CompiledModel, CompiledModel], tmp_path: Path
) -> None:
    job, converted, _ = built
    bad = tmp_path / "bad.npy"
    np.save(bad, np.full_like(np.load(job.calibration[0]), np.nan))
    with pytest.raises(
        ModelError, match=r"^model.tflite: tensor '[^\n]*' holds NaN or infinity on .* bad.npy"
    ):
        TFLITE.build(replace(job, calibration=(bad,)), converted, tmp_path, on_progress=quiet)


def test_a_damaged_tflite_is_one_line(
    built: tuple[BuildJob, CompiledModel, CompiledModel], tmp_path: Path
) -> None:
    job, _, made = built
    (tmp_path / "model.tflite").write_bytes((made.folder / "model.tflite").read_bytes()[:999])
    with pytest.raises((ModelError, ToolError)) as error:
        run(replace(made, folder=tmp_path), job)
    assert "\n" not in str(error.value)
    assert "model.tflite" in str(error.value) or "litert-xnnpack" in str(error.value)


def suicide(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """What a crash of native code is, in the child."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def test_a_crash_is_one_line(
    built: tuple[BuildJob, CompiledModel, CompiledModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _, made = built
    plain = call

    def crashing(what: Call, *, on_progress: OnProgress | None = None) -> Outcome:
        return plain(replace(what, function=suicide), on_progress=on_progress)

    monkeypatch.setattr(running, "call", crashing)
    with pytest.raises(ToolError, match=r"^litert-xnnpack-predict: killed by SIGSEGV[^\n]*log: [^\n]*$"):
        run(made, job)


def test_a_hang_is_one_line(
    built: tuple[BuildJob, CompiledModel, CompiledModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _, made = built
    monkeypatch.setattr(running, "PREDICT_S", 0.01)
    with pytest.raises(ToolError, match=r"^litert-xnnpack-predict: ran longer than 0.01 s[^\n]*$"):
        run(made, job)


def test_too_much_memory_is_one_line(
    built: tuple[BuildJob, CompiledModel, CompiledModel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job, converted, _ = built
    monkeypatch.setattr(child_calls, "MEMORY", GIB // 64)
    with pytest.raises(ToolError, match=r"^litert-quantize-integers: needed more than 0.0 GiB[^\n]*$"):
        TFLITE.build(job, converted, tmp_path, on_progress=quiet)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param(
            {"floats_stays": True}, "unknown option 'floats_stays' .did you mean 'floats_stay'", id="unknown"
        ),
        pytest.param({"accelerator": "npu"}, "no accelerator 'npu'", id="accelerator"),
        pytest.param(
            {"compiler_table": "corals"}, "no compiler table 'corals' .did you mean 'coral'", id="table"
        ),
    ],
)
def test_wrong_options_are_refused(changes: dict[str, Any], says: str) -> None:
    target = load_spec(TargetSpec, "edgetpu")
    with pytest.raises(SpecError, match=says):
        TFLITE.check_options(target.model_copy(update={"options": {**target.options, **changes}}), {})


def test_the_command_line_adds_no_option() -> None:
    assert TFLITE.flags == ()
    with pytest.raises(SpecError, match="unknown option 'arch'"):
        TFLITE.check_options(load_spec(TargetSpec, "cpu"), {"arch": "75"})


def test_a_missing_driver_stops_the_gpu_alone_and_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "missing", lambda: "no driver: apt-get install one")
    target = load_spec(TargetSpec, "gpu")
    assert TFLITE.missing_for(TFLITE.check_options(target, {})) == "no driver: apt-get install one"
    assert TFLITE.missing_for(TFLITE.check_options(load_spec(TargetSpec, "cpu"), {})) is None


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        pytest.param("w8a16", "only 8-bit TFLite is supported", id="sixteen-bits"),
        pytest.param("symmetric", "asymmetric activations", id="symmetric"),
    ],
)
def test_a_recipe_that_would_not_be_kept_is_refused(
    built: tuple[BuildJob, CompiledModel, CompiledModel], recipe: str, says: str
) -> None:
    job = built[0]
    wanted = load_spec(QuantRecipe, "int8" if recipe == "symmetric" else recipe)
    if recipe == "symmetric":
        grid: Any = wanted.activations
        wanted = wanted.model_copy(update={"activations": grid.model_copy(update={"symmetric": True})})
    with pytest.raises(SpecError, match=says):
        TFLITE.convert(replace(job, recipe=wanted), on_progress=quiet)


def test_an_nchw_target_is_refused(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    job = built[0]
    contract = job.contract.model_copy(update={"layout": "NCHW"})
    with pytest.raises(SpecError, match="TFLite's input is NHWC"):
        TFLITE.convert(replace(job, contract=contract), on_progress=quiet)
