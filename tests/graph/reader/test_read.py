"""Hostile and broken ONNX files: each gives one line of ``ModelError``, and nothing else ever happens."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.reader import names, read
from mosaic_deploy.graph.reader.read import read_model

GRAPH = """<ir_version: 8, opset_import: ["" : 18]>
network (float[1,3,16,24] image) => (float[1,4,16,24] logits)
<int64[4] size = {1, 4, 16, 24}, float low = {0}, float high = {6}> {
    a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (image, weight, bias)
    b = Clip(a, low, high)
    c = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (b)
    logits = Resize <mode = "linear"> (c, , , size)
}"""


def valid() -> onnx.ModelProto:
    """A small network that uses what readers trip over: constants, optional inputs, attributes."""
    model = onnx.parser.parse_model(GRAPH)
    rng = np.random.default_rng(0)
    for name, shape in (("weight", (4, 3, 3, 3)), ("bias", (4,))):
        array = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def graph(text: str, *, opset: int = 18) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]>\n{text}')


def saved(model: onnx.ModelProto | bytes, tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


def refusal(model: onnx.ModelProto | bytes, tmp_path: Path) -> str:
    """The error of reading a model, checked to be one line that names the file."""
    path = saved(model, tmp_path)
    with pytest.raises(ModelError) as caught:
        read_model(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 700
    return message


def test_a_sound_model_is_read_with_its_shapes(tmp_path: Path) -> None:
    model = read_model(saved(valid(), tmp_path))
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.value_info}
    assert shapes == {"a": [1, 4, 8, 12], "b": [1, 4, 8, 12], "c": [1, 4, 4, 6]}
    onnx.checker.check_model(model)
    assert [tensor.name for tensor in model.graph.initializer] == ["size", "low", "high", "weight", "bias"]


def test_large_constants_survive(tmp_path: Path) -> None:
    model = graph("g (float[1,3,64,64] x) => (float[] y) { y = Add(x, big) }")
    big = np.arange(3 * 64 * 64, dtype=np.float32).reshape(1, 3, 64, 64)
    model.graph.initializer.append(numpy_helper.from_array(big, "big"))
    found = read_model(saved(model, tmp_path))
    assert np.array_equal(numpy_helper.to_array(found.graph.initializer[0]), big)
    assert [value.name for value in found.graph.input] == ["x"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"hello, world", "not an ONNX file", id="text"),
        pytest.param(bytes(64), "not an ONNX file", id="zeros"),
        pytest.param(b"PK\x03\x04" + bytes(60), "zip archive", id="zip"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull", id="lfs-pointer"),
        pytest.param(b"<!DOCTYPE html><html>", "web page", id="web-page"),
        pytest.param(random.Random(0).randbytes(4096), "not an ONNX file", id="random"),
        pytest.param(b"\x08", "cut short", id="one-byte"),
        pytest.param(b"\x08\x08", "cut short", id="version-only"),
        pytest.param(b"\xff" * 64, "not an ONNX file", id="ones"),
    ],
)
def test_what_is_no_onnx(tmp_path: Path, data: bytes, message: str) -> None:
    assert message in refusal(data, tmp_path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99], ids=lambda share: f"{share:.0%}")
def test_a_truncated_file(tmp_path: Path, share: float) -> None:
    data = valid().SerializeToString()
    assert "cut short or damaged" in refusal(data[: int(len(data) * share)], tmp_path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        read_model(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="is not a file"):
        read_model(tmp_path)


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "FILE_BYTES", 100)
    assert "networks up to 0 MiB" in refusal(valid(), tmp_path)


def inputs(text: str) -> Callable[[], onnx.ModelProto]:
    return lambda: graph(f"g ({text}) => (float[] y) {{ y = Relu(x) }}")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(
            lambda: graph("g (float[1,3,4,4] x) => () { y = Relu(x) }"), "no outputs", id="no-output"
        ),
        pytest.param(lambda: graph("g (float[1,3,4,4] x) => (float[] x) { }"), "no nodes", id="no-nodes"),
        pytest.param(
            lambda: graph("g () => (float[] y) { y = Constant <value_float = 1.0> () }"),
            "has 0 inputs",
            id="no-input",
        ),
        pytest.param(inputs("float[1,3,4,4] x, float[1,3,4,4] z"), "has 2 inputs 'x', 'z'", id="two-inputs"),
        pytest.param(inputs("float[1,3,4] x"), "has 3 dimensions", id="rank-3"),
        pytest.param(inputs("float[] x"), "has no shape", id="no-shape"),
        pytest.param(inputs("int64[1,3,4,4] x"), "neither float32 nor uint8", id="int64-input"),
        pytest.param(inputs("float[N,3,H,4] x"), "dynamic dimensions (H)", id="dynamic"),
        pytest.param(inputs("float[1,3,0,4] x"), "dynamic dimensions (number 2)", id="zero-side"),
        pytest.param(inputs("float[1,3,4,99999] x"), "sides up to 65536", id="huge-side"),
        pytest.param(inputs("float[40000,3,40000,40000] x"), "make it smaller", id="huge-tensor"),
    ],
)
def test_graphs_that_take_no_image(
    tmp_path: Path, model: Callable[[], onnx.ModelProto], message: str
) -> None:
    assert message in refusal(model(), tmp_path)


def test_dynamic_dimensions_come_with_the_option_that_fixes_them(tmp_path: Path) -> None:
    message = refusal(graph("g (float[N,3,H,W] im) => (float[] y) { y = Relu(im) }"), tmp_path)
    assert "--input-shape, such as --input-shape 1,3,512,512" in message


@pytest.mark.parametrize(
    ("opset", "fine"),
    [
        pytest.param(6, False, id="6"),
        pytest.param(7, True, id="7"),
        pytest.param(25, True, id="25"),
        pytest.param(26, False, id="26"),
    ],
)
def test_opsets(tmp_path: Path, opset: int, fine: bool) -> None:
    model = graph("g (float[1,3,4,4] x) => (float[] y) { y = Sigmoid(x) }", opset=opset)
    if fine:
        read_model(saved(model, tmp_path))
    else:
        assert f"opset {opset}: 7 to 25 are supported" in refusal(model, tmp_path)


def nodes(body: str) -> Callable[[], onnx.ModelProto]:
    return lambda: graph(f"g (float[1,3,4,4] x) => (float[] y) {{ {body} }}")


def changed(change: Callable[[onnx.ModelProto], object]) -> Callable[[], onnx.ModelProto]:
    def build() -> onnx.ModelProto:
        model = valid()
        change(model)
        return model

    return build


def deep(depth: int) -> onnx.ModelProto:
    """A chain of bodies, one in each ``Loop``."""
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "b", [], [out])
    for _ in range(depth):
        body = helper.make_graph([helper.make_node("Loop", ["", "", "x"], ["y"], body=body)], "b", [], [out])
    model = graph("g (float[1,3,4,4] x) => (float[] y) { y = Relu(x) }")
    del model.graph.node[:]
    model.graph.node.extend(body.node)
    return model


def with_function(model: onnx.ModelProto) -> None:
    function = helper.make_function("local", "Twice", ["x"], ["y"], [], [helper.make_opsetid("", 18)])
    model.functions.append(function)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(nodes("y = Relu(z)"), "reads 'z', which nothing makes", id="unmade"),
        pytest.param(nodes("y = Relu(z) z = Relu(x)"), "made only later", id="unsorted"),
        pytest.param(nodes("z = Add(x, w) w = Relu(z) y = Relu(w)"), "a cycle", id="cycle"),
        pytest.param(nodes("y = Add(x, y)"), "a cycle", id="self-cycle"),
        pytest.param(nodes("z = Relu(x) z = Sigmoid(x) y = Relu(z)"), "'z' is made twice", id="made-twice"),
        pytest.param(nodes("x = Relu(x) y = Relu(x)"), "'x' is made twice", id="input-overwritten"),
        pytest.param(nodes("z = Relu(x)"), "output 'y' is made by no node", id="unmade-output"),
        pytest.param(nodes("y = Rellu(x)"), "Rellu", id="no-such-operator"),
        pytest.param(nodes("y = Relu(x, x)"), "not sound ONNX", id="too-many-inputs"),
        pytest.param(nodes("y = Relu <alpha = 1> (x)"), "alpha", id="no-such-attribute"),
        pytest.param(nodes("z = Shape(x) y = Add(x, z)"), "not sound ONNX", id="clashing-types"),
        pytest.param(nodes("y = Concat <axis = 9> (x, x)"), "not sound ONNX", id="axis-outside"),
        pytest.param(nodes("y = Transpose <perm = [0, 1, 2, 7]> (x)"), "not sound ONNX", id="perm-outside"),
        pytest.param(
            changed(lambda m: m.graph.initializer.append(m.graph.initializer[0])),
            "one name",
            id="constant-twice",
        ),
        pytest.param(
            changed(lambda m: m.graph.initializer[3].dims.append(2)),
            "needs 864 bytes and has 432",
            id="short-data",
        ),
        pytest.param(
            changed(lambda m: m.graph.initializer[3].dims.append(-1)), "impossible shape", id="negative-dims"
        ),
        pytest.param(
            changed(lambda m: m.graph.initializer[3].dims.extend([2**62] * 60)),
            "impossible shape",
            id="endless-dims",
        ),
        pytest.param(
            changed(lambda m: m.graph.initializer[3].dims.extend([1] * 70)),
            "impossible shape",
            id="endless-rank",
        ),
        pytest.param(
            changed(lambda m: setattr(m.graph.initializer[3], "data_type", 99)),
            "of type 99",
            id="no-such-type",
        ),
        pytest.param(changed(lambda m: m.graph.sparse_initializer.add()), "store them dense", id="sparse"),
        pytest.param(changed(with_function), "inline_local_functions", id="local-function"),
        pytest.param(changed(lambda m: m.ClearField("opset_import")), "opset none", id="no-opset"),
        pytest.param(
            changed(lambda m: m.opset_import.append(m.opset_import[0])), "opset 18, 18", id="two-opsets"
        ),
        pytest.param(changed(lambda m: setattr(m, "ir_version", 2)), "IR version 2", id="old-ir"),
        pytest.param(changed(lambda m: setattr(m, "ir_version", 10**6)), "not sound ONNX", id="future-ir"),
        pytest.param(lambda: deep(20), "nested more than 16 deep", id="deep-bodies"),
    ],
)
def test_unsound_graphs(tmp_path: Path, model: Callable[[], onnx.ModelProto], message: str) -> None:
    assert message in refusal(model(), tmp_path)


def test_more_nodes_than_any_network_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "NODES", 3)
    assert "more than 3 nodes" in refusal(valid(), tmp_path)


@pytest.mark.parametrize("name", [b"weight", b"Resize", b"strides", b"logits"], ids=lambda n: n.decode())
def test_names_that_are_no_text(tmp_path: Path, name: bytes) -> None:
    data = valid().SerializeToString().replace(name, b"\xff" + name[1:])
    assert "not UTF-8 text" in refusal(data, tmp_path)


def test_names_that_would_break_a_line(tmp_path: Path) -> None:
    data = valid().SerializeToString().replace(b"weight", b"we\nght")
    assert r"control characters: 'we\nght'" in refusal(data, tmp_path)


def test_shapes_that_double_at_each_node_stay_small(tmp_path: Path) -> None:
    body = "s0 = Shape(x) " + " ".join(f"s{i + 1} = Concat <axis = 0> (s{i}, s{i})" for i in range(40))
    model = graph(f"g (float[1,3,4,4] x) => (float[] y, int64[] s40) {{ {body} y = Relu(x) }}")
    with pytest.raises(ModelError, match="make it smaller"):
        read_model(saved(model, tmp_path))


def test_other_domains_are_left_to_the_op_check(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 18, "acme" : 1]>\n'
    text += "g (float[1,3,4,4] x) => (float[] y) { z = acme.Magic(x) y = Relu(z) }"
    assert len(read_model(saved(onnx.parser.parse_model(text), tmp_path)).graph.node) == 2


def outside(tmp_path: Path, **notes: str) -> Path:
    """A model whose weight lies in ``location``, 432 bytes at offset 16 of what is there."""
    folder = tmp_path / "home"
    folder.mkdir()
    model = valid()
    tensor = model.graph.initializer[3]
    data = tensor.raw_data
    for place in (folder / "data.bin", tmp_path / "secret.bin"):
        place.write_bytes(bytes(16) + data)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "loop.bin").symlink_to(folder / "loop.bin")
    (folder / "sub").symlink_to(tmp_path)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "data.bin", "offset": "16", "length": str(len(data))} | notes).items():
        tensor.external_data.add(key=key, value=value)
    return saved(model, folder)


def test_external_data_is_brought_inside(tmp_path: Path) -> None:
    found = read_model(outside(tmp_path)).graph.initializer[3]
    assert found.data_location == TensorProto.DEFAULT
    assert numpy_helper.to_array(found).tobytes() == valid().graph.initializer[3].raw_data


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        pytest.param({"location": "../secret.bin"}, "outside the model's folder", id="parent"),
        pytest.param({"location": "sub/../../secret.bin"}, "outside the model's folder", id="hidden-parent"),
        pytest.param({"location": "/etc/hostname"}, "outside the model's folder", id="absolute"),
        pytest.param({"location": "C:/secret.bin"}, "outside the model's folder", id="drive"),
        pytest.param({"location": "..\\secret.bin"}, "no usable file name", id="backslash"),
        pytest.param({"location": ""}, "no usable file name", id="nameless"),
        pytest.param({"location": "link.bin"}, "link out of the model's folder", id="link"),
        pytest.param({"location": "sub/secret.bin"}, "link out of the model's folder", id="linked-folder"),
        pytest.param({"location": "loop.bin"}, "data 'loop.bin'", id="link-to-itself"),
        pytest.param({"location": "absent.bin"}, "is missing", id="missing"),
        pytest.param({"location": "x" * 5000}, "external data", id="long-name"),
        pytest.param({"location": "."}, "is missing", id="folder"),
        pytest.param({"offset": "99"}, "ends before", id="offset-beyond"),
        pytest.param({"offset": "-1"}, "not numbers", id="negative-offset"),
        pytest.param({"offset": "٣"}, "not numbers", id="strange-digits"),
        pytest.param({"length": "431"}, "needs 432 bytes, its external data has 431", id="short"),
        pytest.param({"length": "9" * 30}, "not numbers", id="endless"),
    ],
)
def test_external_data_stays_in_the_folder(tmp_path: Path, notes: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        read_model(outside(tmp_path, **notes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_external_data_of_an_attribute_is_refused(tmp_path: Path) -> None:
    model = valid()
    constant = helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.zeros(3, np.float32)))
    constant.attribute[0].t.data_location = TensorProto.EXTERNAL
    model.graph.node.append(constant)
    assert "attribute has external data" in refusal(model, tmp_path)


def flip(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def overwrite(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at : at + 4] = rng.choice([struct.pack("<I", 2**31), b"\xff" * 4, bytes(4), rng.randbytes(4)])


def cut(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.randrange(1, 32)]


def double(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at:at] = data[at : at + rng.randrange(1, 64)]


@pytest.mark.parametrize("mutate", [flip, overwrite, cut, double], ids=lambda f: f.__name__)
def test_mutated_files_give_a_model_or_one_error(
    tmp_path: Path, mutate: Callable[[bytearray, random.Random], None]
) -> None:
    original = valid().SerializeToString()
    accepted = 0
    for seed in range(60):
        rng = random.Random(seed)
        data = bytearray(original)
        for _ in range(rng.randrange(1, 4)):
            mutate(data, rng)
        with contextlib.suppress(ModelError):
            read_model(saved(bytes(data), tmp_path))
            accepted += 1
    assert accepted < 60
