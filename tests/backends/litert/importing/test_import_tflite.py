"""Files made by hand, run on LiteRT and, as they were read, on ONNX Runtime: ``convert`` compares them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.importing import convert, operators
from mosaic_deploy.backends.litert.importing.import_tflite import import_tflite
from mosaic_deploy.errors import ModelError, UsageError
from tests.backends.litert.tflite import tensor, tflite_model

RNG = np.random.default_rng(3)
SAME, VALID, RELU6 = 0, 1, 3


def quiet(_share: float, _note: str) -> None:
    pass


def numbers(*shape: int) -> NDArray[np.float32]:
    return RNG.normal(size=shape).astype(np.float32)


def network(
    kind: str, given: list[Any], result: list[int], image: tuple[int, ...] = (1, 9, 7, 4), **options: Any
) -> Any:
    """``kind`` with the image and ``given`` constants as inputs; an input that is ``None`` is the image."""
    model = tflite_model()
    graph = model.subgraphs[0]
    graph.inputs = [tensor(model, "image", list(image))]
    inputs = [
        graph.inputs[0] if value is None else flatbuffer.add_constant(model, f"constant_{place}", value)
        for place, value in enumerate(given)
    ]
    graph.outputs = [tensor(model, "result", result)]
    op = operator(model, kind, inputs, list(graph.outputs))
    for name, value in options.items():
        setattr(op.builtinOptions, name, value)
    graph.operators = [op]
    return model


def operator(model: Any, kind: str, inputs: list[int], outputs: list[int]) -> Any:
    """An operator; of those without options of their own, by its code alone."""
    from ai_edge_litert import schema_py_generated as schema

    named = {
        "CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "AVERAGE_POOL_2D": "Pool2D",
        "MAX_POOL_2D": "Pool2D", "MAXIMUM": "MaximumMinimum", "MEAN": "Reducer",
    }  # fmt: skip
    bare = {"LOGISTIC", "RELU", "RELU6", "RELU_N1_TO_1", "TANH", "PRELU"}
    op = schema.OperatorT()
    op.opcodeIndex = flatbuffer.opcode(model, kind, version=1)
    op.inputs, op.outputs = inputs, outputs
    if kind not in bare:
        options = f"{named.get(kind) or kind.title().replace('_', '')}Options"
        op.builtinOptionsType = vars(schema.BuiltinOptions)[options]
        op.builtinOptions = vars(schema)[f"{options}T"]()
    return op


def read(model: Any, folder: Path) -> onnx.ModelProto:
    """The file as ``convert`` writes it."""
    flatbuffer.save(model, folder / "net.tflite")
    request = {"tflite": str(folder / "net.tflite"), "onnx": str(folder / "net.onnx")}
    found = convert.convert(request, quiet)
    assert 0 <= found["difference"] <= convert.LIMIT
    made = onnx.load(folder / "net.onnx")
    onnx.checker.check_model(made, full_check=True)
    return made


def steps(height: int, width: int, padding: int = SAME) -> dict[str, int]:
    return {"strideH": height, "strideW": width, "padding": padding}


def window(height: int, width: int) -> dict[str, int]:
    return {"filterHeight": height, "filterWidth": width}


def integers(*values: int) -> NDArray[np.int32]:
    return np.array(values, np.int32)


Case = tuple[str, list[Any], list[int], dict[str, Any]]
"""Kind, inputs, shape of what it gives, options."""
CONV: Case = ("CONV_2D", [None, numbers(5, 3, 3, 4), numbers(5)], [1, 5, 3, 5], steps(2, 3))
DILATED = {"dilationHFactor": 2, "dilationWFactor": 2}
AMOUNTS = np.array([[0, 0], [1, 2], [0, 3], [0, 0]], np.int32)
SIZE, LARGE = integers(13, 20), [1, 13, 20, 4]
BILINEAR, NEAREST = "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"
DEPTHWISE, TRANSPOSED = "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"
AS_IT_WAS = [1, 9, 7, 4]
CASES: dict[str, Case] = {
    "conv": CONV,
    "conv, dilated": ("CONV_2D", CONV[1], [1, 9, 7, 5], steps(1, 1) | DILATED),
    "conv, valid": ("CONV_2D", CONV[1], [1, 7, 5, 5], steps(1, 1, VALID)),
    "conv and ReLU6": ("CONV_2D", CONV[1], [1, 9, 7, 5], steps(1, 1) | {"fusedActivationFunction": RELU6}),
    "depthwise": (DEPTHWISE, [None, numbers(1, 3, 3, 4), numbers(4)], [1, 5, 4, 4], steps(2, 2)),
    "depthwise, two each": (DEPTHWISE, [None, numbers(1, 3, 3, 8), numbers(8)], [1, 9, 7, 8], steps(1, 1)),
    "transposed": (
        TRANSPOSED,
        [integers(1, 18, 14, 3), numbers(3, 3, 3, 4), None],
        [1, 18, 14, 3],
        steps(2, 2),
    ),
    "transposed, valid": (
        TRANSPOSED,
        [integers(1, 19, 15, 3), numbers(3, 3, 3, 4), None],
        [1, 19, 15, 3],
        steps(2, 2, VALID),
    ),
    "average": ("AVERAGE_POOL_2D", [None], [1, 5, 4, 4], steps(2, 2) | window(3, 3)),
    "average of all": ("AVERAGE_POOL_2D", [None], [1, 1, 1, 4], steps(9, 7, VALID) | window(9, 7)),
    "largest": ("MAX_POOL_2D", [None], [1, 5, 4, 4], steps(2, 2) | window(2, 2)),
    "mean": ("MEAN", [None, integers(1, 2)], [1, 1, 1, 4], {"keepDims": True}),
    "bilinear": (BILINEAR, [None, SIZE], LARGE, {}),
    "bilinear, half-pixel": (BILINEAR, [None, SIZE], LARGE, {"halfPixelCenters": True}),
    "bilinear, corners": (BILINEAR, [None, SIZE], LARGE, {"alignCorners": True}),
    "nearest": (NEAREST, [None, SIZE], LARGE, {}),
    "nearest, half-pixel": (NEAREST, [None, SIZE], LARGE, {"halfPixelCenters": True}),
    "nearest, corners": (NEAREST, [None, SIZE], LARGE, {"alignCorners": True}),
    "add a row": ("ADD", [None, numbers(4)], AS_IT_WAS, {}),
    "take from a number": ("SUB", [np.array(0.3, np.float32), None], AS_IT_WAS, {}),
    "times a map": ("MUL", [None, numbers(1, 9, 7, 1)], AS_IT_WAS, {}),
    "divide": ("DIV", [None, np.abs(numbers(4)) + 1], AS_IT_WAS, {}),
    "join": ("CONCATENATION", [None, numbers(1, 9, 7, 2)], [1, 9, 7, 6], {"axis": 3}),
    "join from the end": ("CONCATENATION", [None, numbers(1, 2, 7, 4)], [1, 11, 7, 4], {"axis": -3}),
    "pad": ("PAD", [None, AMOUNTS], [1, 12, 10, 4], {}),
    "softmax": ("SOFTMAX", [None], AS_IT_WAS, {"beta": 1.0}),
    "h-swish": ("HARD_SWISH", [None], AS_IT_WAS, {}),
    "sigmoid": ("LOGISTIC", [None], AS_IT_WAS, {}),
    "tanh": ("TANH", [None], AS_IT_WAS, {}),
    "relu6": ("RELU6", [None], AS_IT_WAS, {}),
    "clip": ("RELU_N1_TO_1", [None], AS_IT_WAS, {}),
    "leaky": ("LEAKY_RELU", [None], AS_IT_WAS, {"alpha": 0.2}),
    "prelu": ("PRELU", [None, numbers(1, 1, 4)], AS_IT_WAS, {}),
    "larger of two": ("MAXIMUM", [None, numbers(4)], AS_IT_WAS, {}),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_an_operator_computes_what_litert_does(case: Case, tmp_path: Path) -> None:
    kind, given, result, options = case
    made = read(network(kind, given, result, **options), tmp_path)
    shape = [d.dim_value for d in made.graph.output[0].type.tensor_type.shape.dim]
    assert shape == [result[place] for place in (0, 3, 1, 2)]
    assert [d.dim_value for d in made.graph.input[0].type.tensor_type.shape.dim] == [1, 4, 9, 7]


def test_ids_of_the_best_class(tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model = network("ARG_MAX", [None, np.array(3, np.int32)], [1, 9, 7], outputType=2)
    model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]].type = schema.TensorType.INT32
    made = read(model, tmp_path)
    assert [node.op_type for node in made.graph.node] == ["ArgMax", "Cast"]
    assert made.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.INT32


def tflite_of_nothing() -> Any:
    model = tflite_model()
    model.subgraphs[0].inputs = model.subgraphs[0].outputs = [tensor(model, "image", [1, 8, 6, 4])]
    return model


def mediapipe_network(padding: int = 1) -> Any:
    """A transposed convolution of MediaPipe's, behind weights in float16."""
    from ai_edge_litert import schema_py_generated as schema

    model = tflite_model()
    graph = model.subgraphs[0]
    graph.inputs = [tensor(model, "image", [1, 8, 6, 4])]
    stored = flatbuffer.add_constant(model, "kernel", numbers(2, 2, 2, 4).astype(np.float16))
    kernel, bias = (
        tensor(model, "kernel_floats", [2, 2, 2, 4]),
        flatbuffer.add_constant(model, "bias", numbers(2)),
    )
    graph.outputs = [tensor(model, "mask", [1, 16, 12, 2])]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = b"Convolution2DTransposeBias", 1
    model.operatorCodes.append(code)
    custom = schema.OperatorT()
    custom.opcodeIndex = len(model.operatorCodes) - 1
    custom.inputs, custom.outputs = [graph.inputs[0], kernel, bias], list(graph.outputs)
    custom.customOptions = np.array([padding, 2, 2], "<i4").view(np.uint8)
    graph.operators = [flatbuffer.operator(model, "DEQUANTIZE", [stored], [kernel]), custom]
    return model


def test_an_operator_of_mediapipe_and_weights_in_float16(tmp_path: Path) -> None:
    flatbuffer.save(mediapipe_network(), tmp_path / "mask.tflite")
    made = import_tflite(tmp_path / "mask.tflite", tmp_path / "mask.onnx", force=False, on_progress=quiet)
    assert made.restated == ("mask",)
    assert made.size == (8, 6)
    kinds = [node.op_type for node in onnx.load(tmp_path / "mask.onnx").graph.node]
    assert kinds == ["ConvTranspose", "Add"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.onnx", "mask.tflite"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda: mediapipe_network(padding=7), "options or inputs of another kind", id="padding"),
        pytest.param(
            lambda: network("ADD", [None, numbers(4)], [1, 9, 7, 4], fusedActivationFunction=4),
            "a fused activation",
            id="tanh",
        ),
        pytest.param(lambda: network("SOFTMAX", [None], [1, 9, 7, 4], beta=2.0), "with beta 1", id="beta"),
        pytest.param(
            lambda: network("MEAN", [None, np.array([3], np.int32)], [1, 9, 7, 1], keepDims=True),
            "over height and width",
            id="mean",
        ),
        pytest.param(lambda: network("SQUEEZE", [None], [9, 7, 4]), "SQUEEZE is not read", id="kind"),
        pytest.param(
            lambda: network("RELU", [None], [1, 9, 7, 5]), "what its operators do not give", id="shape"
        ),
        pytest.param(tflite_of_nothing, "holds no operator", id="nothing"),
        pytest.param(
            lambda: network("RELU", [None], [4], image=(4,)), r"one image \(1, H, W, C\)", id="no image"
        ),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named(change: Callable[[], Any], words: str, tmp_path: Path) -> None:
    flatbuffer.save(change(), tmp_path / "net.tflite")
    with pytest.raises(ModelError, match=words) as refused:
        import_tflite(tmp_path / "net.tflite", tmp_path / "net.onnx", force=False, on_progress=quiet)
    assert str(refused.value).startswith("net.tflite: ")
    assert [path.name for path in tmp_path.iterdir()] == ["net.tflite"]


def test_a_quantised_file_is_run_as_it_is(tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model = network("RELU", [None], [1, 9, 7, 4])
    model.subgraphs[0].tensors[0].type = schema.TensorType.INT8
    flatbuffer.save(model, tmp_path / "net.tflite")
    with pytest.raises(ModelError, match="takes int8: import-tflite reads float networks"):
        import_tflite(tmp_path / "net.tflite", tmp_path / "net.onnx", force=False, on_progress=quiet)


def test_what_is_misread_is_found_by_running_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(operators._WRITERS, "RELU6", operators._limited(0, 5.9))
    model = network("MUL", [None, np.full(4, 20, np.float32)], [1, 9, 7, 4])
    graph = model.subgraphs[0]
    scaled, graph.outputs = list(graph.outputs), [tensor(model, "clipped", [1, 9, 7, 4])]
    graph.operators.append(operator(model, "RELU6", scaled, list(graph.outputs)))
    with pytest.raises(ModelError, match=r"'clipped' differs from LiteRT's run by 1\.\d+%"):
        read(model, tmp_path)


@pytest.mark.parametrize(
    "kept", [pytest.param(0, id="empty"), pytest.param(40, id="head"), pytest.param(-99, id="cut")]
)
def test_a_damaged_file_is_refused_in_one_line(kept: int, tmp_path: Path) -> None:
    kind, given, result, options = CONV
    model = network(kind, given, result, **options)
    flatbuffer.save(model, tmp_path / "net.tflite")
    data = (tmp_path / "net.tflite").read_bytes()
    (tmp_path / "net.tflite").write_bytes(data[:kept])
    with pytest.raises(ModelError, match=r"net\.tflite: (cut off or damaged|not a) TFLite file"):
        import_tflite(tmp_path / "net.tflite", tmp_path / "net.onnx", force=False, on_progress=quiet)


def test_where_it_may_be_written(tmp_path: Path) -> None:
    flatbuffer.save(network("RELU", [None], [1, 9, 7, 4]), tmp_path / "net.tflite")
    with pytest.raises(UsageError, match=r"name an \.onnx file"):
        import_tflite(tmp_path / "net.tflite", tmp_path / "net.pb", force=False, on_progress=quiet)
    (tmp_path / "net.onnx").write_bytes(b"kept")
    with pytest.raises(UsageError, match="exists already: add --force"):
        import_tflite(tmp_path / "net.tflite", tmp_path / "net.onnx", force=False, on_progress=quiet)
    import_tflite(tmp_path / "net.tflite", tmp_path / "net.onnx", force=True, on_progress=quiet)
    assert onnx.load(tmp_path / "net.onnx").graph.node[0].op_type == "Relu"
    with pytest.raises(ModelError, match="no such file"):
        import_tflite(tmp_path / "other.tflite", tmp_path / "other.onnx", force=False, on_progress=quiet)
