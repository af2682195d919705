"""Hostile models: whatever a file holds, the op gate gives a verdict or one clear error, and goes on.

Everything runs in a judge's child process, which must not die, open files elsewhere, nor take much time or
memory. ``benchmarks/fuzz_models.py`` does the same ten thousand times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.graph.reader import shapes, wire
from mosaic_deploy.graph.reader.read import read_model
from mosaic_deploy.workers.call import Call, Outcome, call
from tests.graph.reader.fuzz_bytes import build
from tests.graph.reader.fuzz_judge import Judge
from tests.graph.reader.fuzz_models import KINDS, Mutant, mutant, write
from tests.graph.reader.fuzz_seeds import Seed, seeds
from tests.workers.jobs_that_fail import hangs

SEEDS = seeds()
EACH = 10
"""Mutants per class of mutation."""


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Judge, Path]]:
    root = tmp_path_factory.mktemp("hostile")
    write(Mutant(0, "", "", b"", {}), root)
    made = Judge(root)
    yield made, root
    made.close()


def laid(model: onnx.ModelProto | bytes, root: Path, **beside: bytes) -> Path:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return write(Mutant(0, "", "", data, beside), root)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.replace(" ", "-"))
def test_mutations(judge: tuple[Judge, Path], kind: str) -> None:
    for turn in range(EACH):
        number = KINDS.index(kind) + turn * len(KINDS)
        found = judge[0].judge(write(mutant(number, SEEDS, run=4), judge[1]))
        assert found.outcome in ("verdict", "error"), (number, found)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_what_mutants_start_from_is_sound(judge: tuple[Judge, Path], seed: Seed) -> None:
    found = judge[0].judge(write(Mutant(0, seed.name, "", seed.model, seed.beside), judge[1]))
    assert found.outcome == ("error" if seed.name == "function" else "verdict"), found.text


def test_a_number_is_always_the_same_mutant() -> None:
    for number in range(len(KINDS)):
        assert mutant(number, SEEDS, run=1) == mutant(number, seeds(), run=1)
    assert mutant(0, SEEDS, run=1) != mutant(0, SEEDS, run=2)


def graph(text: str, *, opset: int = 18, **constants: object) -> onnx.ModelProto:
    header = f'<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1, "acme" : 1]>\n'
    model = onnx.parser.parse_model(f"{header} g (float[1,3,8,8] x) => (float[] y) {text}")
    for name, array in constants.items():
        tensor = array if isinstance(array, onnx.TensorProto) else numpy_helper.from_array(np.asarray(array))
        tensor.name = name
        model.graph.initializer.append(tensor)
    return model


def changed(change: Callable[[onnx.ModelProto], object], text: str = "{ y = Relu(x) }") -> onnx.ModelProto:
    model = graph(text)
    change(model)
    return model


def typed(kind: int, dims: list[int], *, floats: int = 0, integers: int = 0) -> onnx.TensorProto:
    """A constant with zeros in its typed fields."""
    return onnx.TensorProto(data_type=kind, dims=dims, float_data=[0.0] * floats, int32_data=[0] * integers)


def packed_zeros(mebibytes: int) -> bytes:
    tensor = build([(2, 0, TensorProto.INT64), (8, 2, b"w"), (7, 2, bytes(mebibytes << 20))])
    return build([(1, 0, 8), (7, 2, build([(5, 2, tensor)]))])


def nested(levels: int) -> bytes:
    """Bodies inside bodies, deeper than Python's protobuf could build them."""
    body = build([(2, 2, b"b")])
    for _ in range(levels):
        node = build([(4, 2, b"If"), (5, 2, build([(1, 2, b"body"), (6, 2, body)]))])
        body = build([(1, 2, node)])
    return build([(1, 0, 8), (7, 2, body)])


def doubling_bodies() -> onnx.ModelProto:
    """A chain of Concat with itself, hidden in a body."""
    steps = " ".join(f"s{i + 1} = Concat <axis = 0> (s{i}, s{i})" for i in range(40))
    body = f"go () => (float[] t) {{ s0 = Shape(x) {steps} z = ConstantOfShape(s40) t = Relu(x) }}"
    return graph(f"<bool c = {{1}}> {{ y = If (c) < then_branch = {body}, else_branch = {body} > }}")


def many_bodies() -> onnx.ModelProto:
    """Many names outside of many bodies."""
    made = [helper.make_node("Relu", ["x"], [f"r{i}"]) for i in range(1500)]
    value = helper.make_tensor_value_info("t", TensorProto.FLOAT, [1, 3, 8, 8])
    body = helper.make_graph([helper.make_node("Neg", ["r0"], ["t"])], "b", [], [value])
    made += [helper.make_node("If", ["c"], [f"o{i}"], then_branch=body, else_branch=body) for i in range(500)]
    return changed(lambda m: m.graph.node.extend(made), "<bool c = {1}> { y = Relu(x) }")


ATTACKS: dict[str, tuple[Callable[[], onnx.ModelProto | bytes], str]] = {
    "conv-of-other-rank": (
        lambda: graph("{ y = Conv(x, w) }", w=np.ones((1,) * 6, np.float32)), "onnx cannot infer its shapes"
    ),
    "split-by-zero": (
        lambda: graph("<int64 n = {0}> { s = SplitToSequence(x, n) y = ConcatFromSequence <axis = 1> (s) }"),
        "onnx cannot infer",
    ),
    "depth-of-nothing": (
        lambda: graph("<int64[0] d = {}, float[2] v = {0, 1}> { y = OneHot(x, d, v) }"), "onnx cannot infer"
    ),
    "block-of-zero": (lambda: graph("{ y = DepthToSpace <blocksize = 0> (x) }"), "not sound ONNX"),
    "stride-of-zero": (
        lambda: graph("{ y = AveragePool <kernel_shape = [2, 2], strides = [0, 0], ceil_mode = 1> (x) }"), ""
    ),
    "short-typed-data": (
        lambda: graph("{ y = Relu(x) }", w=typed(1, [2000], floats=1)), "needs 2000 numbers and has 1"
    ),
    "data-of-two-types": (
        lambda: graph("{ y = Relu(x) }", w=typed(1, [1], floats=1, integers=1)), "of another type"
    ),
    "segment": (
        lambda: changed(
            lambda m: m.graph.initializer.add(name="w", data_type=1, dims=[0]).segment.SetInParent()
        ),
        "comes in segments",
    ),
    "text-that-is-none": (
        lambda: graph(
            "{ y = Relu(x) }",
            w=onnx.TensorProto(data_type=8, dims=[1], string_data=[b"\xff"]),
        ),
        "not UTF-8",
    ),
    "empty-but-endless": (
        lambda: graph("{ y = Relu(x) }", w=typed(1, [0, 2**39, 2**39])), "impossible shape"
    ),
    "shape-beyond-floats": (
        lambda: graph("{ y = Relu(x) }", w=typed(1, [2**39] * 60)), "impossible shape"
    ),
    "stated-shape-beyond-floats": (
        lambda: changed(
            lambda m: m.graph.value_info.append(helper.make_tensor_value_info("z", 1, [2**62] * 60)),
            "{ z = acme.Magic(x) y = Relu(z) }",
        ),
        "make it smaller",
    ),
    "stated-rank": (
        lambda: changed(
            lambda m: m.graph.value_info.append(helper.make_tensor_value_info("z", 1, [1] * 5000)),
            "{ z = acme.Magic(x) y = Relu(z) }",
        ),
        "5000 dimensions",
    ),
    "zero-point-not-a-number": (
        lambda: graph(
            "{ y = com.microsoft.QuantizeLinear(x, s, z) }", s=np.float32(1), z=np.float32("nan")
        ),
        "'z' is not a finite number",
    ),
    "scale-of-text": (
        lambda: graph(
            "{ y = com.microsoft.QuantizeLinear(x, s, s) }",
            s=onnx.TensorProto(data_type=8, string_data=[b"one"]),
        ),
        "'s' is not a finite number",
    ),
    "constant-of-another-domain": (
        lambda: graph("{ c = acme.Constant <value = 1> () y = Relu(x) }"), "its value is not a tensor"
    ),
    "future-domain": (
        lambda: changed(lambda m: m.opset_import.add(domain="x", version=2**40)), "there is no such version"
    ),
    "training": (lambda: changed(lambda m: m.training_info.add()), "graphs for training"),
    "sparse-in-a-body": (
        lambda: changed(
            lambda m: m.graph.node[0].attribute[0].g.sparse_initializer.add(),
            "{ y = acme.Do < body = b () => (float t) { t = Relu(x) } > (x) }",
        ),
        "store them dense",
    ),
    "packed-zeros": (lambda: packed_zeros(60), "MiB of memory"),
    "empty-nodes": (lambda: build([(1, 0, 8), (7, 2, b"\x0a\x00" * 900_000)]), "more than 12000 nodes"),
    "empty-fields": (lambda: b"\x08\x08" * (4 << 20), "more than 1000000 fields"),
    "notes-of-megabytes": (
        lambda: changed(lambda m: m.graph.node[0].metadata_props.add(key="k", value="x" * (65 << 20))),
        "MiB besides weights",
    ),
    "messages-in-messages": (lambda: nested(60), "nested more than 100 deep"),
    "long-name": (
        lambda: changed(lambda m: setattr(m.graph.initializer.add(data_type=1), "name", "n" * (3 << 20))),
        "a name of 3145728 characters",
    ),
    "long-text": (
        lambda: graph(f'{{ y = acme.Say <what = "{"w" * (2 << 20)}"> (x) }}'), "bytes of text"
    ),
    "long-list": (
        lambda: graph(f"{{ y = acme.Count <n = [{'1, ' * 5000}1]> (x) }}"), "store them as a tensor"
    ),
    "thousands-of-edges": (
        lambda: changed(
            lambda m: m.graph.node.extend(
                helper.make_node("Sum", ["x"] * 9000, [f"s{i}"]) for i in range(12)
            )
        ),
        "inputs and outputs",
    ),
    "large-attribute": (
        lambda: changed(
            lambda m: m.graph.node[0].attribute.append(
                helper.make_attribute("t", numpy_helper.from_array(np.zeros(5 << 20, np.float32), "t"))
            )
        ),
        "hold more than 16 MiB",
    ),
    "doubling-in-a-body": (doubling_bodies, ""),
    "many-bodies": (many_bodies, ""),
    "giant-fill": (
        lambda: graph("<int64[4] s = {9999, 9999, 9999, 9999}> { y = ConstantOfShape(s) }"), "make it smaller"
    ),
    "giant-tile": (
        lambda: graph("<int64[4] s = {9999, 9999, 9999, 9999}> { y = Tile(x, s) }"), "make it smaller"
    ),
    "giant-expand": (
        lambda: graph("<int64[5] s = {4000000000, 1, 3, 8, 8}> { y = Expand(x, s) }"), "make it smaller"
    ),
    "negative-axes": (lambda: graph("{ y = Concat <axis = -9> (x, x) }"), "not sound ONNX"),
}  # fmt: skip
"""What is in the file, and what the error says; nothing where a verdict is as good."""


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks(judge: tuple[Judge, Path], attack: str) -> None:
    make, message = ATTACKS[attack]
    found = judge[0].judge(laid(make(), judge[1]))
    assert found.outcome == "error" or (found.outcome == "verdict" and not message), found
    assert message in found.text


def test_a_path_as_long_as_paths_get_leaves_room_for_the_reason(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["d" * 200] * 5)
    folder.mkdir(parents=True)
    (folder / "m.onnx").write_bytes(b"text")
    with pytest.raises(ModelError, match=r"^\.\.\.[^\n]*m\.onnx: not an ONNX file$") as caught:
        read_model(folder / "m.onnx")
    assert len(str(caught.value)) <= 500


def test_weights_in_constant_nodes_keep_their_shapes(tmp_path: Path) -> None:
    model = graph("{ y = Add(x, w) }")
    weight = numpy_helper.from_array(np.zeros((1, 3, 64, 64), np.float32))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=weight))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 64
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    read = read_model(tmp_path / "m.onnx")
    assert [node.op_type for node in read.graph.node] == ["Constant", "Add"]
    assert {v.name: len(v.type.tensor_type.shape.dim) for v in read.graph.value_info} == {"w": 4}


def small(tmp_path: Path) -> Path:
    (tmp_path / "m.onnx").write_bytes(SEEDS[0].model)
    return tmp_path / "m.onnx"


def test_inference_out_of_memory_is_the_models_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = changed(
        lambda m: m.graph.node.extend(helper.make_node("Relu", ["x"], [f"r{i}"]) for i in range(11_000))
    )
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    monkeypatch.setattr(shapes, "_MEMORY", 24 << 20)
    with pytest.raises(ModelError, match=r"^[^\n]*onnx (needs more than|cannot infer its shapes)[^\n]*$"):
        read_model(tmp_path / "m.onnx")


def test_no_time_for_the_child_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleeping(job: Call) -> Outcome:
        request = {"pids": str(tmp_path / "pids")}
        return call(replace(job, function=hangs, request=request, timeout_s=1.0))

    monkeypatch.setattr(shapes, "call", sleeping)
    with pytest.raises(ToolError, match=r"^shape inference: ran longer than 1 s[^\n]*$"):
        read_model(small(tmp_path))


def test_no_temporary_folder_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(ToolError, match="cannot use the temporary folder"):
        read_model(small(tmp_path))


def test_the_walk_takes_what_protobuf_takes() -> None:
    for seed in SEEDS:
        wire.require_small(seed.model)
