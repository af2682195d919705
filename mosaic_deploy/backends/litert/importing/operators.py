"""TFLite's operators as nodes of ONNX, one function for each that differs in more than its name.

What they compute is said in TensorFlow Lite's ``kernels/internal/reference``; options are those of its
schema. Whatever is not said here raises ``ModelError`` with what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mosaic_deploy.backends.litert.importing.writer import AXIS, Writer
from mosaic_deploy.errors import ModelError

_SAME = 0  # of Padding
_NONE, _RELU, _RELU_N1_TO_1, _RELU6 = range(4)  # of ActivationFunctionType
_KERNEL_OF_CONV = (0, 3, 1, 2)  # (O, H, W, I) to (O, I, H, W)
_KERNEL_OF_TRANSPOSED = (3, 0, 1, 2)  # (O, H, W, I) to (I, O, H, W)
_KERNEL_OF_DEPTHWISE = (3, 0, 1, 2)  # (1, H, W, C) to (C, 1, H, W)

Ends = tuple[list[int], int]
"""Numbers of an operator's inputs, and of what it gives."""


def write(graph: Writer, kind: str, op: Any) -> None:
    """Add an operator, ``kind`` in TFLite's words; raises ``ModelError`` for what is not read."""
    inputs, outputs = [int(i) for i in op.inputs], [int(i) for i in op.outputs]
    if kind not in _WRITERS:
        raise ModelError(f"operator {kind} is not read; known: {', '.join(sorted(_WRITERS))}")
    if len(outputs) != 1:
        raise ModelError(f"its {kind} gives {len(outputs)} tensors, one is expected")
    _WRITERS[kind](graph, (inputs, outputs[0]), op.builtinOptions)


def _dequantize(graph: Writer, ends: Ends, _options: Any) -> None:
    (source,), result = ends
    graph.widen(source, result)


def _conv(graph: Writer, ends: Ends, options: Any) -> None:
    (image, kernel, *bias), result = ends
    weights = graph.fixed(kernel, "a kernel").transpose(_KERNEL_OF_CONV)
    groups = graph.shape(image)[3] // max(weights.shape[1], 1)
    _convolve(graph, (image, weights, kernel, bias), result, options, groups)


def _depthwise(graph: Writer, ends: Ends, options: Any) -> None:
    (image, kernel, *bias), result = ends
    weights = graph.fixed(kernel, "a kernel").transpose(_KERNEL_OF_DEPTHWISE)
    _convolve(graph, (image, weights, kernel, bias), result, options, graph.shape(image)[3])


def _convolve(
    graph: Writer, given: tuple[int, Any, int, list[int]], result: int, options: Any, g: int
) -> None:
    image, weights, kernel, bias = given
    strides, dilations = _strides(options), [options.dilationHFactor, options.dilationWFactor]
    size = [(k - 1) * d + 1 for k, d in zip(weights.shape[2:], dilations, strict=True)]
    inputs = [graph.value(image), graph.constant(graph.name(kernel), weights), *_bias(graph, bias)]
    with _Activated(graph, result, options) as place:
        graph.node(
            "Conv", inputs, place, kernel_shape=list(weights.shape[2:]), strides=strides, dilations=dilations,
            group=g, pads=_pads(options, graph.shape(image)[1:3], size, strides),
        )  # fmt: skip


def _transposed(graph: Writer, ends: Ends, options: Any) -> None:
    (_size, kernel, image, *bias), result = ends
    weights = graph.fixed(kernel, "a kernel").transpose(_KERNEL_OF_TRANSPOSED)
    strides = _strides(options)
    starts, stops, added = [], [], []
    for k, s, small, large in zip(
        weights.shape[2:], strides, graph.shape(image)[1:3], graph.shape(result)[1:3], strict=True
    ):
        whole = (small - 1) * s + k
        over = max(whole - large, 0) if options.padding == _SAME else 0
        starts.append(over // 2)
        stops.append(over - over // 2)
        added.append(large - whole + over)
    if min(added) < 0 or any(extra >= stride for extra, stride in zip(added, strides, strict=True)):
        raise ModelError("a TRANSPOSE_CONV states a size that its strides do not give")
    inputs = [graph.value(image), graph.constant(graph.name(kernel), weights), *_bias(graph, bias)]
    with _Activated(graph, result, options) as place:
        graph.node(
            "ConvTranspose", inputs, place, kernel_shape=list(weights.shape[2:]), strides=strides,
            pads=starts + stops, output_padding=added,
        )  # fmt: skip


def _average(graph: Writer, ends: Ends, options: Any) -> None:
    (image,), result = ends
    size, height_width = [options.filterHeight, options.filterWidth], graph.shape(image)[1:3]
    with _Activated(graph, result, options) as place:
        if tuple(size) == height_width and graph.shape(result)[1:3] == (1, 1):
            graph.node("GlobalAveragePool", [graph.value(image)], place)
            return
        pads = _pads(options, height_width, size, _strides(options))
        graph.node(
            "AveragePool", [graph.value(image)], place, kernel_shape=size, strides=_strides(options),
            pads=pads, count_include_pad=0,
        )  # fmt: skip


def _largest(graph: Writer, ends: Ends, options: Any) -> None:
    (image,), result = ends
    size, strides = [options.filterHeight, options.filterWidth], _strides(options)
    pads = _pads(options, graph.shape(image)[1:3], size, strides)
    with _Activated(graph, result, options) as place:
        graph.node("MaxPool", [graph.value(image)], place, kernel_shape=size, strides=strides, pads=pads)


def _mean(graph: Writer, ends: Ends, options: Any) -> None:
    (image, axes), result = ends
    over = {int(axis) % 4 for axis in graph.fixed(axes, "what MEAN goes over").ravel()}
    if over != {1, 2} or not options.keepDims or len(graph.shape(image)) != 4:
        raise ModelError("a MEAN is read where it goes over height and width and keeps both as 1")
    graph.node("GlobalAveragePool", [graph.value(image)], graph.name(result))


def _resize(mode: str) -> Callable[[Writer, Ends, Any], None]:
    def write_resize(graph: Writer, ends: Ends, options: Any) -> None:
        (image, _size), result = ends
        centres = "half_pixel" if options.halfPixelCenters else "asymmetric"
        attributes: dict[str, Any] = {"mode": mode}
        attributes["coordinate_transformation_mode"] = "align_corners" if options.alignCorners else centres
        if mode == "nearest":
            plain = centres == "asymmetric" and not options.alignCorners
            attributes["nearest_mode"] = "floor" if plain else "round_prefer_ceil"
        _, height, width, channels = graph.shape(result)
        size = graph.constant(f"{graph.name(result)}.size", np.array([1, channels, height, width], np.int64))
        graph.node("Resize", [graph.value(image), "", "", size], graph.name(result), **attributes)

    return write_resize


def _concat(graph: Writer, ends: Ends, options: Any) -> None:
    inputs, result = ends
    rank = len(graph.shape(result))
    axis = int(options.axis) % rank
    with _Activated(graph, result, options) as place:
        names = [graph.value(i) for i in inputs]
        graph.node("Concat", names, place, axis=AXIS[axis] if rank == 4 else axis)


def _pad(graph: Writer, ends: Ends, _options: Any) -> None:
    (image, amounts), result = ends
    around = graph.fixed(amounts, "what PAD adds").astype(np.int64)
    if around.shape != (4, 2):
        raise ModelError("a PAD is read where its tensor has four axes")
    order = around[[0, 3, 1, 2]].T.ravel()
    name = graph.constant(f"{graph.name(result)}.pads", order)
    graph.node("Pad", [graph.value(image), name], graph.name(result))


def _softmax(graph: Writer, ends: Ends, options: Any) -> None:
    (scores,), result = ends
    if options.beta != 1 or len(graph.shape(scores)) != 4:
        raise ModelError("a SOFTMAX is read over classes of an image, with beta 1")
    graph.node("Softmax", [graph.value(scores)], graph.name(result), axis=1)


def _arg_max(graph: Writer, ends: Ends, _options: Any) -> None:
    (scores, axis), result = ends
    if len(graph.shape(scores)) != 4 or int(graph.fixed(axis, "an axis").ravel()[0]) % 4 != 3:
        raise ModelError("an ARG_MAX is read over classes of an image")
    ids = f"{graph.name(result)}.ids"
    graph.node("ArgMax", [graph.value(scores)], ids, axis=1, keepdims=0)
    graph.node("Cast", [ids], graph.name(result), to=graph.type_of(result))


def _prelu(graph: Writer, ends: Ends, _options: Any) -> None:
    (image, slopes), result = ends
    graph.node("PRelu", [graph.value(image), graph.value(slopes)], graph.name(result))


def _leaky(graph: Writer, ends: Ends, options: Any) -> None:
    (image,), result = ends
    graph.node("LeakyRelu", [graph.value(image)], graph.name(result), alpha=float(options.alpha))


def _limited(low: float, high: float) -> Callable[[Writer, Ends, Any], None]:
    def write_limited(graph: Writer, ends: Ends, _options: Any) -> None:
        (image,), result = ends
        _clip(graph, graph.value(image), graph.name(result), (low, high))

    return write_limited


def _unary(kind: str) -> Callable[[Writer, Ends, Any], None]:
    def write_unary(graph: Writer, ends: Ends, _options: Any) -> None:
        (image,), result = ends
        graph.node(kind, [graph.value(image)], graph.name(result))

    return write_unary


def _binary(kind: str) -> Callable[[Writer, Ends, Any], None]:
    def write_binary(graph: Writer, ends: Ends, options: Any) -> None:
        inputs, result = ends
        rank = len(graph.shape(result))
        if any(graph.known(i) is None and len(graph.shape(i)) != rank for i in inputs):
            raise ModelError("an operator of two tensors is read where both have as many axes")
        with _Activated(graph, result, options) as place:
            graph.node(kind, [graph.value(i, beside=rank) for i in inputs], place)

    return write_binary


class _Activated:
    """Gives a name for an operator's own result; its fused activation then makes the tensor of it."""

    def __init__(self, graph: Writer, result: int, options: Any) -> None:
        self._graph, self._result = graph, result
        self._fused = int(getattr(options, "fusedActivationFunction", _NONE))
        if self._fused not in (_NONE, _RELU, _RELU_N1_TO_1, _RELU6):
            raise ModelError("a fused activation that is neither ReLU nor ReLU6 nor a clip to -1 and 1")

    def __enter__(self) -> str:
        plain = self._fused == _NONE
        self._place = self._graph.name(self._result) if plain else self._graph.between(self._result)
        return self._place

    def __exit__(self, kind: object, *_rest: object) -> None:
        if kind is not None or self._fused == _NONE:
            return
        name = self._graph.name(self._result)
        if self._fused == _RELU:
            self._graph.node("Relu", [self._place], name)
        else:
            _clip(self._graph, self._place, name, (0, 6) if self._fused == _RELU6 else (-1, 1))


def _clip(graph: Writer, source: str, result: str, limits: tuple[float, float]) -> None:
    ends = [
        graph.constant(f"{result}.{word}", np.array(limit, np.float32))
        for word, limit in zip(("min", "max"), limits, strict=True)
    ]
    graph.node("Clip", [source, *ends], result)


def _strides(options: Any) -> list[int]:
    return [int(options.strideH), int(options.strideW)]


def _bias(graph: Writer, bias: list[int]) -> list[str]:
    if not bias or bias[0] < 0:
        return []
    return [graph.constant(graph.name(bias[0]), graph.fixed(bias[0], "a bias"))]


def _pads(options: Any, image: tuple[int, ...], kernel: list[int], strides: list[int]) -> list[int]:
    """Rows and columns around an image, as TensorFlow pads: an odd one lies at the end."""
    if options.padding != _SAME:
        return [0, 0, 0, 0]
    over = [
        max((-(-length // stride) - 1) * stride + size - length, 0)
        for length, size, stride in zip(image, kernel, strides, strict=True)
    ]
    return [amount // 2 for amount in over] + [amount - amount // 2 for amount in over]


_WRITERS: dict[str, Callable[[Writer, Ends, Any], None]] = {
    "ADD": _binary("Add"),
    "ARG_MAX": _arg_max,
    "AVERAGE_POOL_2D": _average,
    "CONCATENATION": _concat,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEQUANTIZE": _dequantize,
    "DIV": _binary("Div"),
    "HARD_SWISH": _unary("HardSwish"),
    "LEAKY_RELU": _leaky,
    "LOGISTIC": _unary("Sigmoid"),
    "MAXIMUM": _binary("Max"),
    "MAX_POOL_2D": _largest,
    "MEAN": _mean,
    "MINIMUM": _binary("Min"),
    "MUL": _binary("Mul"),
    "PAD": _pad,
    "PRELU": _prelu,
    "RELU": _unary("Relu"),
    "RELU6": _limited(0, 6),
    "RELU_N1_TO_1": _limited(-1, 1),
    "RESIZE_BILINEAR": _resize("linear"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("nearest"),
    "SOFTMAX": _softmax,
    "SUB": _binary("Sub"),
    "TANH": _unary("Tanh"),
    "TRANSPOSE_CONV": _transposed,
}
