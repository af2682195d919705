"""The real OpenVINO and NNCF, on networks small enough to take seconds."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.openvino import backend
from mosaic_deploy.backends.openvino.precision import Arithmetic, Node, judge, require_everywhere
from mosaic_deploy.backends.protocol import BuildJob, CompiledModel, TimingConfig, WorkDir
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.errors import DataError, MosaicError, RefusedError, SpecError, ToolError
from mosaic_deploy.graph.facts import nodes
from mosaic_deploy.graph.macs import macs
from mosaic_deploy.graph.reader.read import read_model
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.metadata import METADATA_KEY
from mosaic_deploy.specs.recipe import Calibration, IntegerFormat, QuantRecipe
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.workers.call import GIB, Call, call
from tests.backends.qnn.test_backend import CLASSES, HEIGHT, WIDTH, network, pictures

OPENVINO = load_backend("openvino")

pytestmark = pytest.mark.skipif(OPENVINO.missing() is not None, reason=str(OPENVINO.missing()))

BYTES = """
    floats = Cast<to = 1>(raw)
    mean = Constant<value_float = 128.0>()
    scale = Constant<value_float = 0.0078125>()
    centred = Sub(floats, mean)
    image = Mul(centred, scale)
"""


def quiet(share: float, text: str) -> None:
    assert 0 <= share <= 1


def a_job(folder: Path, model: onnx.ModelProto, *, recipe: str = "int8", **contract: Any) -> BuildJob:
    names = tuple(f"class {i}" for i in range(CLASSES))
    stated = {"palette": ((0, 0, 0),) * CLASSES, "output": model.graph.output[0].name, **contract}
    what = Contract(height=HEIGHT, width=WIDTH, classes=names, **stated)
    for name in ("scratch", "logs", "images", "out"):
        (folder / name).mkdir(parents=True)
    paths = []
    for index, picture in enumerate(pictures(6)):
        paths.append(folder / "images" / f"{index}.npy")
        np.save(paths[-1], what.prepare(picture))
    onnx.save(model, folder / "net.onnx")
    return BuildJob(
        onnx=folder / "net.onnx",
        layout="NCHW",
        contract=what,
        target=load_spec(TargetSpec, "openvino"),
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
    return tuple(sorted((job.onnx.parent / "images").iterdir()))


def build(job: BuildJob, converted: CompiledModel | None = None) -> CompiledModel:
    return OPENVINO.build(job, converted, job.onnx.parent / "out", on_progress=quiet)


def run(job: BuildJob, built: CompiledModel) -> list[NDArray[Any]]:
    outcome = OPENVINO.run(built, job.contract, images(job), space=job.space, on_progress=quiet)
    return [np.load(path) for path in outcome.outputs]


def on_the_cpu(job: BuildJob, paths: tuple[Path, ...]) -> list[NDArray[Any]]:
    """What ONNX Runtime computes from the ONNX."""
    import onnxruntime as ort

    session = ort.InferenceSession(str(job.onnx), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [session.run(None, {name: np.load(path)})[0] for path in paths]


def agreement(job: BuildJob, found: list[NDArray[Any]], exact: list[NDArray[Any]]) -> float:
    maps = [[job.contract.class_map(o, (HEIGHT, WIDTH)) for o in outputs] for outputs in (found, exact)]
    return float(np.mean([(a == b).mean() for a, b in zip(*maps, strict=True)]))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildJob, CompiledModel, CompiledModel]:
    """A network of full size logits: the job, the float conversion, and int8."""
    job = a_job(tmp_path_factory.mktemp("built"), network("logits"))
    converted = OPENVINO.convert(job, on_progress=quiet)
    assert converted is not None
    return job, converted, build(job, converted)


def test_conversion_alone_loses_nothing(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    job, converted, _ = built
    outcome = OPENVINO.run(converted, job.contract, images(job), space=job.space, on_progress=quiet)
    assert outcome.facts["precision"] == "float32"
    assert outcome.facts["outside"] == []
    found, exact = [np.load(path) for path in outcome.outputs], on_the_cpu(job, images(job))
    assert {o.dtype for o in found} == {np.dtype(np.float32)}
    assert max(float(np.abs(a - b).max()) for a, b in zip(found, exact, strict=True)) < 1e-4
    assert agreement(job, found, exact) >= 0.9999
    assert job.space.scratch in converted.folder.parents


def test_a_build_makes_one_network_of_two_files(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    job, converted, made = built
    assert [(f.path, f.kind, f.ships, f.part_of) for f in made.files] == [
        ("model.xml", "openvino-xml", True, "model"),
        ("model.bin", "openvino-bin", True, "model"),
    ]
    assert {p.name for p in made.folder.iterdir()} == {"model.xml", "model.bin"}
    assert (made.folder / "model.bin").stat().st_size < (converted.folder / "model.bin").stat().st_size
    assert [(s.name, s.tool) for s in made.steps] == [("quantise", "nncf")]
    assert all(s.seconds > 0 and s.peak_bytes > 1 << 20 and s.version for s in made.steps)
    for file in made.files:
        assert str(job.onnx.parent).encode() not in (made.folder / file.path).read_bytes()
    source: Any = made.facts["input"]
    assert source == {
        "name": "image",
        "shape": [1, 3, HEIGHT, WIDTH],
        "dtype": "float32",
        "scale": None,
        "zero_point": None,
    }


def test_the_description_is_inside_the_file(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    job, _, made = built
    found = ElementTree.parse(made.folder / "model.xml").getroot().find(f"rt_info/{METADATA_KEY}")
    assert found is not None
    stated = {**job.description, "input": made.facts["input"], "output": made.facts["output"]}
    assert json.loads(found.attrib["value"]) == stated


def test_int8_is_int8_and_close_to_float(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    job, _, made = built
    outcome = OPENVINO.run(made, job.contract, images(job), space=job.space, on_progress=quiet)
    assert outcome.facts["precision"] == "int8"
    outside: Any = outcome.facts["outside"]
    count: Any = outcome.facts["nodes"]
    assert "logits" in outside
    assert len(outside) < count / 2
    fallback: Any = outcome.facts["fallback"]
    assert fallback["macs_share"] == 0
    assert 0 < fallback["time_share"] < 1
    assert "Convolution" not in fallback["operators"]
    reasons: Any = outcome.facts["outside_because"]
    assert {"Interpolate"} <= set(reasons) <= {"Interpolate", "Reorder", "Subgraph"}
    assert outcome.name == "CPU"
    found, exact = [np.load(path) for path in outcome.outputs], on_the_cpu(job, images(job))
    assert agreement(job, found, exact) > 0.95
    assert any((a != b).any() for a, b in zip(found, exact, strict=True))
    assert agreement(job, found, exact[1:] + exact[:1]) < 0.9, "the image matters"


def test_the_first_levels_are_the_pixels(
    built: tuple[BuildJob, CompiledModel, CompiledModel], tmp_path: Path
) -> None:
    _, _, made = built
    assert made.facts["pixel_grid"] is True
    function = first_range
    asked = Call(function, {"xml": str(made.folder / "model.xml")}, 60, 4 * GIB, tmp_path / "log", tmp_path)
    assert call(asked).result == {"range": [-1.0, 127 / 128, -1.0, 127 / 128], "levels": 256}


def first_range(request: dict[str, Any], on_progress: Any) -> dict[str, Any]:
    """The range of the quantiser at the input (in a child process)."""
    from mosaic_deploy.backends.openvino.ir import constant, read

    for node in read(Path(request["xml"])).get_ordered_ops():
        if (
            node.get_type_name() == "FakeQuantize"
            and node.input_value(0).get_node().get_friendly_name() == "image"
        ):
            ends = [float(constant(node, index).reshape(-1)[0]) for index in (1, 2, 3, 4)]
            return {"range": ends, "levels": node.get_attributes()["levels"]}
    return {}


def test_the_same_build_gives_the_same_bytes(
    built: tuple[BuildJob, CompiledModel, CompiledModel], tmp_path: Path
) -> None:
    job, converted, made = built
    again = OPENVINO.build(job, converted, tmp_path, on_progress=quiet)
    for file in made.files:
        assert (again.folder / file.path).read_bytes() == (made.folder / file.path).read_bytes()


def test_it_runs_from_the_manifest_alone(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    job, _, made = built
    facts = json.loads(json.dumps(made.facts))
    trial = TimingConfig(images(job)[0], warm_up=1, runs=4, threads=1)
    timing = OPENVINO.time(CompiledModel(made.folder, made.files, (), facts), trial, space=job.space)
    assert len(timing.seconds) == 4
    assert all(0 < second < 5 for second in timing.seconds)
    assert timing.peak_bytes > 1 << 20
    assert timing.facts["threads"] == 1


@pytest.mark.parametrize(
    ("head", "recipe"),
    [
        pytest.param("classmap", "w8a8", id="classmap-percentile"),
        pytest.param("lowres", "fp16", id="lowres-fp16"),
        pytest.param("lowres", "fp32", id="lowres-fp32"),
    ],
)
def test_every_output_and_recipe(make_job: Callable[..., BuildJob], head: str, recipe: str) -> None:
    job = make_job(network(head), recipe=recipe)
    made = build(job)
    assert [s.name for s in made.steps] == ["convert", "quantise" if recipe == "w8a8" else "write"]
    outcome = OPENVINO.run(made, job.contract, images(job), space=job.space, on_progress=quiet)
    assert outcome.facts["precision"] == ("int8" if recipe == "w8a8" else "float32")
    found, exact = [np.load(path) for path in outcome.outputs], on_the_cpu(job, images(job))
    assert {o.shape for o in found} == {o.shape for o in exact}
    assert {o.dtype for o in found} == {o.dtype for o in exact}
    assert agreement(job, found, exact) > (0.95 if recipe == "w8a8" else 0.998)
    if recipe == "fp16":
        assert made.facts["weights"] == "float16"
        weights = sum(onnx.numpy_helper.to_array(i).nbytes for i in onnx.load(job.onnx).graph.initializer)
        assert (made.folder / "model.bin").stat().st_size < 0.6 * weights


def test_raw_bytes_in_another_order(make_job: Callable[..., BuildJob]) -> None:
    """A uint8 input with its normalisation in the graph, and NHWC files from an NCHW graph."""
    model = network("lowres", image="uint8", before=BYTES)
    model.graph.input[0].name = "raw"
    job = make_job(model, dtype="uint8", layout="NHWC")
    made = build(job)
    source: Any = made.facts["input"]
    assert (source["dtype"], source["shape"]) == ("uint8", [1, HEIGHT, WIDTH, 3])
    assert made.facts["pixel_grid"] is False
    turned = []
    for path in images(job):
        turned.append(job.space.scratch / path.name)
        np.save(turned[-1], np.load(path).transpose(0, 3, 1, 2))
    assert agreement(job, run(job, made), on_the_cpu(job, tuple(turned))) > 0.95


@pytest.mark.parametrize(
    ("arithmetic", "node", "says"),
    [
        pytest.param("float32", Node("c", "Convolution", "bf16"), "Convolution 'c' in bf16", id="bf16"),
        pytest.param("float32", Node("r", "Interpolate", "f16"), "Interpolate 'r' in f16", id="f16"),
        pytest.param("int8", Node("c", "Convolution", "f32"), "Convolution 'c' in f32", id="convolution"),
        pytest.param("int8", Node("m", "FullyConnected", "bf16"), "FullyConnected 'm'", id="product"),
    ],
)
def test_another_precision_is_refused(arithmetic: Arithmetic, node: Node, says: str) -> None:
    good = Node("fine", "Convolution", "f32" if arithmetic == "float32" else "u8")
    assert judge([good], arithmetic=arithmetic)["outside"] == []
    with pytest.raises(RefusedError, match=f"^OpenVINO computes {says}[^\n]*, not in {arithmetic}$"):
        require_everywhere([good, node], arithmetic=arithmetic)
    if arithmetic == "int8":
        assert judge([good, node], arithmetic=arithmetic)["outside"] == [node.name]
    with pytest.raises(RefusedError, match=f"^OpenVINO computes {says}[^\n]*, not in {arithmetic}$"):
        judge([node], arithmetic=arithmetic)


def test_what_stays_in_float_is_a_fallback(make_job: Callable[..., BuildJob]) -> None:
    after = """
        packed = SpaceToDepth<blocksize = 2>(lowres)
        mixed = Conv(packed, packed_w)
        last = DepthToSpace<blocksize = 2, mode = "DCR">(mixed)
    """
    model = network("lowres", after=after)
    model.graph.output[0].name = "last"
    packed = 4 * CLASSES
    values = np.random.default_rng(3).normal(0, 0.2, (packed, packed, 1, 1)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, "packed_w"))
    job = make_job(model, output="lowres")
    made = build(job)
    outcome = OPENVINO.run(made, job.contract, images(job), space=job.space, on_progress=quiet)
    fallback: Any = outcome.facts["fallback"]
    assert fallback["operators"].items() >= {"Convolution": 1, "SpaceToDepth": 1}.items()
    left, whole = HEIGHT // 4 * (WIDTH // 4) * packed**2, sum(map(macs, nodes(read_model(job.onnx))))
    assert fallback["macs_share"] == pytest.approx(left / whole, abs=1e-4)
    assert 0.01 < fallback["time_share"] < 1
    found = [np.load(path) for path in outcome.outputs]
    assert agreement(job, found, on_the_cpu(job, images(job))) > 0.95


def test_a_device_that_says_nothing_is_refused() -> None:
    with pytest.raises(RefusedError, match="does not say in which precision"):
        judge([], arithmetic="float32")


def test_a_float_network_is_no_int8(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    job, converted, _ = built
    claimed = replace(converted, facts={**converted.facts, "arithmetic": "int8"})
    with pytest.raises(RefusedError, match=r"Convolution '[^\n]* in f32.* and 1 more, not in int8$"):
        OPENVINO.run(claimed, job.contract, images(job)[:1], space=job.space, on_progress=quiet)


@pytest.mark.skipif("avx512_bf16" not in Path("/proc/cpuinfo").read_text(), reason="no bfloat16 in this CPU")
def test_bfloat16_is_found_out(
    built: tuple[BuildJob, CompiledModel, CompiledModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trap: what the plugin does by itself on such a processor."""
    job, converted, _ = built
    monkeypatch.setattr(backend, "_HINT", None)
    with pytest.raises(RefusedError, match=r"in bf16.* not in float32$"):
        OPENVINO.run(converted, job.contract, images(job)[:1], space=job.space, on_progress=quiet)


def test_further_devices_run_too(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    job, _, made = built
    two = replace(made, facts={**made.facts, "devices": ["CPU", "HETERO:CPU"]})
    outcome = OPENVINO.run(two, job.contract, images(job)[:2], space=job.space, on_progress=quiet)
    assert list(outcome.others) == ["HETERO:CPU"]
    for ours, theirs in zip(outcome.outputs, outcome.others["HETERO:CPU"], strict=True):
        assert np.array_equal(np.load(ours), np.load(theirs))


def test_a_missing_device_is_one_line(built: tuple[BuildJob, CompiledModel, CompiledModel]) -> None:
    job, _, made = built
    elsewhere = replace(made, facts={**made.facts, "devices": ["NPU.9"]})
    with pytest.raises(ToolError, match=r"^OpenVINO finds no NPU.9 on this machine, only CPU[^\n]*$"):
        OPENVINO.run(elsewhere, job.contract, images(job), space=job.space, on_progress=quiet)


def test_an_unknown_operator_is_named(make_job: Callable[..., BuildJob]) -> None:
    model = network("lowres", after="last = MaxUnpool<kernel_shape = [1, 1]>(lowres, lowres)")
    model.graph.output[0].name = "last"
    job = make_job(model, output="lowres")
    with pytest.raises(RefusedError, match=r"^net.onnx: OpenVINO does not take MaxUnpool-18$"):
        OPENVINO.convert(job, on_progress=quiet)


@pytest.mark.parametrize("keep", [pytest.param(700, id="truncated"), pytest.param(0, id="empty")])
def test_a_damaged_file_is_one_line(make_job: Callable[..., BuildJob], keep: int) -> None:
    job = make_job(network("lowres"))
    job.onnx.write_bytes(job.onnx.read_bytes()[:keep])
    with pytest.raises(MosaicError, match=r"^net.onnx: OpenVINO cannot read it: [^\n]+$"):
        OPENVINO.convert(job, on_progress=quiet)


def test_a_damaged_artifact_is_one_line(
    built: tuple[BuildJob, CompiledModel, CompiledModel], tmp_path: Path
) -> None:
    job, _, made = built
    xml = (made.folder / "model.xml").read_bytes()
    (tmp_path / "model.xml").write_bytes(xml[: len(xml) // 2])
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(MosaicError, match=r"^model.xml: OpenVINO cannot read it: [^\n]+$"):
        OPENVINO.run(
            replace(made, folder=tmp_path), job.contract, images(job), space=job.space, on_progress=quiet
        )


def test_calibration_must_be_finite_and_there(
    built: tuple[BuildJob, CompiledModel, CompiledModel], tmp_path: Path
) -> None:
    job, converted, _ = built
    with pytest.raises(DataError, match="int8 needs calibration images"):
        OPENVINO.build(replace(job, calibration=()), converted, tmp_path, on_progress=quiet)
    np.save(tmp_path / "nan.npy", np.full((1, 3, HEIGHT, WIDTH), np.nan, np.float32))
    with pytest.raises(DataError, match=r"^calibration image nan.npy holds NaN or infinity$"):
        OPENVINO.build(
            replace(job, calibration=(tmp_path / "nan.npy",)), converted, tmp_path, on_progress=quiet
        )


INT8 = IntegerFormat(bits=8, signed=True, symmetric=True, per_channel=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"calibration": Calibration(method="entropy")}, "no calibration 'e", id="entropy"),
        pytest.param(
            {"activations": IntegerFormat(bits=16, signed=False, symmetric=False)}, "8 bits", id="16-bit"
        ),
        pytest.param(
            {"weights": IntegerFormat(bits=8, signed=False, symmetric=False)}, "signed", id="weights"
        ),
        pytest.param({"activations": INT8}, "one scale per tensor", id="per-channel"),
    ],
)
def test_what_nncf_cannot_do_is_no_recipe(
    built: tuple[BuildJob, CompiledModel, CompiledModel], tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    job = replace(built[0], recipe=built[0].recipe.model_copy(update=changes))
    with pytest.raises(SpecError, match=f"^recipe int8 is not for OpenVINO: .*{says}"):
        OPENVINO.build(job, built[1], tmp_path, on_progress=quiet)


@pytest.mark.parametrize(
    ("own", "asked", "says"),
    [
        pytest.param({"device": "CPU"}, {}, "unknown option 'device' .did you mean 'devices'", id="target"),
        pytest.param({}, {"arch": "75"}, "unknown option 'arch'", id="command-line"),
        pytest.param({"devices": ()}, {}, "a list of OpenVINO's devices", id="empty"),
        pytest.param({"devices": ("cpu",)}, {}, "a list of OpenVINO's devices", id="lower-case"),
    ],
)
def test_wrong_options_are_refused(own: dict[str, Any], asked: dict[str, str], says: str) -> None:
    target = load_spec(TargetSpec, "openvino").model_copy(update={"options": own})
    with pytest.raises(SpecError, match=says):
        OPENVINO.check_options(target, asked)
    assert OPENVINO.check_options(load_spec(TargetSpec, "openvino"), {}) == {"devices": ("CPU",)}


@pytest.mark.parametrize(
    ("limit", "value", "says"),
    [
        pytest.param("_QUANTISE_S", 0.3, "ran longer than 0.3 s", id="time"),
        pytest.param("_QUANTISE_MEMORY", 64 << 20, "needed more than 0.1 GiB", id="memory"),
    ],
)
def test_limits_end_a_build(
    built: tuple[BuildJob, CompiledModel, CompiledModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: float,
    says: str,
) -> None:
    monkeypatch.setattr(backend, limit, value)
    with pytest.raises(ToolError, match=rf"^openvino quantize: {says}[^\n]*openvino-quantize[^\n]*\.log$"):
        OPENVINO.build(built[0], built[1], tmp_path, on_progress=quiet)


def test_a_crash_ends_a_build(built: tuple[BuildJob, CompiledModel, CompiledModel], tmp_path: Path) -> None:
    """The child that calibrates is hit by SIGSEGV when it says how far it is."""

    def strike(share: float, text: str) -> None:
        for children in Path("/proc/self/task").glob("*/children"):
            for pid in children.read_text().split():
                os.kill(int(pid), signal.SIGSEGV)

    with pytest.raises(ToolError, match=r"^openvino quantize: killed by SIGSEGV[^\n]*$"):
        OPENVINO.build(built[0], built[1], tmp_path, on_progress=strike)


def test_nothing_reports_to_its_makers(
    built: tuple[BuildJob, CompiledModel, CompiledModel], tmp_path: Path
) -> None:
    function = loaded
    found = call(Call(function, {}, 60, 4 * GIB, tmp_path / "log", tmp_path)).result["modules"]
    assert "openvino" in found
    assert "nncf" in found
    assert not [name for name in found if name.startswith(("openvino_telemetry", "torch"))]


def loaded(request: dict[str, Any], on_progress: Any) -> dict[str, Any]:
    """The modules that a quantising child has (in a child process)."""
    from mosaic_deploy.backends.openvino.ir import bring_openvino

    bring_openvino()
    import nncf

    assert nncf.__version__
    return {"modules": [name for name in sys.modules if sys.modules.get(name)]}


@pytest.mark.parametrize("size", [0.0, 1e-9, 1.0], ids=str)
def test_tensors_that_hardly_vary_are_calibrated(make_job: Callable[..., BuildJob], size: float) -> None:
    model = network(
        "lowres",
        after="""
            shy = Mul(lowres, size)
            still = Add(shy, one)
            mixed = Conv(still, still_w)
            last = Add(mixed, lowres)
        """,
    )
    model.graph.output[0].name = "last"
    values = {"size": size, "one": 1.0, "still_w": np.eye(CLASSES).reshape(CLASSES, CLASSES, 1, 1)}
    for name, value in values.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.float32), name))
    job = make_job(model, output="lowres")
    assert agreement(job, run(job, build(job)), on_the_cpu(job, images(job))) > 0.95
