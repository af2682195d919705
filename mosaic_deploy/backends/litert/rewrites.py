"""Exact rewrites of TFLite graphs, for what onnx2tf leaves behind and XNNPACK or an Edge TPU would not run.

Each works in place on the schema's ``ModelT`` and gives the number of its changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.layout import keep_nhwc
from mosaic_deploy.backends.litert.repairs import (
    pad_plainly,
    reconnect,
    skip_bridges,
    spread_bounds,
    state_shapes,
)
from mosaic_deploy.errors import ModelError

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_FUSING = (*_CONVOLUTIONS, "FULLY_CONNECTED", "ADD")
_ACTIVATIONS = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
"""Operator -> the schema's number of it as an activation."""
_MOST_PARTS = 4
"""Outputs of a SPLIT that XNNPACK takes."""


def tidy(model: Any) -> int:
    """All that is good for every runtime."""
    changes = reconnect(model) + skip_bridges(model) + state_shapes(model) + keep_nhwc(model)
    changes += fold_pads(model) + chain_pools(model)
    changes += activate_before_reshaping(model) + fuse_activations(model)
    return changes + pad_plainly(model) + spread_bounds(model) + join_slices(model) + narrow_ids(model)


def cut_ids(model: Any) -> None:
    """Turn scores -> ARG_MAX -> ids  into  scores; raises ``ModelError`` if no ARG_MAX makes the output."""
    graph = model.subgraphs[0]
    maker = _maker(graph, graph.outputs[0])
    if maker is None or flatbuffer.kind(model, maker) != "ARG_MAX":
        raise ModelError("onnx2tf did not keep the ArgMax that shows it the axes of the scores")
    graph.outputs = [maker.inputs[0]]
    graph.operators.remove(maker)


def fold_pads(model: Any) -> int:
    """Turn x -> PAD -> convolution (VALID)  into  x -> convolution (SAME), where both pad alike."""
    graph = model.subgraphs[0]
    changes = 0
    for pad in [op for op in graph.operators if flatbuffer.kind(model, op) == "PAD"]:
        users = _users(graph, pad.outputs[0])
        widths = flatbuffer.constant(model, pad.inputs[1])
        if len(users) != 1 or widths is None or flatbuffer.kind(model, users[0]) not in _CONVOLUTIONS:
            continue
        if users[0].inputs[0] == pad.outputs[0] and _is_same(model, pad, users[0], widths.tolist()):
            users[0].inputs = [pad.inputs[0], *users[0].inputs[1:]]
            users[0].builtinOptions.padding = 0  # SAME
            graph.operators.remove(pad)
            changes += 1
    return changes


def _is_same(model: Any, pad: Any, convolution: Any, widths: list[list[int]]) -> bool:
    """Whether TFLite's SAME would pad by just these widths, [[before, after], ...] for NHWC."""
    graph, options = model.subgraphs[0], convolution.builtinOptions
    size, kernel = (graph.tensors[i].shape for i in (pad.inputs[0], convolution.inputs[1]))
    if options.padding != 1 or widths[0] != [0, 0] or widths[3] != [0, 0]:
        return False
    strides = (options.strideH, options.strideW)
    dilations = (options.dilationHFactor, options.dilationWFactor)
    for axis in (1, 2):
        stride, reach = strides[axis - 1], (int(kernel[axis]) - 1) * dilations[axis - 1] + 1
        total = _padding(int(size[axis]), stride, reach)
        if widths[axis] != [total // 2, total - total // 2]:
            return False
    return True


def activate_before_reshaping(model: Any) -> int:
    """Turn convolution -> RESHAPE -> RELU  into  convolution -> RELU -> RESHAPE, for them to be fused.

    onnx2tf leaves such behind a pooled image, as in squeeze and excite.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in list(graph.operators):
        reshape = _maker(graph, op.inputs[0]) if flatbuffer.kind(model, op) in _ACTIVATIONS else None
        if reshape is None or flatbuffer.kind(model, reshape) != "RESHAPE":
            continue
        source, between = reshape.inputs[0], op.inputs[0]
        maker = _maker(graph, source)
        if maker is None or flatbuffer.kind(model, maker) not in _FUSING:
            continue
        if any(i in list(graph.outputs) or len(_users(graph, i)) > 1 for i in (source, between)):
            continue
        graph.tensors[between].shape = graph.tensors[source].shape
        graph.tensors[between].shapeSignature = graph.tensors[source].shapeSignature
        op.inputs, op.outputs, reshape.outputs = [source], [between], op.outputs
        reshape.inputs = [between, *reshape.inputs[1:]]
        first, second = graph.operators.index(reshape), graph.operators.index(op)
        graph.operators[first], graph.operators[second] = op, reshape
        changes += 1
    return changes


def fuse_activations(model: Any) -> int:
    """Turn convolution or sum -> RELU  into  one operator: XNNPACK takes no integer RELU by itself."""
    graph = model.subgraphs[0]
    changes = 0
    for op in list(graph.operators):
        activation = _ACTIVATIONS.get(flatbuffer.kind(model, op))
        maker = _maker(graph, op.inputs[0]) if activation is not None else None
        if maker is None or flatbuffer.kind(model, maker) not in _FUSING:
            continue
        shown = op.inputs[0] in list(graph.outputs) or len(_users(graph, op.inputs[0])) > 1
        if shown or maker.builtinOptions.fusedActivationFunction != 0:
            continue
        maker.builtinOptions.fusedActivationFunction = activation
        maker.outputs = op.outputs
        graph.operators.remove(op)
        changes += 1
    return changes


def join_slices(model: Any) -> int:
    """Turn SLICEs that part a tensor evenly along one axis into one SPLIT, which XNNPACK takes."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    groups: dict[int, list[Any]] = {}
    for op in graph.operators:
        if flatbuffer.kind(model, op) == "SLICE":
            groups.setdefault(int(op.inputs[0]), []).append(op)
    changes = 0
    for source, slices in groups.items():
        axis = _even_axis(model, source, slices)
        if axis is None:
            continue
        number = flatbuffer.add_constant(model, f"{flatbuffer.title(graph.tensors[source])}_axis", axis)
        split, options = schema.OperatorT(), schema.SplitOptionsT()
        options.numSplits = len(slices)
        split.opcodeIndex = flatbuffer.opcode(model, "SPLIT", version=2)
        split.inputs, split.outputs = [number, source], [int(op.outputs[0]) for op in slices]
        split.builtinOptionsType, split.builtinOptions = schema.BuiltinOptions.SplitOptions, options
        graph.operators[graph.operators.index(slices[0])] = split
        for op in slices[1:]:
            graph.operators.remove(op)
        changes += 1
    return changes


def _even_axis(model: Any, source: int, slices: list[Any]) -> Any:
    """The axis that these slices part evenly, without gap or overlap and in their order, or None."""
    shape = [int(d) for d in model.subgraphs[0].tensors[source].shape]
    if not 2 <= len(slices) <= _MOST_PARTS:
        return None
    begins, sizes = ([flatbuffer.constant(model, op.inputs[i]) for op in slices] for i in (1, 2))
    if any(value is None for value in (*begins, *sizes)):
        return None
    for axis, length in enumerate(shape):
        if length % len(slices):
            continue
        part = length // len(slices)
        size = [part if i == axis else d for i, d in enumerate(shape)]
        starts = [[part * n if i == axis else 0 for i in range(len(shape))] for n in range(len(slices))]
        shapes = [[int(d) for d in model.subgraphs[0].tensors[op.outputs[0]].shape] for op in slices]
        if all(s == size for s in shapes) and [b.tolist() for b in begins if b is not None] == starts:
            return np.array(axis, np.int32)
    return None


def narrow_ids(model: Any) -> int:
    """Let ARG_MAX give int32, and drop a CAST to int32 behind it."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) == "ARG_MAX"]:
        ids = graph.tensors[op.outputs[0]]
        users = _users(graph, op.outputs[0])
        if flatbuffer.dtype(ids) != "INT64" or any(flatbuffer.kind(model, user) != "CAST" for user in users):
            continue
        ids.type = op.builtinOptions.outputType = schema.TensorType.INT32
        changes += 1
        for cast in users:
            if cast.builtinOptions is not None:
                cast.builtinOptions.inDataType = schema.TensorType.INT32
            if graph.tensors[cast.outputs[0]].type == schema.TensorType.INT32:
                bypass(graph, cast)
    return changes


def bypass(graph: Any, op: Any) -> None:
    """Turn x -> op -> y  into  x, which takes y's name where y is the graph's output."""
    source, result = op.inputs[0], op.outputs[0]
    for user in graph.operators:
        user.inputs = [source if i == result else i for i in user.inputs]
    if result in list(graph.outputs):
        graph.tensors[source].name = graph.tensors[result].name
        graph.outputs = [source if i == result else i for i in graph.outputs]
    graph.operators.remove(op)


def chain_pools(model: Any) -> int:
    """Turn x -> AVERAGE_POOL_2D by 6x8  into  x -> by 3x4 -> by 2x2, where x is averaged by 3x4 as well.

    Windows must lie side by side; the average of averages of as many is the average.
    """
    graph = model.subgraphs[0]
    pools = [
        op for op in graph.operators if flatbuffer.kind(model, op) == "AVERAGE_POOL_2D" and _tiles(graph, op)
    ]
    pools.sort(key=lambda op: op.builtinOptions.filterHeight * op.builtinOptions.filterWidth)
    changes = 0
    for number, large in enumerate(pools):
        for small in reversed(pools[:number]):
            (height, width), (h, w) = _window(large), _window(small)
            if small.inputs[0] != large.inputs[0] or height % h or width % w or (height, width) == (h, w):
                continue
            large.inputs = [small.outputs[0]]
            options = large.builtinOptions
            options.filterHeight = options.strideH = height // h
            options.filterWidth = options.strideW = width // w
            graph.operators.remove(large)
            after = next(i for i, op in enumerate(graph.operators) if op is small)
            graph.operators.insert(after + 1, large)
            changes += 1
            break
    return changes


def _tiles(graph: Any, pool: Any) -> bool:
    """Whether a pool's windows lie side by side and cover all of its input, and nothing is fused into it."""
    options, shape = pool.builtinOptions, graph.tensors[pool.inputs[0]].shape
    side_by_side = (options.strideH, options.strideW) == _window(pool)
    whole = int(shape[1]) % options.strideH == 0 and int(shape[2]) % options.strideW == 0
    return bool(side_by_side and whole and options.fusedActivationFunction == 0)


def _window(pool: Any) -> tuple[int, int]:
    return int(pool.builtinOptions.filterHeight), int(pool.builtinOptions.filterWidth)


def pools_as_convolutions(model: Any) -> int:
    """Turn AVERAGE_POOL_2D into DEPTHWISE_CONV_2D by 1/n: XNNPACK takes no integer average."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    changes = 0
    for index, op in enumerate(list(graph.operators)):
        if flatbuffer.kind(model, op) != "AVERAGE_POOL_2D" or _pads(graph, op):
            continue
        pool, name = op.builtinOptions, flatbuffer.title(graph.tensors[op.outputs[0]])
        channels = int(graph.tensors[op.inputs[0]].shape[3])
        size = (1, pool.filterHeight, pool.filterWidth, channels)
        weights = np.full(size, 1 / (pool.filterHeight * pool.filterWidth), np.float32)
        convolution, options = schema.OperatorT(), schema.DepthwiseConv2DOptionsT()
        options.padding, options.depthMultiplier = pool.padding, 1
        options.strideH, options.strideW = pool.strideH, pool.strideW
        options.fusedActivationFunction = pool.fusedActivationFunction
        convolution.inputs = [
            op.inputs[0],
            flatbuffer.add_constant(model, f"{name}_mean", weights),
            flatbuffer.add_constant(model, f"{name}_zero", np.zeros(channels, np.float32)),
        ]
        convolution.outputs = op.outputs
        convolution.opcodeIndex = flatbuffer.opcode(model, "DEPTHWISE_CONV_2D", version=1)
        convolution.builtinOptionsType = schema.BuiltinOptions.DepthwiseConv2DOptions
        convolution.builtinOptions = options
        graph.operators[index] = convolution
        changes += 1
    return changes


def _pads(graph: Any, pool: Any) -> bool:
    """Whether a pool reaches over an edge: it averages fewer pixels there, a convolution would not."""
    options, shape = pool.builtinOptions, graph.tensors[pool.inputs[0]].shape
    sides = (
        (shape[1], options.strideH, options.filterHeight),
        (shape[2], options.strideW, options.filterWidth),
    )
    return options.padding == 0 and any(_padding(int(a), b, c) for a, b, c in sides)


def _padding(size: int, stride: int, reach: int) -> int:
    """Pixels that TFLite's SAME adds along an axis, before and after together."""
    return max((-(-size // stride) - 1) * stride + reach - size, 0)


def integer_ids(model: Any) -> int:
    """Turn q -> DEQUANTIZE -> ARG_MAX  into  q -> ARG_MAX: the largest stays the largest."""
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) == "DEQUANTIZE"]:
        users = _users(graph, op.outputs[0])
        if users and all(flatbuffer.kind(model, user) == "ARG_MAX" for user in users):
            bypass(graph, op)
            changes += 1
    return changes


def _users(graph: Any, tensor: int) -> list[Any]:
    return [op for op in graph.operators if tensor in list(op.inputs)]


def _maker(graph: Any, tensor: int) -> Any:
    return next((op for op in graph.operators if tensor in list(op.outputs)), None)
