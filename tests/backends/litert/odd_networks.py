"""Small networks that quantisers trip over, as ONNX text: x (1, 8, 12, 16) -> y of the same shape, mostly."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.specs.precision import Precision

SHAPE = (1, 8, 12, 16)
FIRST = "c = Conv<pads = [1, 1, 1, 1]>(x, w, b)"
LAST = "y = Conv(d, w2, b2)"
TWICE = "y = Conv(d, w3, b2)"


def odd(body: str, *, out: tuple[int, ...] = SHAPE, **constants: Any) -> onnx.ModelProto:
    """A network of the text; constants w, b, w2, b2 and w3 are random where they are not given."""
    rng = np.random.default_rng(3)
    known: dict[str, NDArray[Any]] = {
        "w": rng.normal(0, 0.3, (8, 8, 3, 3)),
        "b": rng.normal(0, 0.5, 8),
        "w2": rng.normal(0, 0.3, (8, 8, 1, 1)),
        "b2": rng.normal(0, 0.5, 8),
        "w3": rng.normal(0, 0.3, (8, 16, 1, 1)),
        **{name: np.asarray(value) for name, value in constants.items()},
    }
    sides = [",".join(map(str, shape)) for shape in (SHAPE, out)]
    ends = f"(float[{sides[0]}] x) => (float[{sides[1]}] y)"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> net {ends} {{ {body} }}')
    for name, value in known.items():
        if re.search(rf"\b{name}\b", body):
            kept = value if value.dtype.kind in "ib" else value.astype(np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(kept, name))
    return model


def tiny_channels(shape: tuple[int, ...], axis: int = 0) -> NDArray[Any]:
    """Random weights, those of channel 2 all 0, of 3 and 4 very small along ``axis``."""
    weights = np.moveaxis(np.random.default_rng(4).normal(0, 0.3, shape), axis, 0)
    weights[2], weights[3], weights[4] = 0, weights[3] * 1e-9, weights[4] * 1e-5
    return np.ascontiguousarray(np.moveaxis(weights, 0, axis))


def case(name: str, model: onnx.ModelProto, precision: Precision = "w8a8") -> Case:
    """A case of a network and a normal input."""
    feeds = {"x": np.random.default_rng(2).normal(0, 1, SHAPE).astype(np.float32)}
    return Case(name, "chain", "plain", "chain", model, feeds, precision)


_BIG = np.linspace(-60, 60, 8) + 0.3
_ONES = np.ones((1, 8, 1, 1))

BIASES = {
    "conv": odd(f"d = Conv<pads = [1, 1, 1, 1]>(x, w, b) {LAST}", w=tiny_channels((8, 8, 3, 3)), b=_BIG),
    "conv and relu": odd(
        f"{FIRST} d = Relu(c) {LAST}", w=tiny_channels((8, 8, 3, 3)), b=_BIG
    ),
    "depthwise": odd(
        f"d = Conv<pads = [1, 1, 1, 1], group = 8>(x, w, b) {LAST}", w=tiny_channels((8, 1, 3, 3)), b=_BIG
    ),
    "groups": odd(
        f"d = Conv<pads = [1, 1, 1, 1], group = 2>(x, w, b) {LAST}", w=tiny_channels((8, 4, 3, 3)), b=_BIG
    ),
    "transposed": odd(
        f"d = ConvTranspose<strides = [2, 2]>(x, w, b) {LAST}",
        w=tiny_channels((8, 8, 2, 2), 1), b=_BIG, out=(1, 8, 24, 32),
    ),
    "gemm": odd(
        f"p = ReduceMean<keepdims = 0>(x, axes) q = Gemm<transB = 1>(p, w, b) s = Reshape(q, sides) "
        f"d = Mul(x, s) {LAST}",
        w=tiny_channels((8, 8)), b=_BIG, axes=[2, 3], sides=[1, 8, 1, 1],
    ),
    "one conv's weights in another": odd(
        f"{FIRST} d = Mul(c, h) e = Conv<pads = [1, 1, 1, 1]>(d, w, b) f = Conv(e, w2, b2) y = Add(f, c)",
        w=tiny_channels((8, 8, 3, 3)), b=_BIG, h=_ONES / 100,
    ),
    "no weights at all": odd(f"{FIRST} y = Conv(c, w2, b2)", w=np.zeros((8, 8, 3, 3))),
}  # fmt: skip
"""Biases beyond int32, in every operator that has one."""

ZEROS = {
    "added": odd(f"{FIRST} d = Add(c, k) {LAST}", k=_ONES * 0),
    "added, of every pixel": odd(f"{FIRST} d = Add(c, k) {LAST}", k=np.zeros(SHAPE)),
    "subtracted from": odd(f"{FIRST} d = Sub(k, c) {LAST}", k=_ONES * 0),
    "multiplied": odd(f"{FIRST} d = Mul(c, k) {LAST}", k=_ONES * 0),
    "concatenated": odd(f"{FIRST} d = Concat<axis = 1>(c, k) {TWICE}", k=np.zeros(SHAPE)),
    "concatenated with zeros": odd(
        f"{FIRST} z = Mul(c, h) d = Concat<axis = 1>(z, k) e = Conv(d, w3, b2) y = Add(e, c)",
        k=np.zeros(SHAPE), h=_ONES * 0,
    ),
    "slopes": odd(f"{FIRST} d = PRelu(c, k) {LAST}", k=np.zeros((8, 1, 1))),
    "a relu that lets nothing through": odd(
        f"{FIRST} r = Relu(c) d = Conv(r, w2, b2) y = Add(d, x)", b=np.full(8, -1e4)
    ),
    "a relu that lets hardly anything through": odd(
        f"{FIRST} s = Sub(c, k) r = Relu(s) d = Conv(r, w2, b2) y = Add(d, x)", k=np.full((1, 8, 1, 1), 100.0)
    ),
    "tiny, added": odd(f"{FIRST} d = Add(c, k) {LAST}", k=_ONES * 1e-20),
    "tiny, multiplied": odd(f"{FIRST} e = Mul(c, k) d = Add(e, c) {LAST}", k=_ONES * 1e-20),
    "denormal": odd(f"{FIRST} d = Add(c, k) {LAST}", k=_ONES * 1e-42),
}  # fmt: skip
"""Tensors that are 0 always, or so little that no grid is left."""

SCALARS = {
    "added": odd(f"{FIRST} d = Add(k, c) {LAST}", k=0.5),
    "subtracted": odd(f"{FIRST} d = Sub(c, k) {LAST}", k=0.5),
    "multiplied": odd(f"{FIRST} d = Mul(c, k) {LAST}", k=-2.0),
    "zero": odd(f"{FIRST} e = Mul(c, k) d = Add(e, c) {LAST}", k=0.0),
    "divided": odd(f"{FIRST} d = Div(c, k) {LAST}", k=3.0),
    "power": odd(f"{FIRST} d = Pow(c, k) {LAST}", k=2.0),
    "maximum": odd(f"{FIRST} d = Max(c, k) {LAST}", k=0.1),
    "minimum": odd(f"{FIRST} d = Min(k, c) {LAST}", k=-0.1),
    "clip": odd(f"{FIRST} d = Clip(c, k, h) {LAST}", k=-0.3, h=0.6),
    "clip above 0": odd(f"{FIRST} d = Clip(c, k, h) {LAST}", k=0.3, h=0.9),
    "clip below": odd(f"{FIRST} d = Clip(c, k) {LAST}", k=float(np.finfo(np.float32).min)),
    "mean of all": odd(f"{FIRST} e = ReduceMean<keepdims = 0>(c) d = Sub(c, e) {LAST}"),
}
"""Numbers without dimensions."""

FIXED = {
    f"{op} before {name}": odd(f"{FIRST} s = {op}(c) {body}")
    for op in ("Sigmoid", "Tanh", "Softmax<axis = 1>", "LogSoftmax<axis = 1>")
    for name, body in {
        "Concat": f"d = Concat<axis = 1>(c, s) {TWICE}",
        "Concat, second": f"d = Concat<axis = 1>(s, c) {TWICE}",
        "Transpose and Concat": "t = Transpose<perm = [0, 1, 3, 2]>(s) u = Transpose<perm = [0, 1, 3, 2]>(c) "
        "v = Concat<axis = 1>(u, t) e = Conv(v, w3, b2) y = Transpose<perm = [0, 1, 3, 2]>(e)",
        "Concat and Mul": "d = Concat<axis = 1>(c, s) e = Conv(d, w3, b2) y = Mul(e, s)",
        "Max": f"d = Max(s, c) {LAST}",
        "Min": f"d = Min(c, s) {LAST}",
        "MaxPool": f"d = MaxPool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(s) {LAST}",
    }.items()
}
"""Operators of a fixed output grid, before those that want one grid of all their inputs."""

_MASK = np.zeros(SHAPE)
_MASK[..., ::3] = -1e9
_SOFT = "s = Softmax<axis = 3>(a) y = Conv(s, w2, b2)"

MASKS = {
    "added": odd(f"{FIRST} a = Add(c, k) {_SOFT}", k=_MASK),
    "added to": odd(f"{FIRST} a = Add(k, c) {_SOFT}", k=_MASK[:, :1, :1]),
    "of half precision": odd(f"{FIRST} a = Add(c, k) {_SOFT}", k=np.maximum(_MASK, -65504)),
    "lowest": odd(f"{FIRST} a = Add(c, k) {_SOFT}", k=np.where(_MASK < 0, np.finfo(np.float32).min / 2, 0)),
    "infinite": odd(f"{FIRST} a = Add(c, k) {_SOFT}", k=np.where(_MASK < 0, -np.inf, 0)),
    "chosen": odd(f"{FIRST} a = Where(t, k, c) {_SOFT}", t=_MASK < 0, k=-1e9),
    "chosen, infinite": odd(f"{FIRST} a = Where(t, c, k) {_SOFT}", t=_MASK == 0, k=-np.inf),
    "moved": odd(
        f"{FIRST} a = Add(c, k) t = Transpose<perm = [0, 1, 3, 2]>(a) s = Softmax<axis = 2>(t) "
        "u = Transpose<perm = [0, 1, 3, 2]>(s) y = Conv(u, w2, b2)",
        k=_MASK,
    ),
}  # fmt: skip
"""Numbers that mean never, before a Softmax."""

_SPREAD = "v = ReduceMean(s, hw) a = Add(v, e) q = Sqrt(a) i = Reciprocal(q) d = Mul(c, i)"
VARIANCES = {
    "by hand": odd(
        f"{FIRST} m = ReduceMean(c, hw) o = Sub(c, m) s = Mul(o, o) {_SPREAD} {LAST}", hw=[2, 3], e=[1e-3]
    ),
    "of the whole": odd(f"{FIRST} s = Mul(c, c) {_SPREAD} {LAST}", hw=[2, 3], e=[1e-3]),
}
"""onnx2tf brings a factor of each channel into NHWC twice, so that it fits no image any more."""
