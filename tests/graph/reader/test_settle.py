"""What every reader of a model may rely on: types, shapes, inputs, and that it does not train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.execute import Session
from mosaic_deploy.graph.normal.normalise import normalise
from mosaic_deploy.graph.reader.read import read_model
from tests.graph.reader.test_older import outputs

SHAPE = (1, 3, 4, 6)
HALF, DOUBLE, BRAIN, FLOAT = 10, 11, 16, 1
TYPES = {HALF: np.float16, DOUBLE: np.float64, BRAIN: ml_dtypes.bfloat16, FLOAT: np.float32}


def read(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    place = folder / "model.onnx"
    place.write_bytes(model.SerializeToString())
    return read_model(place)


def of(
    nodes: Sequence[onnx.NodeProto],
    *,
    kind: int = FLOAT,
    opset: int = 18,
    stated: Sequence[onnx.ValueInfoProto] = (),
    out: Sequence[int] | None = None,
    **arrays: object,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", kind, SHAPE)],
        [helper.make_tensor_value_info("y", kind, out)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
        value_info=list(stated),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def types_in(model: onnx.ModelProto) -> set[int]:
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info)
    return {v.type.tensor_type.elem_type for v in values} | {t.data_type for t in graph.initializer}


def network(kind: int) -> onnx.ModelProto:
    """Scale, a constant, a cast to the type itself and from another, and a stated inner type."""
    dtype = TYPES[kind]
    make = helper.make_node
    fill = helper.make_tensor("fill", kind, [1], np.asarray([0.5], dtype).tobytes(), raw=True)
    one = numpy_helper.from_array(np.asarray([1.25], dtype), "one")
    nodes = [
        make("Mul", ["x", "w"], ["a"]),
        make("Constant", [], ["c"], value=one),
        make("Add", ["a", "c"], ["b"]),
        make("Cast", ["b"], ["f"], to=FLOAT),
        make("Relu", ["f"], ["r"]),
        make("Cast", ["r"], ["h"], to=kind),
        make("ConstantOfShape", ["sides"], ["z"], value=fill),
        make("Sub", ["h", "z"], ["s"]),
        make("CastLike", ["s", "w"], ["y"]),
    ]
    weight = np.asarray([[[0.1]], [[-3.0]], [[2.0]]], dtype)
    info = [helper.make_tensor_value_info("b", kind, SHAPE)]
    return of(nodes, kind=kind, stated=info, w=weight, sides=np.asarray(SHAPE))


@pytest.mark.parametrize("kind", [HALF, DOUBLE, BRAIN], ids=["float16", "float64", "bfloat16"])
def test_floats_become_float32(tmp_path: Path, kind: int) -> None:
    source = network(kind)
    made = read(source, tmp_path)
    assert types_in(made) <= {FLOAT, TensorProto.INT64}
    wanted = outputs(network(FLOAT))
    weight = numpy_helper.to_array(source.graph.initializer[0]).astype(np.float32)
    assert np.array_equal(numpy_helper.to_array(made.graph.initializer[0]), weight)
    assert np.abs(outputs(made) - wanted).max() < (0.05 if kind == BRAIN else 5e-3)
    assert np.array_equal(outputs(normalise(made)), outputs(made)), "casts that are idle now change nothing"


def test_float16_numbers_stored_as_integers(tmp_path: Path) -> None:
    weight = helper.make_tensor("w", HALF, [1], [1.5])
    assert weight.int32_data or weight.raw_data
    weight.ClearField("raw_data")
    weight.int32_data[:] = [int(np.float16(1.5).view(np.uint16))]
    model = of([helper.make_node("Mul", ["x", "w"], ["y"])], kind=HALF)
    model.graph.initializer.append(weight)
    assert numpy_helper.to_array(read(model, tmp_path).graph.initializer[0]) == [np.float32(1.5)]


def test_float64_beyond_float32_stays_finite(tmp_path: Path) -> None:
    weight = np.asarray([1e300, -1e300, np.inf])
    model = of([helper.make_node("Mul", ["x", "w"], ["y"])], kind=DOUBLE, w=weight.reshape(3, 1, 1))
    largest = np.finfo(np.float32).max
    made = numpy_helper.to_array(read(model, tmp_path).graph.initializer[0]).ravel()
    assert made.tolist() == [largest, -largest, np.inf]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(helper.make_tensor_value_info("a", FLOAT, (1, 3, 9, 9)), id="another-size"),
        pytest.param(helper.make_tensor_value_info("a", FLOAT, (1, 3, 4)), id="another-rank"),
        pytest.param(helper.make_tensor_value_info("a", TensorProto.INT64, SHAPE), id="another-type"),
    ],
)
def test_wrong_shapes_inside_are_forgotten(tmp_path: Path, wrong: onnx.ValueInfoProto) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Sigmoid", ["a"], ["y"])]
    made = read(of(nodes, stated=[wrong]), tmp_path)
    kind = next(value for value in made.graph.value_info if value.name == "a").type.tensor_type
    assert tuple(dim.dim_value for dim in kind.shape.dim) == SHAPE
    assert kind.elem_type == FLOAT


def test_a_wrong_shape_of_the_output_is_forgotten(tmp_path: Path) -> None:
    made = read(of([helper.make_node("Relu", ["x"], ["y"])], out=(1, 5, 4, 6)), tmp_path)
    assert [d.dim_value for d in made.graph.output[0].type.tensor_type.shape.dim] == list(SHAPE)


def test_what_is_wrong_with_the_graph_itself_is_still_said(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    with pytest.raises(ModelError, match="not sound ONNX"):
        read(of(nodes, out=SHAPE, w=np.zeros((5, 7), np.float32)), tmp_path)


def test_nodes_that_lead_nowhere_go(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("NonZero", ["y"], ["dead"]),
        helper.make_node("Bernoulli", ["x"], ["deader"]),
    ]
    made = read(of(nodes, w=np.zeros(5, np.float32)), tmp_path)
    assert [node.op_type for node in made.graph.node] == ["Relu"]
    assert not made.graph.initializer


def normalised(opset: int, *more: str, **attributes: Any) -> Callable[[], onnx.ModelProto]:
    vector = np.ones(3, np.float32)
    node = helper.make_node("BatchNormalization", list("xgbmv"), ["y", *more], name="bn", **attributes)
    return lambda: of([node], opset=opset, g=vector, b=vector, m=vector, v=vector)


def dropped(opset: int, *inputs: str, mask: bool = False, **arrays: Any) -> Callable[[], onnx.ModelProto]:
    make = helper.make_node
    nodes = [make("Dropout", ["x", *inputs], ["d", "m"], name="drop")]
    nodes += [make("Cast", ["m"], ["f"], to=1), make("Mul", ["d", "f"], ["y"])] if mask else [
        make("Relu", ["d"], ["y"])
    ]  # fmt: skip
    return lambda: of(nodes, opset=opset, **arrays)


RATIO, YES, NO = np.float32(0.5), np.asarray(True), np.asarray(False)
STATISTICS = ("m1", "v1", "m2", "v2")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        pytest.param(normalised(15, "m1", "v1", training_mode=1), "'bn' (Batch", id="training-mode"),
        pytest.param(normalised(14, training_mode=1), "'bn' (Batch", id="training-mode-alone"),
        pytest.param(normalised(9, *STATISTICS), "'bn' (Batch", id="old-statistics"),
        pytest.param(dropped(13, "r", "t", r=RATIO, t=YES), "'drop' (Dropout)", id="dropout"),
        pytest.param(dropped(12, "", "t", t=YES), "'drop' (Dropout)", id="dropout-default-ratio"),
        pytest.param(dropped(10, mask=True), "'drop' (Dropout)", id="old-dropout-whose-mask-is-read"),
        pytest.param(lambda: of([helper.make_node("Bernoulli", ["x"], ["y"])]), "draws", id="bernoulli"),
        pytest.param(
            lambda: of([
                helper.make_node("RandomUniformLike", ["x"], ["r"]),
                helper.make_node("Add", ["x", "r"], ["y"]),
            ]), "draws random numbers", id="noise",
        ),
    ],
)  # fmt: skip
def test_models_that_train_are_refused(
    tmp_path: Path, model: Callable[[], onnx.ModelProto], said: str
) -> None:
    with pytest.raises(ModelError, match=r"training mode: call model\.eval\(\)") as caught:
        read(model(), tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(normalised(15, training_mode=0), id="batch-norm"),
        pytest.param(normalised(9), id="old-batch-norm"),
        pytest.param(dropped(13, "r", "t", r=RATIO, t=NO), id="dropout"),
        pytest.param(dropped(13, "r", "t", r=np.float32(0), t=YES), id="dropout-of-nothing"),
        pytest.param(dropped(13, "r", r=RATIO), id="dropout-without-mode"),
        pytest.param(dropped(9), id="old-dropout"),
    ],
)
def test_models_at_inference_are_taken(tmp_path: Path, model: Callable[[], onnx.ModelProto]) -> None:
    made = normalise(read(model(), tmp_path))
    assert not {"Dropout"} & {node.op_type for node in made.graph.node}


@pytest.mark.parametrize(("pool", "counts"), [
    ("kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1, count_include_pad = 1", 0),
    ("kernel_shape = [3, 3], pads = [1, 1, 1, 1], ceil_mode = 1, count_include_pad = 1", 1),
    ("kernel_shape = [2, 2], strides = [2, 2], count_include_pad = 1", 1),
])  # fmt: skip
def test_padding_that_there_is_not_is_not_counted(tmp_path: Path, pool: str, counts: int) -> None:
    """ONNX Runtime divides by whole windows there, ONNX's reference by what lies in the image."""
    from onnx.reference import ReferenceEvaluator

    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1, 3, 7, 7] image) => (float[1, 3, h, w] y) {{ y = AveragePool<{pool}>(image) }}
    """)
    onnx.save(model, tmp_path / "net.onnx")
    read = read_model(tmp_path / "net.onnx")
    (node,) = read.graph.node
    assert {a.name: a.i for a in node.attribute}["count_include_pad"] == counts
    image = np.random.default_rng(0).uniform(1, 2, (1, 3, 7, 7)).astype(np.float32)
    found = Session(read).run({"image": image})[0]
    exact: Any = ReferenceEvaluator(model).run(None, {"image": image})
    assert np.allclose(found, exact[0], atol=1e-6)
