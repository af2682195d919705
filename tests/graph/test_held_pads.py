"""Pads before pools: what optimisers make of them, and what is kept from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.ort.run import open_file
from mosaic_deploy.graph.execute import Session
from mosaic_deploy.graph.held_pads import hold_pads, release_pads
from mosaic_deploy.quantize.ort_tools import optimize, ort_converter, tool

BELOW_ZERO = np.random.default_rng(0).uniform(-2, -1, (1, 4, 8, 8)).astype(np.float32)


def padded(pool: str, *, behind: str = "Neg", width: int = 1) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1, 4, 8, 8] image) => (float[1, 4, h, w] y)
        <int64[8] pads = {{0, 0, {width}, {width}, 0, 0, {width}, {width}}}, float zero = {{0.0}}> {{
            x = {behind}(image)
            wide = Pad(x, pads, zero)
            y = {pool}<kernel_shape = [3, 3]>(wide)
        }}
    """)


def run(model: onnx.ModelProto | Path, *, optimized: bool = False) -> NDArray[Any]:
    found: NDArray[Any] = Session(model, optimize=optimized).run({"image": -BELOW_ZERO})[0]
    return found


def test_a_maximum_over_zeros_and_negative_numbers_is_zero_however_it_is_run(tmp_path: Path) -> None:
    model = padded("MaxPool")
    expected = run(model)
    assert expected[0, :, 0, 0].tolist() == [0.0] * 4
    assert (run(model, optimized=True) == expected).all()

    onnx.save(model, tmp_path / "net.onnx")
    tool("onnx_model_utils").optimize_model(tmp_path / "net.onnx", tmp_path / "wrong.onnx")
    assert (run(tmp_path / "wrong.onnx") != expected).any(), "ONNX Runtime has mended Pad_Fusion"
    optimize(tmp_path / "net.onnx", tmp_path / "plain.onnx")
    assert (run(tmp_path / "plain.onnx") == expected).all()
    assert [value.name for value in onnx.load(tmp_path / "plain.onnx").graph.output] == ["y"]


# ONNX Runtime's tool leaves the file to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_converter_of_ort_files_keeps_the_maximum(tmp_path: Path) -> None:
    onnx.save(padded("MaxPool"), tmp_path / "model.onnx")
    converter = ort_converter(tmp_path / "model.onnx")
    style = [converter.OptimizationStyle.Fixed]
    converter.convert_onnx_models_to_ort(
        tmp_path / "model.onnx", tmp_path, style, target_platform="arm", enable_type_reduction=True
    )
    found = open_file(tmp_path / "model.ort", 1, spin=False).run(None, {"image": -BELOW_ZERO})[0]
    assert (found == run(tmp_path / "model.onnx")).all()


def test_an_average_that_pads_as_much_as_its_window_can_be_run(tmp_path: Path) -> None:
    onnx.save(padded("AveragePool", width=3), tmp_path / "net.onnx")
    optimize(tmp_path / "net.onnx", tmp_path / "plain.onnx")
    assert np.allclose(run(tmp_path / "plain.onnx"), run(tmp_path / "net.onnx"))


@pytest.mark.parametrize(("pool", "behind", "held"), [
    ("MaxPool", "Neg", ("wide",)), ("MaxPool", "Relu", ()), ("AveragePool", "Relu", ("wide",)),
])  # fmt: skip
def test_what_may_be_fused_is_not_held(pool: str, behind: str, held: tuple[str, ...]) -> None:
    model = padded(pool, behind=behind)
    before = model.SerializeToString()
    assert hold_pads(model) == held
    assert [value.name for value in model.graph.output] == ["y", *held]
    release_pads(model, held)
    assert model.SerializeToString() == before
