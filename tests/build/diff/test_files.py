"""Artifacts of another format than ONNX: parts are cut out of their files and run on their runtimes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from mosaic_deploy.artifact.manifest import MANIFEST
from mosaic_deploy.artifact.open import open_artifact
from mosaic_deploy.backends.file_parts import FileFacts, load_file_parts
from mosaic_deploy.build.diff.diff import diff
from mosaic_deploy.build.diff.found import DiffRequest
from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.report import BuildReport
from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.files import sha256_of
from tests.artifact.tiny_artifact import write_artifact
from tests.build.diff.graphs import branched
from tests.conftest import HEIGHT, WIDTH, Tiny

KERNEL = "left"
"""The planted node's weights and output."""
RECIPES = [("cpu", "w8a8"), ("openvino", "int8")]


def built(tiny: Tiny, target: str, recipe: str) -> Path:
    onnx.save(branched(), tiny.onnx)
    out = tiny.root / "out"
    deploy(Request(model=str(tiny.card), targets=(target,), out=out, recipe=recipe))
    return out / f"tiny-{target}-{recipe}"


def facts_of(folder: Path, scratch: Path) -> FileFacts:
    opened = open_artifact(folder)
    parts = load_file_parts(opened.backend, opened.built.facts)
    assert parts is not None
    image = scratch / "image.npy"
    np.save(image, opened.contract.prepare(np.load(folder / "golden" / "image.npy", allow_pickle=False)))
    request = {
        "file": str(folder / f"model{parts.suffix}"), "onnx": str(folder / "model.onnx"), "layout": "NCHW",
        "shape": list(opened.contract.shape), "image": str(image),
        "integers": opened.built.facts["arithmetic"] == "int8",
    }  # fmt: skip
    return parts.facts(request, folder=scratch / "facts", log=scratch / "facts.log")


def plant(folder: Path, kernel: NDArray[Any]) -> None:
    """Turn one convolution's kernel (3, 3, 3, 3) in an artifact's file upside down, as a forger would."""
    path = next(folder / name for name in ("model.tflite", "model.bin") if (folder / name).is_file())
    last = path.suffix == ".tflite"  # the order of its axes
    old, new = (k.transpose(0, 2, 3, 1) if last else k for k in (kernel, kernel[:, :, ::-1]))
    content = path.read_bytes()
    assert content.count(old.tobytes()) == 1
    path.write_bytes(content.replace(old.tobytes(), new.tobytes()))
    record = json.loads((folder / MANIFEST).read_text())
    (entry,) = (entry for entry in record["files"] if entry["path"] == path.name)
    entry["sha256"] = sha256_of(path)
    (folder / MANIFEST).write_text(json.dumps(record))


@pytest.mark.slow
@pytest.mark.parametrize(("target", "recipe"), RECIPES)
def test_integers_agree_and_a_planted_kernel_is_found_and_cut_out(
    tiny: Tiny, tmp_path: Path, target: str, recipe: str
) -> None:
    folder, out = built(tiny, target, recipe), tiny.root / "case"
    facts, data = facts_of(folder, tmp_path), f"folder:{tiny.data}"
    assert {*facts.tensors} == {"image", "first", KERNEL, "right", "sum", "logits"}
    kernel, steps = facts.weights["b"]
    assert kernel.dtype == np.int8
    assert kernel.shape == steps.shape == (3, 3, 3, 3)
    for expected in ("float", "qdq"):
        honest = diff(DiffRequest(expected, str(folder), data, out=out))
        assert not honest.parts, [(probe.tensor, probe.distance.words) for probe in honest.probes]
        assert honest.candidates == 5
    assert not out.exists()
    plant(folder, kernel)
    for expected in ("float", "qdq"):
        found = diff(DiffRequest(expected, str(folder), data, out=out, force=True))
        assert found.found == KERNEL
        assert found.alone is not None
        assert found.alone.operators == (f"Conv '{KERNEL}'",)
        assert found.alone.distance.parts
    assert "as-shipped/" in (out / "issue.md").read_text()
    model = onnx.load(out / "minimal.onnx")
    onnx.checker.check_model(model, full_check=True)
    shipped = {path.name for path in (out / "as-shipped").iterdir()}
    files = {"minimal.tflite"} if target == "cpu" else {"minimal.xml", "minimal.bin"}
    assert shipped == {*files, "input.npy", "output.npy"}
    actual, given = (np.load(out / name, allow_pickle=False) for name in ("actual.npy", "input.npy"))
    again = np.load(out / "as-shipped" / "output.npy", allow_pickle=False)
    if target == "cpu":
        assert (again.transpose(0, 3, 1, 2) == actual).all()
        assert given.dtype == np.int8


@pytest.mark.slow
@pytest.mark.parametrize(("target", "recipe"), [("cpu", "fp32"), ("cpu", "fp16"), ("openvino", "fp16")])
def test_floats_agree_and_a_planted_kernel_is_found(tiny: Tiny, target: str, recipe: str) -> None:
    folder, data = built(tiny, target, recipe), f"folder:{tiny.data}"
    honest = diff(DiffRequest("float", str(folder), data))
    assert not honest.parts, [(probe.tensor, probe.distance.words) for probe in honest.probes]
    with pytest.raises(ModelError, match="is not quantised: name 'float'"):
        diff(DiffRequest("qdq", str(folder), data))
    (kernel,) = (t for t in onnx.load(folder / "model.onnx").graph.initializer if t.name == "b")
    values = onnx.numpy_helper.to_array(kernel)
    plant(folder, values.astype(np.float16 if recipe == "fp16" else np.float32))
    found = diff(DiffRequest("float", str(folder), data))
    assert found.found == KERNEL
    assert found.alone is not None
    assert found.alone.distance.parts
    assert found.alone.distance.unit == "of the largest value"


@pytest.mark.slow
def test_two_formats_are_compared_with_each_other(tiny: Tiny, tmp_path: Path) -> None:
    first, second = (built(tiny, target, recipe) for target, recipe in RECIPES)
    asked = DiffRequest(str(first), str(second), f"folder:{tiny.data}", images=1)
    honest = diff(asked)
    assert not honest.parts
    assert ("LiteRT" in honest.ran_on[0], "OpenVINO" in honest.ran_on[1]) == (True, True)
    plant(first, facts_of(first, tmp_path).weights["b"][0])
    assert diff(asked).found == KERNEL


@pytest.mark.slow
@pytest.mark.parametrize(("target", "recipe"), RECIPES)
def test_bytes_in_another_layout_and_classes_are_no_difference(tiny: Tiny, target: str, recipe: str) -> None:
    onnx.save(of_bytes(), tiny.onnx)
    tiny.card.write_text(
        tiny.card.read_text().replace("[contract]", '[contract]\ndtype = "uint8"\nlayout = "NHWC"')
    )
    request = Request(str(tiny.card), (target,), tiny.root / "out", recipe=recipe, output="classmap")
    (report,) = deploy(request)
    assert isinstance(report, BuildReport)
    found = diff(DiffRequest("qdq", str(report.folder), f"folder:{tiny.data}", images=1))
    assert not found.parts, [(probe.tensor, probe.distance.words) for probe in found.probes]
    assert found.candidates >= 5
    assert found.probes[0].tensor == "logits"


def of_bytes() -> onnx.ModelProto:
    """The branched network behind uint8 pixels (1, 32, 48, 3), which it normalises itself."""
    model = branched()
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["normal" if name == "image" else name for name in node.input]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["turned", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["normal"]),
        *(onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node),
    ]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, [1, HEIGHT, WIDTH, 3]))
    for name, value in (("mean", 128), ("scale", 64)):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.float32), name))
    return model


def test_what_parts_are_not_run_on_is_refused(tiny: Tiny) -> None:
    folder = write_artifact(tiny.root / "a", backend="tflite", facts={"accelerator": "gpu"})
    with pytest.raises(UsageError, match="tflite on 'gpu': parts of its files are run on the CPU alone"):
        diff(DiffRequest("float", str(folder), f"folder:{tiny.data}"))
