"""Operators on tensors of few axes, given the four that targets want."""

from __future__ import annotations

import math

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Shape, Site

_FEW = 4
"""Dimensions that targets want."""


def _matmul_low_rank(site: Site) -> bool:
    """A matrix product over five dimensions in three or four.

    a (b,c,d,i,k) @ b (b,c,d,k,j) -> y    becomes    Reshape both to (b*c*d,.,.) -> MatMul -> Reshape -> y
    """
    left, right, after = site.shape(0), site.shape(1), site.out_shape
    if left is None or right is None or after is None or max(len(left), len(right)) < 5:
        return False
    batch = math.prod(after[:-2])
    parts = []
    for index, shape in enumerate((left, right)):
        if len(shape) == 2:
            parts.append(site.input(index))  # one matrix for all
        elif shape[:-2] == after[:-2]:
            parts.append(site.op("Reshape", site.input(index), site.sizes((batch, *shape[-2:]))))
        elif all(side == 1 for side in shape[:-2]):
            parts.append(site.op("Reshape", site.input(index), site.sizes((1, *shape[-2:]))))
        else:
            return False
    return site.replace_with(site.op("Reshape", site.op("MatMul", *parts), site.sizes(after)))


MATMUL_LOW_RANK = Pass(
    name="matmul_low_rank",
    summary="MatMul on 5 dimensions -> Reshape, MatMul on 3, Reshape",
    anchors=("MatMul",),
    rewrite=_matmul_low_rank,
)

_UNARY = (
    "Abs", "Atan", "Ceil", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish",
    "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin",
    "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip


def _low_rank_unary(site: Site) -> bool:
    """An operator that works on each number alone, in four dimensions instead of five or more.

    x (a,b,c,d,e) -> Tanh -> y    becomes    x -> Reshape (a*b,c,d,e) -> Tanh -> Reshape (a,b,c,d,e) -> y
    """
    shape = site.shape()
    if shape is None or len(shape) < 5:
        return False
    low = site.reshape(site.x, (math.prod(shape[:-3]), *shape[-3:]))
    name = site.op(site.node.op_type, low, *site.node.input[1:])
    site.made[-1].attribute.extend(site.node.attribute)
    return site.replace_with(site.reshape(name, shape))


LOW_RANK_UNARY = Pass(
    name="low_rank_unary",
    summary="Tanh, HardSwish and the like on 5 dimensions -> Reshape, the same on 4, Reshape",
    anchors=_UNARY,
    bit_exact=True,
    rewrite=_low_rank_unary,
)


_BINARY = ("Add", "Div", "Max", "Min", "Mul", "Sub")


def _low_rank_binary(site: Site) -> bool:
    """Arithmetic of two tensors in four dimensions or fewer instead of five or more.

        a (k,l,m,n,o), b (1,l,1,n,o) -> Add -> y (k,l,m,n,o)    becomes
        Reshape to (k,l,m,n*o) and (1,l,1,n*o) -> Add -> Reshape -> y

    Neighbouring axes merge along which the same ones of both are repeated. Reshapes around it merge too.
    """
    if site.node.op_type in _BINARY:
        found, reader = site.node, site.graph.only_consumer(site.node.output[0])
        if reader is not None and reader.op_type == "Reshape":
            return False  # it has its turn there
    else:
        maker = site.graph.producer(site.x, *_BINARY)
        if maker is None:
            return False
        found = maker
        site.also_replaces(maker)
    inner = Site(found, site.graph)
    shape, after = inner.out_shape, site.out_shape
    theirs = [inner.shape(index) for index in range(len(found.input))]
    if shape is None or after is None or len(shape) <= _FEW:
        return False
    wide = [(1,) * (len(shape) - len(each)) + each for each in theirs if each is not None]
    runs = _runs(shape, wide)
    if len(wide) < len(theirs) or len(runs) > _FEW:
        return False
    flat = [[math.prod(each[axis] for axis in run) for run in runs] for each in wide]
    parts = [_reshaped(site, str(name), sides) for name, sides in zip(found.input, flat, strict=True)]
    return site.replace_with(site.op("Reshape", site.op(found.op_type, *parts), site.sizes(after)))


def _reshaped(site: Site, name: str, sides: list[int]) -> str:
    """A tensor in another shape; what a Reshape reads, or a constant, where it is one."""
    held = site.graph.constant(name)
    if held is not None:
        return site.const(held.reshape(sides))
    reshape = site.graph.producer(name, "Reshape")
    if reshape is None:
        return site.reshape(name, sides)
    site.also_replaces(reshape)
    return site.reshape(str(reshape.input[0]), sides)


def _runs(shape: Shape, sides: list[Shape]) -> list[list[int]]:
    """Neighbouring axes as one, from the first on, until four are left or no more can be."""
    runs: list[list[int]] = []
    for axis, side in enumerate(shape):
        enough = len(runs) + len(shape) - axis <= _FEW
        if runs and not enough and (side == 1 or all(_alike(each, shape, runs[-1], axis) for each in sides)):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return runs


def _alike(side: Shape, whole: Shape, run: list[int], axis: int) -> bool:
    """Whether a tensor is repeated along an axis as along those of a run, or along none of them."""
    repeated = {side[each] == 1 for each in (*run, axis) if whole[each] != 1}
    return len(repeated) < 2


LOW_RANK_BINARY = Pass(
    name="low_rank_binary",
    summary="Add, Max and the like on 5 dimensions -> Reshape, the same on 4, Reshape",
    anchors=(*_BINARY, "Reshape"),
    resolves=(*_BINARY, "Reshape"),
    bit_exact=True,
    rewrite=_low_rank_binary,
)


def _reduce_forms(site: Site) -> bool:
    """Sums of absolute values and of squares with a plain sum.

    ReduceL1(x)           becomes    ReduceSum(Abs(x))
    ReduceL2(x)           becomes    Sqrt(ReduceSum(x * x))
    ReduceSumSquare(x)    becomes    ReduceSum(x * x)
    ReduceLogSum(x)       becomes    Log(ReduceSum(x))
    """
    kind, shape, given = site.node.op_type, site.shape(), site.constant(1)
    if shape is None or (site.input(1) and given is None):
        return False
    axes = site.attr_ints("axes") if given is None else tuple(int(axis) for axis in given)
    if not axes:
        if site.attr_int("noop_with_empty_axes", 0):
            return False
        axes = tuple(range(len(shape)))
    x = site.x
    if kind == "ReduceL1":
        x = site.op("Abs", x)
    elif kind != "ReduceLogSum":
        x = site.op("Mul", x, x)
    y = site.reduce("ReduceSum", x, axes, keep=1 if site.attr_int("keepdims", 1) else 0)
    if kind == "ReduceL2":
        y = site.op("Sqrt", y)
    return site.replace_with(site.op("Log", y) if kind == "ReduceLogSum" else y)


REDUCE_FORMS = Pass(
    name="reduce_forms",
    summary="ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum -> ReduceSum",
    anchors=("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum"),
    rewrite=_reduce_forms,
)

_KINDS = ("ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum", "ReduceL2")


def _reduce_low_rank(site: Site) -> bool:
    """A reduction on five dimensions or more on fewer.

        x (a,b,c,d,e) -> ReduceMax(axes) -> y    becomes    Reshape (merged) -> ReduceMax -> Reshape -> y

    Neighbouring axes that are reduced merge, and so do neighbours that stay.
    """
    shape, after, given = site.shape(), site.out_shape, site.constant(1)
    if shape is None or after is None or len(shape) < 5 or (site.input(1) and given is None):
        return False
    stated = site.attr_ints("axes") if given is None else tuple(int(axis) for axis in given)
    if not stated:
        return False
    axes = {axis % len(shape) for axis in stated}
    runs: list[list[int]] = []
    for axis in range(len(shape)):
        if runs and (runs[-1][0] in axes) == (axis in axes):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    if len(runs) > 4:
        return False
    low = site.op("Reshape", site.x, site.sizes([math.prod(shape[a] for a in run) for run in runs]))
    kept = [index for index, run in enumerate(runs) if run[0] in axes]
    return site.replace_with(site.op("Reshape", site.reduce(site.node.op_type, low, kept), site.sizes(after)))


REDUCE_LOW_RANK = Pass(
    name="reduce_low_rank",
    summary="ReduceMax and the like on 5 dimensions -> Reshape, the same on fewer, Reshape",
    anchors=_KINDS,
    rewrite=_reduce_low_rank,
)
