"""Sound models that a fuzzer starts from: small, together with all that ONNX may hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx.parser
from onnx import TensorProto, numpy_helper

_CONV = """g (float[1,3,16,24] image) => (float[1,4,16,24] logits)
<int64[4] size = {1, 4, 16, 24}, float low = {0}, float high = {6}> {
    a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (image, weight, bias)
    b = Clip(a, low, high)
    c = AveragePool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (b)
    d = HardSwish(c)
    e = ConvTranspose <strides = [2, 2]> (d, up)
    logits = Resize <mode = "linear"> (e, , , size)
}"""

_BLOCK = """g (float[1,3,8,8] image) => (float[1,3,8,8] logits)
<int64[3] flat = {1, 3, -1}, int64[2] halves = {32, 32}, int64[1] zero = {0},
 int64[1] far = {9223372036854775807}, int64[1] last = {2}, float[4] scale = {1, 1, 1, 1}> {
    a = Reshape(image, flat)
    b = Transpose <perm = [0, 2, 1]> (a)
    c = MatMul(b, square)
    d = Softmax <axis = -1> (c)
    e, f = Split <axis = 1> (d, halves)
    h = Concat <axis = 1> (e, f)
    i = Slice(h, zero, far, last)
    j = ReduceMean <keepdims = 1> (i, last)
    k = Sub(i, j)
    shape = Shape(image)
    l = Transpose <perm = [0, 2, 1]> (k)
    m = Reshape(l, shape)
    n = Gelu(m)
    o = LayerNormalization <axis = 3> (n, wide)
    q = Where(mask, o, m)
    pads = Constant <value = int64[8] {0, 0, 0, 0, 0, 0, 0, 0}> ()
    r = Pad(q, pads)
    logits = Identity(r)
}"""

_BRANCHES = """g (float[1,3,8,8] image) => (float[1,3,8,8] logits)
<bool yes = {1}, int64 turns = {3}, float[1,3,8,8] start> {
    a = If (yes) <
        then_branch = one () => (float[1,3,8,8] t) { t = Relu(image) },
        else_branch = two () => (float[1,3,8,8] e) { s = Shape(image) z = Reshape(image, s) e = Neg(z) }
    >
    b, all = Loop (turns, yes, a) <
        body = turn (int64 i, bool go, float[1,3,8,8] x) => (bool on, float[1,3,8,8] y, float[1,3,8,8] w) {
            on = Identity(go) y = Add(x, image) w = Sigmoid(y)
        }
    >
    c, every = Scan <
        num_scan_inputs = 1,
        body = step (float[3,8,8] state, float[3,8,8] one) => (float[3,8,8] next, float[3,8,8] seen) {
            next = Add(state, one) seen = Identity(next)
        }
    > (first, image)
    parts = SequenceConstruct(b, a)
    d = SequenceAt(parts, turns0)
    e = Add(d, c)
    logits = Relu(e)
}"""

_QDQ = """g (uint8[1,8,8,3] image) => (int64[1,8,8] ids)
<float s = {0.02}, uint8 z = {3}, float[4] ws = {0.1, 0.2, 0.3, 0.4}, int8[4] wz = {0, 0, 0, 0}> {
    a = Cast <to = 1> (image)
    b = Transpose <perm = [0, 3, 1, 2]> (a)
    c = QuantizeLinear(b, s, z)
    d = DequantizeLinear(c, s, z)
    w = DequantizeLinear <axis = 0> (weight, ws, wz)
    e = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (d, w)
    f = com.microsoft.QuantizeLinear(e, s, wide)
    h = com.microsoft.DequantizeLinear(f, s, wide)
    i = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (h)
    j = QuantizeLinear(i, s, z)
    k = DequantizeLinear(j, s, z)
    l = Resize <mode = "nearest"> (k, , factors)
    ids = ArgMax <axis = 1, keepdims = 0> (l)
}"""

_FUNCTION = """<ir_version: 8, opset_import: ["" : 18, "local" : 1]>
g (float[1,3,8,8] image) => (float[1,3,8,8] logits) { a = local.Twice(image) logits = Relu(a) }
<domain: "local", opset_import: ["" : 18]> Twice (x) => (y) { y = Add(x, x) }"""


@dataclass(frozen=True, slots=True)
class Seed:
    """A sound model and the files beside it."""

    name: str
    model: bytes
    beside: Mapping[str, bytes] = field(default_factory=dict)


def seeds() -> tuple[Seed, ...]:
    """A tiny convolutional net, one with external data, a transformer's block, one with bodies, a quantised
    one, and one with a local function."""
    conv = _parsed(_CONV, weight=_floats(4, 3, 3, 3), bias=_floats(4), up=_floats(4, 4, 2, 2))
    block = _parsed(
        _BLOCK, opset=20, square=_floats(3, 3), wide=_floats(8), mask=np.ones((1, 3, 8, 8), np.bool_)
    )
    first, zero = np.zeros((3, 8, 8), np.float32), np.zeros((), np.int64)
    branches = _parsed(_BRANCHES.replace(", float[1,3,8,8] start", ""), first=first, turns0=zero)
    weight = np.arange(108, dtype=np.int8).reshape(4, 3, 3, 3)
    quantized = _parsed(_QDQ, weight=weight, wide=np.uint16(7), factors=np.array([1, 1, 4, 4], np.float32))
    function = onnx.parser.parse_model(_FUNCTION)
    models = {"conv": conv, "block": block, "branches": branches, "qdq": quantized, "function": function}
    plain = (Seed(name, model.SerializeToString()) for name, model in models.items())
    return (*plain, _external(conv))


def _floats(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _parsed(text: str, *, opset: int = 18, **constants: object) -> onnx.ModelProto:
    header = f'<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1]>\n'
    model = onnx.parser.parse_model(header + text)
    for name, array in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return model


def _external(model: onnx.ModelProto) -> Seed:
    """The same with its large constants in ``data.bin``, 16 bytes in."""
    moved, data = onnx.ModelProto(), bytes(16)
    moved.CopyFrom(model)
    for tensor in moved.graph.initializer:
        if tensor.raw_data:
            place = {"location": "data.bin", "offset": str(len(data)), "length": str(len(tensor.raw_data))}
            data += tensor.raw_data
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in place.items():
                tensor.external_data.add(key=key, value=value)
    return Seed("external", moved.SerializeToString(), {"data.bin": data})
