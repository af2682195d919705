"""The same network with other ends, as people export it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

from mosaic_deploy.specs.contract import Contract

HEIGHT, WIDTH = 32, 48
FIRST, LAST = f"[1,3,{HEIGHT},{WIDTH}]", f"[1,{HEIGHT},{WIDTH},3]"


@dataclass(frozen=True)
class Form:
    """How a graph begins or ends."""

    body: str
    """From ``image`` to ``x``, or from ``scores`` to ``out``."""
    ends: str
    """The input's or the output's type and shape."""
    says: Mapping[str, Any] = field(default_factory=dict)
    """What a contract of the file says."""
    left: tuple[str, ...] = ()
    """Operators that stay in front of the network, or behind it."""


NORMALISED = {"mean": (128, 128, 128), "scale": (64, 64, 64)}
RAW = {"mean": (0, 0, 0), "scale": (1, 1, 1)}
_COLOURS = "mean_first, std_first"
FRONTS: dict[str, Form] = {
    "plain": Form("x = Identity(image)", f"float{FIRST}", NORMALISED),
    "last": Form("x = Transpose<perm=[0,3,1,2]>(image)", f"float{LAST}", {**NORMALISED, "layout": "NHWC"}),
    "bytes-cast-transpose": Form(
        """a = Cast<to=1>(image) b = Transpose<perm=[0,3,1,2]>(a) c = Sub(b, mean_one) x = Div(c, std_one)""",
        f"uint8{LAST}",
        {"layout": "NHWC", "dtype": "uint8"},
    ),
    "bytes-transpose-cast": Form(
        """a = Transpose<perm=[0,3,1,2]>(image) b = Cast<to=1>(a) c = Sub(b, mean_one)
        x = Mul(c, std_back)""",
        f"uint8{LAST}",
        {"layout": "NHWC", "dtype": "uint8"},
    ),
    "bytes-per-colour": Form(
        "a = Cast<to=1>(image) b = Sub(a, mean_first) x = Div(b, std_first)",
        f"uint8{FIRST}",
        {"dtype": "uint8"},
        ("Conv",),
    ),
    "bytes-last-per-colour": Form(
        "a = Cast<to=1>(image) b = Sub(a, mean_last) c = Div(b, std_last) x = Transpose<perm=[0,3,1,2]>(c)",
        f"uint8{LAST}",
        {"layout": "NHWC", "dtype": "uint8"},
        ("Conv",),
    ),
    "per-colour": Form("a = Sub(image, mean_first) x = Div(a, std_first)", f"float{FIRST}", RAW),
    "per-colour-last": Form(
        "a = Sub(image, mean_last) b = Mul(std_last, a) x = Transpose<perm=[0,3,1,2]>(b)",
        f"float{LAST}",
        {**RAW, "layout": "NHWC"},
    ),
    "add": Form("a = Mul(image, std_back) x = Add(minus_two, a)", f"float{FIRST}", RAW),
    "batch-norm": Form(
        "x = BatchNormalization(image, gamma, beta, running_mean, running_variance)", f"float{FIRST}", RAW
    ),
    "gather": Form("x = Gather<axis=1>(image, backwards)", f"float{FIRST}", NORMALISED),
    "gather-negative": Form(
        "a = Sub(image, mean_first) x = Gather<axis=-3>(a, backwards_negative)", f"float{FIRST}", RAW
    ),
    "slice-step": Form("x = Slice(image, two, far_back, one, minus_one)", f"float{FIRST}", NORMALISED),
    "slices-concat": Form(
        """r = Slice(image, zero, one, one) g = Slice(image, one, two, one) b = Slice(image, two, three, one)
        x = Concat<axis=1>(b, g, r)""",
        f"float{FIRST}",
        NORMALISED,
    ),
    "split-concat": Form(
        "r, g, b = Split<axis=1, num_outputs=3>(image) x = Concat<axis=1>(b, g, r)",
        f"float{FIRST}",
        NORMALISED,
    ),
    "other-order": Form("x = Gather<axis=1>(image, rotated)", f"float{FIRST}", NORMALISED),
    "pooled": Form(
        "x = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(image)", f"float{FIRST}", NORMALISED, ("MaxPool",)
    ),
    "negative": Form("x = Mul(image, minus_std)", f"float{FIRST}", NORMALISED, ("Mul",)),
    "used-twice": Form("a = Mul(image, std_back) x = Mul(a, image)", f"float{FIRST}", RAW, ("Mul", "Mul")),
    "bytes-computed": Form(
        "a = Cast<to=1>(image) b = Sub(a, mean_one) x = Max(b, a)", f"uint8{FIRST}", {"dtype": "uint8"},
        ("Sub", "Max"),
    ),
}  # fmt: skip
"""From a person's image to ``x``, (1, 3, H, W) float32."""

_PLANE = f"{HEIGHT},{WIDTH}"
SCORES: dict[str, Form] = {
    "plain": Form("out = Identity(scores)", f"float[1,4,{_PLANE}]"),
    "last": Form("out = Transpose<perm=[0,2,3,1]>(scores)", f"float[1,{_PLANE},4]"),
    "no-batch": Form("out = Squeeze(scores, zero)", f"float[4,{_PLANE}]"),
    "no-batch-reshape": Form("out = Reshape(scores, no_batch)", f"float[4,{_PLANE}]"),
    "no-batch-last": Form("p = Squeeze(scores, zero) out = Transpose<perm=[1,2,0]>(p)", f"float[{_PLANE},4]"),
    "ids": Form("out = ArgMax<axis=1, keepdims=0>(scores)", f"int64[1,{_PLANE}]", {"output": "classmap"}),
    "ids-keepdims": Form("out = ArgMax<axis=1>(scores)", f"int64[1,1,{_PLANE}]", {"output": "classmap"}),
    "ids-last": Form(
        "p = Transpose<perm=[0,2,3,1]>(scores) out = ArgMax<axis=-1>(p)",
        f"int64[1,{_PLANE},1]",
        {"output": "classmap"},
    ),
    "ids-no-batch": Form(
        "p = Squeeze(scores, zero) q = ArgMax<axis=0, keepdims=0>(p) out = Cast<to=2>(q)",
        f"uint8[{_PLANE}]",
        {"output": "classmap"},
    ),
    "ids-float": Form(
        "p = ArgMax<axis=1, keepdims=0>(scores) out = Cast<to=1>(p)",
        f"float[1,{_PLANE}]",
        {"output": "classmap"},
    ),
    "ids-enlarged": Form(
        """p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(scores) q = ArgMax<axis=1>(p) r = Cast<to=1>(q)
        out = Resize<mode="nearest">(r, , twice)""",
        f"float[1,1,{_PLANE}]",
        {"output": "classmap"},
    ),
    "ids-half-size": Form(
        "p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(scores) out = ArgMax<axis=1, keepdims=0>(p)",
        f"int64[1,{HEIGHT // 2},{WIDTH // 2}]",
        {"output": "classmap"},
    ),
    "score": Form("out = Slice(scores, zero, one, one)", f"float[1,1,{_PLANE}]", {"threshold": 0}),
    "score-sigmoid": Form(
        "p = Slice(scores, zero, one, one) out = Sigmoid(p)", f"float[1,1,{_PLANE}]", {"threshold": 0.5}
    ),
    "score-sigmoid-last": Form(
        "p = Slice(scores, zero, one, one) q = Sigmoid(p) out = Transpose<perm=[0,2,3,1]>(q)",
        f"float[1,{_PLANE},1]",
        {"threshold": 0.5},
    ),
    "score-plane": Form(
        "p = Slice(scores, zero, one, one) out = Squeeze(p, zero_one)", f"float[{_PLANE}]", {"threshold": 0}
    ),
    "mask": Form(
        "p = Slice(scores, zero, one, one) q = Sigmoid(p) out = Greater(q, half)",
        f"bool[1,1,{_PLANE}]",
        {"threshold": 0.5, "output": "classmap"},
    ),
    "mask-or-equal": Form(
        """p = Slice(scores, zero, one, one) q = GreaterOrEqual(p, half) r = Squeeze(q, zero_one)
        out = Cast<to=2>(r)""",
        f"uint8[{_PLANE}]",
        {"threshold": float(np.nextafter(np.float32(0.5), np.float32(0))), "output": "classmap"},
    ),
    "mask-less": Form(
        "p = Slice(scores, zero, one, one) out = Less(half, p)",
        f"bool[1,1,{_PLANE}]",
        {"threshold": 0.5, "output": "classmap"},
    ),
}  # fmt: skip
"""From ``scores``, (1, 4, H, W), to a person's output."""

CONSTANTS: dict[str, Any] = {
    "mean_one": np.float32(127.5),
    "std_one": np.float32(64),
    "std_back": np.float32(1 / 64),
    "minus_std": np.float32(-1 / 64),
    "minus_two": np.float32(-2),
    "mean_first": np.array([123.7, 116.3, 103.5], np.float32).reshape(1, 3, 1, 1),
    "std_first": np.array([58.4, 57.1, 57.4], np.float32).reshape(3, 1, 1),
    "mean_last": np.array([123.7, 116.3, 103.5], np.float32),
    "std_last": np.array([0.02, 0.0175, 0.017], np.float32).reshape(1, 1, 3),
    "gamma": np.array([0.5, 1, 2], np.float32),
    "beta": np.array([0, 1, -1], np.float32),
    "running_mean": np.array([100, 120, 140], np.float32),
    "running_variance": np.array([900, 1000, 1100], np.float32),
    "backwards": np.array([2, 1, 0]),
    "backwards_negative": np.array([-1, 1, 0]),
    "rotated": np.array([1, 2, 0]),
    "zero": np.array([0]),
    "one": np.array([1]),
    "two": np.array([2]),
    "three": np.array([3]),
    "minus_one": np.array([-1]),
    "far_back": np.array([-100]),
    "zero_one": np.array([0, 1]),
    "no_batch": np.array([4, HEIGHT, WIDTH]),
    "twice": np.array([1, 1, 2, 2], np.float32),
    "half": np.float32(0.5),
}
_WEIGHTS = np.random.default_rng(3).normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32)


def write(folder: Path, front: Form, back: Form) -> Path:
    """One convolution between the two ends, as a file."""
    text = f"""
        <ir_version: 8, opset_import: ["" : 18]>
        net ({front.ends} image) => ({back.ends} out) {{
          {front.body}
          scores = Conv<pads=[1,1,1,1]>(x, weight)
          {back.body}
        }}
    """
    model = onnx.parser.parse_model(text)
    for name, value in (*CONSTANTS.items(), ("weight", _WEIGHTS)):
        if any(name in node.input for node in model.graph.node):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    path = folder / "m.onnx"
    onnx.save_model(model, path)
    return path


def contract(front: Form, back: Form) -> Contract:
    """What a person would say of the file."""
    lone = "threshold" in back.says
    classes = ("background", "person") if lone else ("sky", "road", "car", "tree")
    palette = tuple((i, i, i) for i in range(len(classes)))
    stated = {"height": HEIGHT, "width": WIDTH, "classes": classes, "palette": palette}
    return Contract.model_validate({**stated, **front.says, **back.says})
