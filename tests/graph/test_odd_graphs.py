"""Every rule and every pass walks away from graphs that are not what it expects, and leaves them sound.

Mutants are made by number, so that a failure names the one to look at. What onnx itself thinks of a mutant is
not asked: its shapes are those of the graph that it was made from, and often wrong.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import onnx
import onnx.parser
import pytest

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.index import GraphIndex
from mosaic_deploy.graph.normal.draft import Draft
from mosaic_deploy.graph.normal.normalise import FAMILIES
from mosaic_deploy.graph.odd import ODD
from mosaic_deploy.graph.passes import PASSES, Site
from mosaic_deploy.graph.passes._apply import drafted
from mosaic_deploy.graph.reader.names import require_sound
from tests.graph.passes.agreement import network, random
from tests.graph.reader import fuzz_graphs

MUTANTS = 400

CONV = """g (float[1,4,16,24] image) => (float[1,4,16,24] logits)
<int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}, float low = {-65504}, float zero = {0}, float six = {6},
 float[4] gamma = {1, 2, 3, 4}, float[4] beta = {1, 2, 3, 4}, int64[2] sides = {16, 24},
 float[4,4,1,1] w = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8}, int64[4] order = {0, 2, 1, 3},
 float[4,1,1] slope = {1, 0, 2, 1}> {
    a = Conv <strides = [2, 2]> (image, w, beta)
    b = BatchNormalization (a, gamma, beta, beta, gamma)
    c = Clip (b, zero, six)
    d = Pad (c, pads, low)
    e = MaxPool <kernel_shape = [3, 3], strides = [1, 1]> (d)
    f = Gather <axis = 1> (e, order)
    h = PRelu (f, slope)
    i = ConvTranspose <auto_pad = "SAME_LOWER", strides = [2, 2]> (h, w)
    j = AveragePool <kernel_shape = [2, 2], auto_pad = "SAME_UPPER"> (i)
    k = HardSwish (j)
    logits = Resize <mode = "linear", axes = [2, 3]> (k, , , sides)
}"""

TOKENS = """g (float[1,4,8,6] image) => (float[1,4,8,6] logits)
<int64[2] halves = {2, 2}, int64[1] one = {1}, int64[1] far = {4}, int64[1] two = {2}, bool yes = {1},
 float[6] wide = {1, 2, 3, 4, 5, 6}, int64[4] back = {1, 4, 8, 6}, float half = {0.5}> {
    a = MatMul (image, square)
    b = LayerNormalization <axis = 3> (a, wide)
    c = Softmax <axis = 1> (b)
    d, e = Split <axis = 1> (c, halves)
    f = Concat <axis = 1> (e, d)
    h = Slice (f, one, far, two)
    i = ReduceMean (h, two)
    j = Sub (f, i)
    k = Gelu (j)
    l = Einsum <equation = "abcd,abcd->abcd"> (k, f)
    m = Transpose <perm = [0, 2, 3, 1]> (l)
    n = Transpose <perm = [0, 3, 1, 2]> (m)
    o = If (yes) <then_branch = t () => (float[1,4,8,6] p) { p = Relu(n) },
                  else_branch = u () => (float[1,4,8,6] q) { q = Neg(n) }>
    s = Unsqueeze (o, two)
    v = Squeeze (s, two)
    r = Dropout (v, half)
    x = Max (r, half)
    y = Min (x, half)
    logits = Reshape (y, back)
}"""

SEEDS = tuple(
    network(text, opset=20, constants=held).SerializeToString()
    for text, held in ((CONV, None), (TOKENS, {"square": random(6, 6)}))
)


def mutant(number: int) -> onnx.ModelProto:
    rng = Random(number)
    model: onnx.ModelProto = onnx.ModelProto.FromString(SEEDS[number % len(SEEDS)])
    for _ in range(rng.choice((1, 1, 2, 3))):
        try:
            rng.choice(tuple(fuzz_graphs.MUTATIONS.values()))(model, rng)
        except (IndexError, ValueError, TypeError):  # the mutation before took away what this one changes
            continue
    return model


def sound(number: int) -> onnx.ModelProto | None:
    """A mutant whose names and order are sound; else None, as no rule ever sees it."""
    model = mutant(number)
    if any(tensor.data_location for tensor in model.graph.initializer):
        return None
    try:
        require_sound(model)
        GraphIndex(model)
        Draft(model)
    except (ModelError, StopIteration, *ODD):
        return None
    return model


@pytest.mark.parametrize("start", range(0, MUTANTS, 50))
def test_rules_and_passes_walk_away(start: int) -> None:
    seen = Counter[str]()
    for number in range(start, start + 50):
        model = sound(number)
        if model is None:
            continue
        seen["sound"] += 1
        before = model.SerializeToString()
        graph = GraphIndex(model)
        for step in PASSES:
            for node in model.graph.node:
                if node.op_type in step.anchors:
                    seen["drafted"] += drafted(step, Site(node, graph))
        draft = Draft(model)
        for family in FAMILIES:
            family(draft)
        require_sound(draft.carry_out(copy=True))
        assert model.SerializeToString() == before, f"mutant {number} was changed"
    assert seen["sound"] > 10, "mutants are too broken to show anything"
    assert seen["drafted"] > 10


def test_a_clip_between_two_lists_stays() -> None:
    """Whose bounds were taken for numbers."""
    text = "g (float[1,1,1,2] x) => (float[1,1,1,2] y) <float[2] low = {0, 1}> { y = Clip (x, low) }"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {text}')
    node = model.graph.node[0]
    assert not any(drafted(step, Site(node, GraphIndex(model))) for step in PASSES if "Clip" in step.anchors)
