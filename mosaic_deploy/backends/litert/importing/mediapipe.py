"""MediaPipe's operators that LiteRT does not know, stated as those that it does.

    Convolution2DTransposeBias(x, kernel, bias)  ->  ADD(TRANSPOSE_CONV(x, kernel), bias)

Its options are three numbers of 32 bits: the padding, the horizontal and the vertical stride, as the C
structure ``TfLiteTransposeConvParams`` had them
(``mediapipe/util/tflite/operations/transpose_conv_bias.cc``).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.errors import ModelError

_TRANSPOSE_CONV = "CUSTOM Convolution2DTransposeBias"
_PADDINGS = {1: 0, 2: 1}
"""SAME and VALID, as the C structure numbers them and as the schema does."""


def standardise(model: Any) -> list[str]:
    """Restate MediaPipe's operators in place; gives the names of what they make.

    Raises ``ModelError`` where one of them is damaged.
    """
    graph = model.subgraphs[0]
    operators, restated = [], []
    for op in graph.operators:
        if flatbuffer.kind(model, op) == _TRANSPOSE_CONV:
            operators += _transpose_conv(model, op)
            restated.append(flatbuffer.title(graph.tensors[op.outputs[0]]))
        else:
            operators.append(op)
    graph.operators = operators
    return restated


def _transpose_conv(model: Any, op: Any) -> list[Any]:
    graph = model.subgraphs[0]
    try:
        padding, width, height = struct.unpack_from("<iii", bytes(np.asarray(op.customOptions, np.uint8)))
        (image, kernel, bias), (result,) = (int(i) for i in op.inputs), (int(i) for i in op.outputs)
        stated = _PADDINGS[padding]
    except (struct.error, KeyError, TypeError, ValueError) as err:
        raise ModelError("its Convolution2DTransposeBias has options or inputs of another kind") from err
    shape, name = [int(d) for d in graph.tensors[result].shape], flatbuffer.title(graph.tensors[result])
    size = flatbuffer.add_constant(model, f"{name}.shape", np.array(shape, np.int32))
    plain = flatbuffer.add_tensor(model, f"{name}.plain", shape)
    conv = flatbuffer.operator(model, "TRANSPOSE_CONV", [size, kernel, image], [plain])
    conv.builtinOptions.padding = stated
    conv.builtinOptions.strideW, conv.builtinOptions.strideH = width, height
    return [conv, flatbuffer.operator(model, "ADD", [plain, bias], [result])]
