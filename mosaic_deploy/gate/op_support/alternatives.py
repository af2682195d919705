"""Operators written in others: what to do where no way to use an operator is taken.

Each names what it needs, so that it is only advised where a table takes all of that, and each computes the
same: what only comes near, or means training again, is another network and no advice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alternative:
    """A way to do without an operator."""

    needs: tuple[str, ...]
    """Operators of ONNX's own."""
    text: str
    """It names them, or an option of the command line, as the advice of a rule."""


def alternative(op: str, attributes: Sequence[str], accepted: Collection[str]) -> str:
    """The first way whose operators are accepted: one for an attribute, else for the operator; or empty."""
    return attribute_alternative(op, attributes, accepted) or _first(op, accepted)


def attribute_alternative(op: str, attributes: Sequence[str], accepted: Collection[str]) -> str:
    """As ``alternative``, of an attribute alone: where another value of it is no advice."""
    return next((way for name in attributes if (way := _first(f"{op}.{name}", accepted))), "")


def _first(key: str, accepted: Collection[str]) -> str:
    ways = ALTERNATIVES.get(key, ())
    return next((way.text for way in ways if set(way.needs) <= set(accepted)), "")


def _way(needs: str, text: str) -> Alternative:
    return Alternative(tuple(needs.split()), text)


_SCORES = _way("", "build with --output logits, and let the application compare the scores")
_MASK = "on masks of 0 and 1 write it with"
_STEP = _way("Sub Mul Clip", "make a mask of 0 and 1 with Sub, Mul by a large number and Clip to 0 and 1")
_MOVED = _way("Slice Concat", "where the places are constant, write it as Slice and Concat")
_ONE_HOT = _way("MatMul", "where the indices are constant, MatMul by a matrix of 0 and 1")
_SPLIT = "Split the channels, one {0} per group, and Concat"
_BY_RECIPE = _way("", "export the float model, and let the build quantise it (--recipe)")
_FILLED = _way("Mul Add", "where the places are constant, Mul by a mask of 0 and 1 and Add what is put in")

_ROUNDED = _way("Cast", "Cast to int32 and back")
_FIXED = _way("", "export with fixed shapes (dynamic_shapes=None), so that it is a constant")
_TRACED = _way("", "export one path, traced without control flow (torch.onnx.export)")
_GATES = _way("Gemm Sigmoid Tanh Mul Add", "unroll it into Gemm, Sigmoid, Tanh, Mul and Add")
_REST = _way("", "end the network in front of it (--output logits), and leave the rest to the application")

ALTERNATIVES: Mapping[str, tuple[Alternative, ...]] = {
    "Acos": (_way("Atan Sqrt Div", "write it with Atan, Sqrt and Div"),),
    "Acosh": (_way("Log Sqrt Mul Add", "write it as Log(x + Sqrt(x * x - 1)): Mul, Add, Sqrt, Log"),),
    "And": (_way("Mul", f"{_MASK} Mul"),),
    "ArgMax": (_SCORES,),
    "ArgMin": (
        _way("ArgMax Mul", "write it as ArgMax of Mul by -1"),
        _SCORES,
    ),
    "Asin": (_way("Atan Sqrt Div", "write it with Atan, Sqrt and Div"),),
    "Asinh": (_way("Log Sqrt Mul Add", "write it as Log(x + Sqrt(x * x + 1)): Mul, Add, Sqrt, Log"),),
    "Atanh": (_way("Log Div Add Sub", "write it as Log((1 + x) / (1 - x)) / 2: Add, Sub, Div, Log"),),
    "Attention": (_way("MatMul Mul Softmax", "write it with MatMul, Mul and Softmax"),),
    "AveragePool": (
        _way("Pad AveragePool", "put a Pad in front, and pool without padding"),
        _way("Conv", "write it as a depthwise Conv with constant weights"),
    ),
    "CenterCropPad": (_way("Slice", "crop with Slice"),),
    "Bernoulli": (
        _way("Less", "compare constant noise with Less"),
        _REST,
    ),
    "BitShift": (_way("Mul", "Mul by a power of 2"),),
    "CastLike": (_way("Cast", "use Cast"),),
    "Ceil": (
        _way("Floor Mul", "write it as -Floor(-x): Mul and Floor"),
        _ROUNDED,
    ),
    "Col2Im": (_way("ConvTranspose", "write it as ConvTranspose with weights of 0 and 1"),),
    "Compress": (_way("Slice", "where the condition is constant, use Slice"),),
    "ConstantOfShape": (_FIXED,),
    "Cosh": (_way("Exp Add", "write it as (Exp(x) + Exp(-x)) / 2: Exp and Add"),),
    "Conv.group": (_way("Split Conv Concat", _SPLIT.format("Conv")),),
    "ConvTranspose.group": (_way("Split ConvTranspose Concat", _SPLIT.format("ConvTranspose")),),
    "CumSum": (
        _way("MatMul", "write it as MatMul by a constant triangular matrix"),
        _way("Conv", "write it as a Conv of ones, as long as the axis, behind padding"),
    ),
    "DFT": (
        _way("MatMul", "write it as MatMul by a constant matrix"),
        _way("Conv", "write it as a 1x1 Conv"),
    ),
    "Det": (_way("Mul Sub", "write it with Mul and Sub"),),
    "CumSum.exclusive": (_way("MatMul", "write it as MatMul by a constant triangular matrix"),),
    "CumSum.reverse": (_way("MatMul", "write it as MatMul by a constant triangular matrix"),),
    "DepthToSpace.mode": (
        _way("DepthToSpace", "use mode DCR, with the channels of the Conv before it in DCR's order"),
    ),
    "DequantizeLinear": (_BY_RECIPE,),
    "Equal": (
        _way("Sub Abs Clip", f"{_MASK} Sub, Abs and Clip: 1 - Clip(Abs(a - b), 0, 1)"),
        _STEP,
    ),
    "Floor": (_ROUNDED,),
    "GRU": (
        _GATES,
        _REST,
    ),
    "Gather": (
        _MOVED,
        _ONE_HOT,
    ),
    "GatherElements": (
        _MOVED,
        _ONE_HOT,
    ),
    "GatherND": (
        _MOVED,
        _ONE_HOT,
    ),
    "GatherND.batch_dims": (
        _MOVED,
        _ONE_HOT,
    ),
    "Gemm.alpha": (_way("Gemm", "multiply the weights by alpha beforehand, and use alpha 1"),),
    "Gemm.beta": (_way("Gemm", "multiply the bias by beta beforehand, and use beta 1"),),
    "Gemm.transA": (_way("Transpose Gemm", "use transA 0 behind a Transpose"),),
    "GlobalLpPool": (_way("Mul GlobalAveragePool Sqrt", "write it with Mul, GlobalAveragePool and Sqrt"),),
    "Greater": (_STEP,),
    "GreaterOrEqual": (_STEP,),
    "GridSample": (
        _way("Resize", "where the grid is regular, use Resize"),
        _way("MatMul", "where the grid is constant, write it with MatMul"),
    ),
    "Hardmax": (
        _way("ReduceMax Sub", "compare with ReduceMax by Sub"),
        _SCORES,
    ),
    "HardSigmoid": (_way("Mul Add Clip", "write it with Mul, Add and Clip to 0 and 1"),),
    "If": (_TRACED,),
    "IsNaN": (_way("Add", "Add a small number where Div, Log or Sqrt could make one"),),
    "Less": (_STEP,),
    "LessOrEqual": (_STEP,),
    "LSTM": (
        _GATES,
        _REST,
    ),
    "Loop": (_TRACED,),
    "LogSoftmax": (
        _way("Softmax Log", "write it as Log(Softmax(x))"),
        _way("Softmax", "end in Softmax"),
    ),
    "LpNormalization": (_way("Mul ReduceSum Sqrt Div", "write it with Mul, ReduceSum, Sqrt and Div"),),
    "LpPool": (_way("Mul AveragePool Sqrt", "write it with Mul, AveragePool and Sqrt"),),
    "MatMul": (
        _way("Conv", "where one side is constant, write it as a 1x1 Conv"),
        _way("Gemm", "write it as Gemm"),
    ),
    "MaxPool": (
        _way("Max Slice", "take Max of Slices"),
        _way("Pad MaxPool", "put a Pad in front"),
    ),
    "MaxPool.dilations": (_way("Slice Max", "take Max of Slices"),),
    "MaxRoiPool": (
        _way("Slice MaxPool", "where the regions are constant, use Slice and MaxPool"),
        _REST,
    ),
    "Mish": (_way("Softplus Tanh Mul", "write it with Softplus, Tanh and Mul"),),
    "Mod": (
        _way("Div Floor Mul Sub", "write it as x - y * Floor(x / y): Div, Floor, Mul, Sub"),
        _MOVED,
    ),
    "Mod.fmod": (_way("Div Floor Mul Sub", "write it as x - y * Floor(x / y): Div, Floor, Mul, Sub"),),
    "NonMaxSuppression": (_REST,),
    "NonZero": (_REST,),
    "Not": (_way("Sub", f"{_MASK} Sub: 1 - x"),),
    "OneHot": (
        _way("Gather", "Gather rows of a constant identity matrix"),
        _STEP,
    ),
    "Or": (_way("Max", f"{_MASK} Max"),),
    "Pad.value": (_way("Concat", "Concat constants"),),
    "QuantizeLinear": (_BY_RECIPE,),
    "QuantizeLinear.output_dtype": (_BY_RECIPE,),
    "RMSNormalization": (_way("Mul ReduceMean Sqrt Div", "write it with Mul, ReduceMean, Sqrt and Div"),),
    "RNN": (
        _GATES,
        _REST,
    ),
    "RandomNormal": (_way("Add", "Add constant noise, or none: inference needs none"),),
    "Range": (_FIXED,),
    "ReduceL1": (
        _way("Abs ReduceSum", "write it as ReduceSum of Abs"),
        _way("Max Mul ReduceSum", "write it as ReduceSum of Max(x, -x): Mul, Max, ReduceSum"),
    ),
    "ReduceL2": (_way("Mul ReduceSum Sqrt", "write it as Sqrt(ReduceSum(x * x)): Mul, ReduceSum, Sqrt"),),
    "ReduceLogSum": (
        _way("ReduceSum Log", "write it as Log(ReduceSum(x))"),
        _way("ReduceSum", "use ReduceSum"),
    ),
    "ReduceLogSumExp": (_way("Exp ReduceSum Log", "write it as Log(ReduceSum(Exp(x)))"),),
    "ReduceMean.keepdims": (_way("ReduceMean Reshape", "use keepdims 1, and a Reshape behind it"),),
    "ReduceProd": (_way("Slice Mul", "multiply Slices by Mul"),),
    "ReverseSequence": (
        _MOVED,
        _ONE_HOT,
    ),
    "RoiAlign": (
        _way("Slice Resize", "where the regions are constant, use Slice and Resize"),
        _REST,
    ),
    "Round": (_ROUNDED,),
    "STFT": (_way("Conv", "write it as a Conv with constant weights"),),
    "Scan": (_TRACED,),
    "ScatterElements": (_FILLED,),
    "ScatterElements.reduction": (_FILLED,),
    "ScatterND": (_FILLED,),
    "ScatterND.reduction": (_FILLED,),
    "Shape": (_FIXED,),
    "Sign": (_way("Mul Clip", "Mul by a large number and Clip to -1 and 1"),),
    "Sinh": (_way("Exp Sub", "write it as (Exp(x) - Exp(-x)) / 2: Exp and Sub"),),
    "Size": (_FIXED,),
    "Softplus": (_way("Exp Add Log", "write it as Log(1 + Exp(x)): Exp, Add, Log"),),
    "Swish": (_way("Mul Sigmoid", "write it as x * Sigmoid(x): Mul and Sigmoid"),),
    "Tan": (_way("Sin Cos Div", "write it as Sin(x) / Cos(x): Sin, Cos, Div"),),
    "TfIdfVectorizer": (_REST,),
    "Tile": (_way("Concat", "write it as Concat"),),
    "TopK": (
        _way("ReduceMax", "for the largest alone use ReduceMax"),
        _SCORES,
    ),
    "Unique": (_REST,),
    "Where": (_way("Mul Sub Add", "with a mask of 0 and 1 write it with Mul, Sub and Add"),),
    "Xor": (_way("Sub Abs", f"{_MASK} Sub and Abs"),),
}
"""By the operator, or by the operator and an attribute in which a rule and those that run differ."""
