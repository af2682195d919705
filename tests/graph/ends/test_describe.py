"""What a file takes and gives, told by its graph; and what a person has to say of it."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser
import pytest

from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.graph.ends.describe import FileFacts, describe
from mosaic_deploy.graph.reader.read import Reading, read_model


def saved(text: str, folder: Path) -> Path:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {text}')
    onnx.save_model(model, folder / "m.onnx")
    return folder / "m.onnx"


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        pytest.param(
            "g (float[1,3,32,48] x) => (float[] y) { y = Relu(x) }",
            FileFacts(32, 48, "NCHW", "float32", "logits", 3, 0.0, normalises=False),
            id="scores",
        ),
        pytest.param(
            """g (float[1,32,48,3] x) => (float[] y) {
                y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x) }""",
            FileFacts(32, 48, "NHWC", "float32", "lowres", 32, 0.0, normalises=False),
            id="channels-last",
        ),
        pytest.param(
            """g (float[1,3,32,48] x) => (float[] y) {
                y = MaxPool <kernel_shape = [4, 4], strides = [4, 4]> (x) }""",
            FileFacts(32, 48, "NCHW", "float32", "lowres", 3, 0.0, normalises=False),
            id="small-scores",
        ),
        pytest.param(
            "g (uint8[1,3,32,48] x) => (int64[] y) { y = ArgMax <axis = 1, keepdims = 0> (x) }",
            FileFacts(32, 48, "NCHW", "uint8", "classmap", None, None, normalises=False),
            id="class-map",
        ),
        pytest.param(
            "g (float[1,3,32,48] x) => (float[] y) { y = GlobalAveragePool(x) z = Relu(y) }",
            FileFacts(32, 48, "NCHW", "float32", "lowres", 3, 0.0, normalises=False),
            id="one-pixel",
        ),
    ],
)
def test_describe(tmp_path: Path, text: str, facts: FileFacts) -> None:
    assert describe(saved(text, tmp_path)) == facts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("g (float[2,3,8,8] x) => (float[] y) { y = Relu(x) }", "takes 2 images", id="batch"),
        pytest.param("g (float[1,4,8,8] x) => (float[] y) { y = Relu(x) }", "three colours", id="colours"),
        pytest.param(
            "g (float[1,3,8,8] x) => (float[] y, float[] z) { y = Relu(x) z = Relu(x) }",
            r"2 outputs \(y, z\): .*--output-name y",
            id="outputs",
        ),
    ],
)
def test_describe_refuses(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        describe(saved(text, tmp_path))


DYNAMIC = "g (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Relu(x) }"


def test_a_dynamic_size_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"dynamic dimensions .*--input-shape 1,3,512,512"):
        read_model(saved(DYNAMIC, tmp_path))
    facts = describe(saved(DYNAMIC, tmp_path), Reading((1, 3, 32, 48)))
    assert (facts.height, facts.width, facts.output) == (32, 48, "logits")


def test_a_dynamic_batch_is_one_image(tmp_path: Path) -> None:
    facts = describe(saved(DYNAMIC.replace("H,W", "32,48"), tmp_path))
    assert (facts.height, facts.width) == (32, 48)


@pytest.mark.parametrize(
    ("shape", "says"),
    [((1, 3, 64, 48), "is fixed to 1,3,32,48"), ((2, 3, 32, 48), "is fixed to"), ((1, 3, 32), "has 3 sides")],
)
def test_a_size_that_is_not_the_files(tmp_path: Path, shape: tuple[int, ...], says: str) -> None:
    path = saved("g (float[1,3,32,48] x) => (float[1,3,32,48] y) { y = Relu(x) }", tmp_path)
    with pytest.raises(ModelError, match=says):
        read_model(path, Reading(shape))


def test_one_of_several_outputs(tmp_path: Path) -> None:
    path = saved(
        """g (float[1,3,8,8] x) => (float[1,3,8,8] y, float[1,3,4,4] z) {
            y = Relu(x) z = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x) }""",
        tmp_path,
    )
    assert describe(path, Reading(output="z")).output == "lowres"
    assert describe(path, Reading(output="y")).output == "logits"
    with pytest.raises(ModelError, match="--output-name q: there is no such output; its outputs: y, z"):
        describe(path, Reading(output="q"))


@pytest.mark.parametrize("text", ["1,3,512", "1,3,a,512", "1,3,0,5", "", "1;3;5;5"])
def test_a_size_as_it_must_not_be_typed(text: str) -> None:
    with pytest.raises(UsageError, match="four whole numbers"):
        Reading.parse(text, None)


def test_a_size_as_it_may_be_typed() -> None:
    assert Reading.parse("1,3,512,768", "y") == Reading((1, 3, 512, 768), "y")
    assert Reading.parse("1x3x512x768", None).input_shape == (1, 3, 512, 768)
