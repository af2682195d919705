"""Graphs that compilers stumble over: a MobileNetV3 block, a ViT block, a shape that only running tells."""

from __future__ import annotations

import onnx

from tests.graph.passes.agreement import image, number, random


def se_block() -> onnx.ModelProto:
    """HardSwish, then squeeze and excite with HardSigmoid, as in MobileNetV3."""
    return image(
        "c = Conv(image, w) h = HardSwish(c) p = GlobalAveragePool(h) s = Conv(p, down) r = Relu(s) "
        "e = Conv(r, up) g = HardSigmoid <alpha = 0.16666667> (e) y = Mul(h, g)",
        w=random(8, 4, 1, 1),
        down=random(2, 8, 1, 1),
        up=random(8, 2, 1, 1),
    )


def vit_block() -> onnx.ModelProto:
    """Tokens, LayerNormalization, attention of two heads by Einsum, and an MLP with GELU written out."""
    return image(
        "t = Reshape(image, tokens) x = Transpose <perm = [0, 2, 1]> (t) n = LayerNormalization(x, s, b) "
        "q0 = MatMul(n, wq) q1 = Reshape(q0, heads) q = Transpose <perm = [0, 2, 1, 3]> (q1) "
        "k0 = MatMul(n, wk) k1 = Reshape(k0, heads) k = Transpose <perm = [0, 2, 1, 3]> (k1) "
        'a = Einsum <equation = "bhid,bhjd->bhij"> (q, k) w = Softmax(a) v = MatMul(w, k) '
        "v1 = Transpose <perm = [0, 2, 1, 3]> (v) o = Reshape(v1, back) z = Add(o, x) "
        "m = MatMul(z, up) d = Div(m, root) f = Erf(d) g = Add(f, one) i = Mul(m, g) j = Mul(i, half) "
        "y = MatMul(j, down)",
        shape="1,8,4,6",
        tokens=[1, 8, 24],
        heads=[1, 24, 2, 4],
        back=[1, 24, 8],
        s=random(8),
        b=random(8, seed=1),
        wq=random(8, 8, seed=2),
        wk=random(8, 8, seed=3),
        up=random(8, 16, seed=4),
        down=random(16, 8, seed=5),
        root=number(2**0.5),
        one=number(1),
        half=number(0.5),
    )


def unique() -> onnx.ModelProto:
    """Only running tells how many different numbers there are."""
    return image("u = Unique(image) y = Relu(u)")
