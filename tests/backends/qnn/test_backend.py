"""The real Hexagon compiler and simulator, on networks small enough to take seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.protocol import BuildJob, CompiledModel, Run, TimingConfig, WorkDir
from mosaic_deploy.backends.qnn import backend
from mosaic_deploy.backends.qnn.compile import compile_context
from mosaic_deploy.backends.qnn.quantize import quantize
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.errors import ModelError, RefusedError, SpecError, ToolError
from mosaic_deploy.files import sha256_of
from mosaic_deploy.quantize.boundary import to_floats, to_integers
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.metadata import METADATA_KEY
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.workers.call import GIB, Call, call, call_all

HEIGHT, WIDTH, CLASSES = 48, 64, 5
QNN = load_backend("qnn")

pytestmark = pytest.mark.skipif(QNN.missing() is not None, reason=str(QNN.missing()))

# A stem, a depthwise convolution, a pooled and a split branch, a skip: every kind of node that MOSAIC has.
BODY = """
  s = Conv<strides = [2, 2], pads = [0, 0, 1, 1]>(image, stem_w, stem_b)
  skip = Relu(s)
  d = Conv<group = 8, pads = [1, 1, 1, 1]>(skip, deep_w, deep_b)
  deep = Relu(d)
  left, right = Split<axis = 1, num_outputs = 2>(deep)
  pooled = AveragePool<kernel_shape = [6, 8], strides = [6, 8]>(left)
  grown = Resize<mode = "linear", coordinate_transformation_mode = "half_pixel">(pooled, , , grown_size)
  both = Concat<axis = 1>(grown, right)
  p = Conv(both, low_w, low_b)
  low = Relu(p)
  high = Conv(skip, high_w, high_b)
  lowres = Add(low, high)
"""
HEADS = {
    "lowres": "",
    "logits": """
  logits = Resize<mode = "linear", coordinate_transformation_mode = "half_pixel">(lowres, , , full_size)
""",
    "classmap": """
  full = Resize<mode = "linear", coordinate_transformation_mode = "half_pixel">(lowres, , , full_size)
  ids = ArgMax<axis = 1, keepdims = 0>(full)
  classmap = Cast<to = 6>(ids)
""",
}
OUTPUTS = {
    "lowres": f"float[1, {CLASSES}, {HEIGHT // 2}, {WIDTH // 2}] lowres",
    "logits": f"float[1, {CLASSES}, {HEIGHT}, {WIDTH}] logits",
    "classmap": f"int32[1, {HEIGHT}, {WIDTH}] classmap",
}


def network(head: str, *, image: str = "float", before: str = "", after: str = "") -> onnx.ModelProto:
    """A network with random weights; ``before`` and ``after`` are more nodes of the text."""
    nodes = before + BODY + HEADS[head] + after
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 18]>
        net ({image}[1, 3, {HEIGHT}, {WIDTH}] image) => ({OUTPUTS[head]}) {{ {nodes} }}
    """)
    rng = np.random.default_rng(1)
    shapes = {
        "stem": (8, 3, 3, 3),
        "deep": (8, 1, 3, 3),
        "low": (CLASSES, 8, 1, 1),
        "high": (CLASSES, 8, 1, 1),
    }
    constants: dict[str, NDArray[Any]] = {
        "grown_size": np.array([1, 4, HEIGHT // 2, WIDTH // 2], np.int64),
        "full_size": np.array([1, CLASSES, HEIGHT, WIDTH], np.int64),
    }
    for name, shape in shapes.items():
        spread = 1.5 / np.sqrt(np.prod(shape[1:]))
        constants[f"{name}_w"] = rng.normal(0, spread, shape).astype(np.float32)
        constants[f"{name}_b"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)
    used = {name for node in model.graph.node for name in node.input}
    arrays = [onnx.numpy_helper.from_array(a, n) for n, a in constants.items() if n in used]
    model.graph.initializer.extend(arrays)
    return model


def pictures(count: int) -> list[NDArray[np.uint8]]:
    """Smooth random images, which exercise all of the range."""
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (count, HEIGHT // 8, WIDTH // 8, 3)).astype(np.uint8)
    return list(coarse.repeat(8, axis=1).repeat(8, axis=2))


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., BuildJob]:
    """Return a maker of jobs around a network."""
    return lambda model, **changes: a_job(tmp_path, model, **changes)


def a_job(
    folder: Path, model: onnx.ModelProto, *, recipe: str = "w8a8", arch: str = "75", **contract: Any
) -> BuildJob:
    output = model.graph.output[0].name
    names = tuple(f"class {i}" for i in range(CLASSES))
    contract = {"palette": ((0, 0, 0),) * CLASSES, "output": output, **contract}
    what = Contract(height=HEIGHT, width=WIDTH, classes=names, **contract)
    target = load_spec(TargetSpec, "dsp")
    target = target.model_copy(update={"options": QNN.check_options(target, {"arch": arch})})
    for name in ("scratch", "logs", "images", "out"):
        (folder / name).mkdir()
    paths = []
    for index, picture in enumerate(pictures(6)):
        paths.append(folder / "images" / f"{index}.npy")
        np.save(paths[-1], what.prepare(picture))
    onnx.save(model, folder / "net.onnx")
    return BuildJob(
        onnx=folder / "net.onnx",
        layout=what.layout,
        contract=what,
        target=target,
        recipe=load_spec(QuantRecipe, recipe),
        calibration=tuple(paths[:3]),
        description={"model": "net"},
        space=WorkDir(folder / "scratch", folder / "logs"),
    )


def images(job: BuildJob) -> tuple[Path, ...]:
    return tuple(sorted((job.space.scratch.parent / "images").iterdir()))


def build(job: BuildJob) -> CompiledModel:
    return QNN.build(job, None, job.space.scratch.parent / "out", on_progress=quiet)


def run(made: CompiledModel, job: BuildJob, inputs: tuple[Path, ...], scratch: Path | None = None) -> Run:
    space = WorkDir(scratch or job.space.scratch, job.space.logs)
    return QNN.run(made, job.contract, inputs, space=space, on_progress=quiet)


def quiet(share: float, text: str) -> None:
    assert 0 <= share <= 1


def on_the_cpu(path: Path, feeds: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Outputs of a graph on ONNX Runtime's CPU kernels."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return [session.run(None, {"image": feed})[0] for feed in feeds]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildJob, CompiledModel]:
    """One network of full size logits, compiled for two architectures that compute differently."""
    job = a_job(tmp_path_factory.mktemp("built"), network("logits"), arch="68,v75")
    return job, build(job)


def test_the_same_build_gives_the_same_bytes(built: tuple[BuildJob, CompiledModel], tmp_path: Path) -> None:
    """In another folder, by other processes, at another time."""
    _, made = built
    again = build(a_job(tmp_path, network("logits"), arch="68,v75"))
    assert {f.path: sha256_of(made.folder / f.path) for f in made.files} == {
        f.path: sha256_of(again.folder / f.path) for f in again.files
    }


def test_a_build_makes_every_file(built: tuple[BuildJob, CompiledModel]) -> None:
    job, made = built
    assert [(f.path, f.kind) for f in made.files] == [
        ("model.qdq.onnx", "qdq-onnx"),
        ("v68/model_ctx.onnx", "context-onnx"),
        ("v68/model_ctx_qnn.bin", "context-binary"),
        ("v75/model_ctx.onnx", "context-onnx"),
        ("v75/model_ctx_qnn.bin", "context-binary"),
        ("model.dlc", "dlc"),
    ]
    assert all((made.folder / f.path).stat().st_size > 100 for f in made.files)
    written = {str(p.relative_to(made.folder)) for p in made.folder.rglob("*") if p.is_file()}
    assert written == {f.path for f in made.files}
    assert [s.name for s in made.steps] == ["quantise", "compile v68", "compile v75", "dlc"]
    assert all(s.seconds > 0 and s.peak_bytes > 1 << 20 and "2." in s.version for s in made.steps[1:])
    assert made.facts["archs"] == [68, 75]
    cost: Any = made.facts["cost"]
    assert [(row["device"], row["name"]) for row in cost][:2] == [("v68", "DDR read"), ("v68", "DDR written")]
    moved = {(row["device"], row["name"]): row["value"] for row in cost}
    for arch in ("v68", "v75"):  # both ends of the network at least, and no more than there is
        assert HEIGHT * WIDTH * 3 <= moved[arch, "DDR read"] < 1 << 20
        assert HEIGHT * WIDTH * CLASSES <= moved[arch, "DDR written"] < 1 << 20
        assert "[V:onnxruntime" not in (job.space.logs / f"qnn-compile-{arch}.log").read_text()
    for file in made.files:
        assert str(job.space.scratch.parent).encode() not in (made.folder / file.path).read_bytes()


def test_the_files_describe_themselves(built: tuple[BuildJob, CompiledModel]) -> None:
    job, made = built
    for name in ("model.qdq.onnx", "v68/model_ctx.onnx", "v75/model_ctx.onnx"):
        stated = {
            entry.key: entry.value
            for entry in onnx.load(made.folder / name, load_external_data=False).metadata_props
        }
        facts = json.loads(stated[METADATA_KEY])
        assert facts.items() >= dict(job.description).items()
        assert facts["input"]["scale"] == made.facts["input"]["scale"]  # type: ignore[index]
    onnx.checker.check_model(onnx.load(made.folder / "model.qdq.onnx"))


def test_raw_pixels_are_the_quantised_input(built: tuple[BuildJob, CompiledModel]) -> None:
    job, made = built
    source: Any = made.facts["input"]
    assert source["dtype"] == "uint8"
    assert source["shape"] == [1, 3, HEIGHT, WIDTH]
    assert (source["scale"], source["zero_point"], source["pixel_factor"]) == (1 / 128, 128, 1)
    assert source["pixel_shift"] == 0
    pixels = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1).repeat(3, axis=2)
    assert (to_integers(job.contract.normalise(pixels), source) == pixels).all()
    graph = onnx.load(made.folder / "model.qdq.onnx").graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_a_mean_between_two_pixels_loses_none(make_job: Callable[..., BuildJob]) -> None:
    job = make_job(network("lowres"), mean=(127.5,) * 3, scale=(127.5,) * 3)
    request: dict[str, Any] = {
        "onnx": str(job.onnx),
        "out": str(job.space.scratch / "q.onnx"),
        "calibration": [str(path) for path in job.calibration],
        "recipe": job.recipe.model_dump(mode="json", by_alias=True),
        "pixels": [127.5, 127.5],
        "threads": 1,
    }
    function = quantize
    outcome = call(Call(function, request, 60, 4 * GIB, job.space.logs / "log", job.space.scratch))
    source = outcome.result["input"]
    assert (source["zero_point"], source["pixel_factor"], source["pixel_shift"]) == (128, 1, 0.5)
    pixels = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1).repeat(3, axis=2)
    assert (to_integers(job.contract.normalise(pixels), source) == pixels).all()


def test_the_simulator_agrees_with_the_quantised_graph(built: tuple[BuildJob, CompiledModel]) -> None:
    job, made = built
    flight = run(made, job, images(job))
    source: Any = made.facts["input"]
    result: Any = made.facts["output"]
    feeds = [to_integers(np.load(path), source) for path in images(job)]
    expected = [to_floats(o, result) for o in on_the_cpu(made.folder / "model.qdq.onnx", feeds)]
    found = [np.load(path) for path in flight.outputs]
    assert {o.dtype for o in found} == {np.dtype(np.float32)}
    assert {o.shape for o in found} == {(1, CLASSES, HEIGHT, WIDTH)}
    steps = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True)) / result["scale"]
    same = [(a.argmax(1) == b.argmax(1)).mean() for a, b in zip(found, expected, strict=True)]
    assert steps < 4.5
    assert np.mean(same) > 0.97
    simulation: Any = flight.facts["simulation"]
    assert simulation["v75"]["images"] == len(images(job))
    assert simulation["v75"]["agreement"] == 1
    assert simulation["v68"]["agreement"] > 0.97
    assert [s.name for s in flight.steps] == ["simulate v75", "simulate v68"]
    if simulation["v68"]["images"] == len(images(job)):
        assert len(flight.others["v68"]) == len(images(job))


def test_the_simulator_sees_the_image(built: tuple[BuildJob, CompiledModel]) -> None:
    """A negated image gives another map: the agreement above is not that of constants."""
    job, made = built
    first = images(job)[0]
    negated = job.space.scratch / "negated.npy"
    np.save(negated, -np.load(first))
    newest = replace(made, facts={**made.facts, "archs": [75]})
    flight = run(newest, job, (first, negated), job.space.scratch / "again")
    plain, other = (np.load(path) for path in flight.outputs)
    assert (plain.argmax(1) == other.argmax(1)).mean() < 0.9
    compared = {"images": 2, "agreement": 1.0, "largest_difference_steps": 0}
    assert flight.facts["simulation"] == {"v75": compared}


def test_the_simulators_hot_spots_are_no_latency(built: tuple[BuildJob, CompiledModel]) -> None:
    job, made = built
    timing = QNN.time(made, TimingConfig(images(job)[0], warm_up=1, runs=1, threads=1), space=job.space)
    assert timing.seconds == ()
    assert timing.facts["ran_on"] == "Hexagon simulator, v75 context binary"
    assert "latency" in str(timing.facts["note"])
    shares = [share for _, share in timing.hot_spots]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    assert len(shares) >= 5
    assert all("OpId" not in name and "cycles" not in name for name, _ in timing.hot_spots)


def test_a_profile_has_a_time_limit(
    built: tuple[BuildJob, CompiledModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, made = built
    monkeypatch.setattr(backend, "_PROFILE_S", 0.01)
    with pytest.raises(ToolError, match=r"^profile: ran longer than 0.01 s[^\n]*$"):
        QNN.time(made, TimingConfig(images(job)[0], warm_up=1, runs=1, threads=1), space=job.space)


@pytest.mark.parametrize("recipe", [pytest.param("fp16", id="fp16"), pytest.param("fp32", id="fp32")])
def test_floats_are_refused(built: tuple[BuildJob, CompiledModel], recipe: str) -> None:
    job, _ = built
    with pytest.raises(SpecError, match=rf"^recipe {recipe} keeps floats: [^\n]*use w8a8 or w8a16$"):
        build(replace(job, recipe=load_spec(QuantRecipe, recipe)))


def test_a_damaged_binary_is_one_line(built: tuple[BuildJob, CompiledModel], tmp_path: Path) -> None:
    job, made = built
    shutil.copytree(made.folder, tmp_path / "copy")
    binary = tmp_path / "copy" / "v75" / "model_ctx_qnn.bin"
    binary.write_bytes(binary.read_bytes()[:1000])
    broken = replace(made, folder=tmp_path / "copy", facts={**made.facts, "archs": [75]})
    with pytest.raises(ToolError) as error:
        run(broken, job, images(job)[:1], tmp_path)
    assert "\n" not in str(error.value)
    assert "model_ctx.onnx" in str(error.value) or "simulate v75" in str(error.value)


def test_sixteen_bits_are_closer_than_eight(
    built: tuple[BuildJob, CompiledModel], make_job: Callable[..., BuildJob]
) -> None:
    job = make_job(network("logits"), recipe="w8a16")
    fine = build(job)
    source: Any = fine.facts["input"]
    assert (source["dtype"], source["scale"], source["zero_point"]) == ("uint16", 1 / 32768, 32768)
    assert source["pixel_factor"] == 256
    pixels = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1).repeat(3, axis=2)
    assert (to_integers(job.contract.normalise(pixels), source) == 256 * pixels.astype(int)).all()
    exact = on_the_cpu(job.onnx, [np.load(path) for path in images(job)])
    eight = run(built[1], built[0], images(job), job.space.scratch / "8")
    sixteen = run(fine, job, images(job))
    errors = [
        float(np.mean([np.abs(np.load(p) - e).mean() for p, e in zip(flight.outputs, exact, strict=True)]))
        for flight in (eight, sixteen)
    ]
    assert errors[1] < 0.6 * errors[0]


def test_class_maps_come_out_as_integers(make_job: Callable[..., BuildJob]) -> None:
    job = make_job(network("classmap"))
    made = build(job)
    result: Any = made.facts["output"]
    assert (result["dtype"], result["scale"], result["zero_point"]) == ("int32", None, None)
    exact = on_the_cpu(job.onnx, [np.load(path) for path in images(job)])
    found = [np.load(path) for path in run(made, job, images(job)).outputs]
    assert {o.dtype for o in found} == {np.dtype(np.int32)}
    assert np.mean([(a == b).mean() for a, b in zip(found, exact, strict=True)]) > 0.95


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
    made = build(make_job(model, dtype="uint8"))
    source: Any = made.facts["input"]
    assert (source["dtype"], source["scale"], source["zero_point"]) == ("uint8", 1.0, 0)
    assert source["pixel_factor"] == 1


def test_an_operator_that_hexagon_lacks_is_named(make_job: Callable[..., BuildJob]) -> None:
    model = network("lowres", after="wrong = Erf(lowres) last = Relu(wrong)")
    model.graph.output[0].name = "last"
    with pytest.raises(RefusedError, match=r"^the Hexagon compiler does not take Erf '[^\n]*$"):
        build(make_job(model, output="lowres"))


def test_a_truncated_file_is_one_line(make_job: Callable[..., BuildJob]) -> None:
    job = make_job(network("lowres"))
    job.onnx.write_bytes(job.onnx.read_bytes()[:700])
    with pytest.raises(ModelError, match=r"^net.onnx: cannot be read or run: [^\n]+$"):
        build(job)


def test_not_a_number_is_one_line(make_job: Callable[..., BuildJob]) -> None:
    job = make_job(network("lowres"))
    np.save(job.calibration[0], np.full_like(np.load(job.calibration[0]), np.nan))
    with pytest.raises(ModelError, match=r"^net.onnx: tensor 'image' holds NaN"):
        build(job)


def test_the_compiler_knows_what_the_target_says(
    built: tuple[BuildJob, CompiledModel], tmp_path: Path
) -> None:
    known = {69, 73, 79, 81}
    assert known | {68, 75} == set(load_spec(TargetSpec, "dsp").options["known_archs"])  # type: ignore[arg-type]
    jobs = [
        Call(
            compile_context,
            {"qdq": str(built[1].folder / "model.qdq.onnx"), "arch": arch, "out": str(tmp_path / str(arch))},
            timeout_s=120,
            memory_bytes=4 * GIB,
            log=tmp_path / "log",
            cwd=tmp_path / "scratch",
        )
        for arch in sorted(known)
    ]
    assert len(call_all(jobs, parallel=2)) == 4
    unknown = replace(jobs[0], request={**jobs[0].request, "arch": 66, "out": str(tmp_path / "66")})
    with pytest.raises(ToolError, match="asked for Hexagon v66, the compiler made v0"):
        call(unknown)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"arch": "76"}, "architecture '76' .did you mean '7[59]'.*known: 68, 69", id="unknown"),
        pytest.param({"arch": "68,,75"}, "architecture ''", id="empty"),
        pytest.param({"arch": "75;rm"}, "architecture '75;rm'", id="no-number"),
        pytest.param({"archs": "75"}, "no option 'archs' .did you mean 'arch'", id="no-option"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, str], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        QNN.check_options(load_spec(TargetSpec, "dsp"), options)


def test_options_replace_the_targets() -> None:
    target = load_spec(TargetSpec, "dsp")
    assert QNN.check_options(target, {})["archs"] == (68, 73, 75)
    assert QNN.check_options(target, {"arch": "v81, 69,81"})["archs"] == (69, 81)
    odd = target.model_copy(update={"options": {**target.options, "arch": 75}})
    with pytest.raises(SpecError, match=r"unknown option 'arch' .did you mean 'archs'"):
        QNN.check_options(odd, {})
