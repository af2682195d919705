"""The first convolution's weights: finer than 7 bits, and right on CPUs without VNNI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaic_deploy.backends.openvino.pair_sums import finest_steps
from mosaic_deploy.backends.protocol import BuildJob, CompiledModel
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.workers.call import GIB, Call, call
from tests.backends.openvino.test_backend import a_job, build, quiet
from tests.backends.qnn.test_backend import CLASSES, HEIGHT, WIDTH

OPENVINO = load_backend("openvino")
INT16 = np.iinfo(np.int16)
EIGHT_BITS, SEVEN_BITS = 127, 63.5


@given(seed=st.integers(0, 10_000), channels=st.integers(1, 9), alike=st.floats(0, 1))
def test_no_pair_overflows_and_no_step_is_wider_than_needed(seed: int, channels: int, alike: float) -> None:
    """Channels alike, as the colours of a picture are, are the worst; opposite ones may have all 8 bits."""
    rng = np.random.default_rng(seed)
    weights = alike * rng.normal(size=(6, 1, 3, 3)) + (1 - alike) * rng.normal(size=(6, channels, 3, 3))
    weights[0] = 0
    steps = finest_steps(weights)
    integers = np.round(weights / steps)
    assert np.abs(integers).max() <= EIGHT_BITS
    pairs = [integers[:, at : at + 2].clip(0).sum(axis=1).max() for at in range(0, channels, 2)]
    pairs += [-integers[:, at : at + 2].clip(max=0).sum(axis=1).min() for at in range(0, channels, 2)]
    assert 255 * max(pairs) <= INT16.max
    most = np.abs(weights[1:]).max(axis=(1, 2, 3), keepdims=True)
    assert (steps[1:] >= most / EIGHT_BITS * 0.999).all()
    assert (steps[1:] <= most / SEVEN_BITS * 1.001).all()


def of_bright_edges() -> onnx.ModelProto:
    """A network whose first convolution adds up what its three colours share."""
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 3, {HEIGHT}, {WIDTH}] image) => (float[1, {CLASSES}, {HEIGHT}, {WIDTH}] logits) {{
            stem = Conv<pads = [1, 1, 1, 1]>(image, stem_w, stem_b)
            deep = Relu(stem)
            logits = Conv(deep, head_w)
        }}
    """)
    rng = np.random.default_rng(1)
    values = {
        "stem_w": rng.choice([-0.4, 0.5], (16, 1, 3, 3)) + rng.normal(0, 0.1, (16, 3, 3, 3)),
        "stem_b": rng.normal(0, 0.1, 16),
        "head_w": rng.normal(0, 0.5, (CLASSES, 16, 1, 1)),
    }  # fmt: skip
    for name, array in values.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildJob, CompiledModel]:
    job = a_job(tmp_path_factory.mktemp("edges"), of_bright_edges())
    return job, build(job, OPENVINO.convert(job, on_progress=quiet))


def answered(
    made: tuple[BuildJob, CompiledModel], folder: Path, *, isa: str, eight_bits: bool
) -> dict[str, Any]:
    job, compiled = made
    weights = onnx.numpy_helper.to_array(onnx.load(job.onnx).graph.initializer[0])
    request = {
        "xml": str(compiled.folder / "model.xml"),
        "image": str(job.onnx.parent / "images" / "5.npy"),
        "weights": weights.tolist() if eight_bits else None,
    }
    environment = {"ONEDNN_MAX_CPU_ISA": isa}
    found: dict[str, Any] = dict(
        call(Call(answer, request, 60, 4 * GIB, folder / "log", folder, environment=environment)).result
    )
    return found


def answer(request: dict[str, Any], on_progress: Any) -> dict[str, Any]:
    """What the first layer gives, and its steps (in a child process); with ``weights`` in 8 bits instead."""
    from mosaic_deploy.backends.openvino.ir import bring_openvino, constant, read

    ov = bring_openvino()
    model = read(Path(request["xml"]))
    nodes = model.get_ordered_ops()
    stem = next(node for node in nodes if node.get_type_name() == "Convolution")
    product = stem.input_value(1).get_node()
    if request["weights"]:
        weights = np.array(request["weights"])
        steps = np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / EIGHT_BITS
        integers = ov.opset13.constant(np.round(weights / steps).astype(np.int8))
        product.input_value(0).get_node().input(0).replace_source_output(integers.output(0))
        product.input(1).replace_source_output(ov.opset13.constant(steps.astype(np.float32)).output(0))
    after = next(
        node for node in nodes
        if node.get_type_name() == "FakeQuantize" and node.input_value(0).get_node().get_type_name() == "Relu"
    )  # fmt: skip
    part = ov.Model([ov.opset13.result(after.output(0))], model.get_parameters(), "part")
    scores = ov.Core().compile_model(part, "CPU")(np.load(request["image"]))[0]
    return {"scores": scores.tolist(), "steps": constant(product, 1).reshape(-1).tolist()}


pytestmark = pytest.mark.skipif(OPENVINO.missing() is not None, reason=str(OPENVINO.missing()))


def test_weights_are_finer_than_in_7_bits(made: tuple[BuildJob, CompiledModel], tmp_path: Path) -> None:
    job, _ = made
    weights = onnx.numpy_helper.to_array(onnx.load(job.onnx).graph.initializer[0])
    found = np.array(answered(made, tmp_path, isa="DEFAULT", eight_bits=False)["steps"])
    most = np.abs(weights).max(axis=(1, 2, 3))
    assert (found < most / SEVEN_BITS * 0.999).all()
    assert found == pytest.approx(finest_steps(weights).reshape(-1))


def test_without_vnni_it_is_the_same(made: tuple[BuildJob, CompiledModel], tmp_path: Path) -> None:
    here, older = (
        np.array(answered(made, tmp_path, isa=isa, eight_bits=False)["scores"])
        for isa in ("DEFAULT", "AVX512_CORE")
    )
    assert np.array_equal(here, older)


@pytest.mark.skipif(
    "avx512_vnni" not in Path("/proc/cpuinfo").read_text(encoding="ascii"), reason="a CPU without VNNI"
)
def test_with_8_bits_it_would_not_be(made: tuple[BuildJob, CompiledModel], tmp_path: Path) -> None:
    here, older = (
        np.array(answered(made, tmp_path, isa=isa, eight_bits=True)["scores"])
        for isa in ("DEFAULT", "AVX512_CORE")
    )
    assert np.abs(here - older).max() > 0.1 * np.ptp(here)
